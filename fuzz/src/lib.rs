//! Fuzz targets: one function each, which panics when its oracle is contradicted, and says whether
//! the input got past all checks.
//!
//! With cargo-fuzz (nightly): `cargo fuzz run block_decode --fuzz-dir fuzz`. Without: each target is a
//! program that replays the files it is given, and `cargo test -p bywash-fuzz` replays the corpus.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "an oracle fails by panicking")]

mod block;
mod index;
mod key;
mod merge;
mod records;
mod schema;
mod segment;

pub use block::{block_decode, schemas};
pub use index::{index_decode, right_index};
pub use key::key_order;
pub use merge::merge_model;
pub use records::records_decode;
pub use schema::schema_decode;

/// The `main` of a target: the fuzzer's, or one that replays files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            $crate::$name(data);
        });

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for path in std::env::args_os().skip(1) {
                $crate::$name(&std::fs::read(path)?);
            }
            Ok(())
        }
    };
}
