//! Blocks: self-delimiting, checksummed units of rows (docs/FORMAT.md).
//!
//! ```text
//! | header 64 | prefix | frame | frame | ... | 0 to 7 bytes of padding |
//!              `------------ body -----------'
//! ```
//!
//! Blocks of one partition follow one another, with fillers between them where a writer wants the
//! next block on some boundary; segments join by byte copy. A row whose buffers are
//! larger than a block is a *chain* of blocks. Nothing in a block is believed before the header's
//! magic, version, limits and checksum and the body's checksum have passed, and what they vouch for
//! is validated all the same.

mod batch;
mod chain;
mod chunk_decode;
mod decode;
mod encode;
mod filler;
mod header;
mod records;
mod row;
mod shells;
mod size;
mod slices;
mod verify;

pub use batch::{KeptBlock, batch_bytes, gather_batch};
pub use chunk_decode::{ChunkDecoder, check_body};
pub use decode::{BlockDecoder, Decoded};
pub use encode::{BlockEncoder, RowSlice};
pub use filler::{
    FILLER_BYTES_MAX, FILLER_BYTES_MIN, FILLER_MAGIC, check_filler, filler_bytes, filler_offset,
};
pub use header::{
    BLOCK_ALIGN, BODY_BYTES_MAX, FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, FRAME_HEADER_BYTES,
    HEADER_BYTES, Header, KIND_COLUMNS, KIND_RECORDS, MAGIC, RAW_BYTES_MAX, VERSION, frame_offset,
    offset,
};
pub use records::{
    BLOCK_RECORDS_MAX, RECORD_PREFIX_BYTES, RECORDS_FINGERPRINT, RecordDecoder, RecordEncoder,
    Records, record_prefix_offset,
};
pub use row::{ArrayRow, ChunkRow, RowSource};
pub use shells::shell_bytes;
pub use size::{ChunkSizes, RowSizes};
pub use verify::BlockVerifier;
