//! The C interface of Bywash: convert, call, convert.
//!
//! Every exported function goes through one guard (`call`): pointers are checked, a handle that a
//! panic left behind answers `POISONED`, a handle in a forked child answers `INVALID_STATE`, and no
//! panic leaves. What each function does is in its comment, which is also the header's
//! (`include/bywash.h`, generated); the rules that hold for all are in docs/ABI.md.

#![expect(non_camel_case_types, reason = "types have the names they have in C")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an entry believes all that its Safety section asks for at once"
)]

#[cfg(panic = "abort")]
compile_error!("bywash-ffi contains panics at its border: build it with panic = \"unwind\"");

mod c_data;
mod call;
mod context;
mod error;
mod fork;
mod handle;
mod host;
mod input;
mod json;
mod lend;
mod options;
mod output;
mod shuffle;
mod sink;
mod status;
mod stream;
mod version;
mod writer;

pub use context::*;
pub use error::*;
pub use host::{BYWASH_LOG_WARNING, bywash_host};
pub use options::*;
pub use output::*;
pub use shuffle::*;
pub use sink::bywash_sink;
pub use status::*;
pub use stream::bywash_stream_error;
pub use version::*;
pub use writer::*;
