//! What Arrow allocates around buffers.

use crate::column::Layout;

/// Bytes Arrow allocates at most for one array of one node, beside its buffers: the array behind its
/// `Arc`, up to three `Arc<Bytes>` of buffers, the list of buffers while it is built.
const ARRAY_BYTES: u64 = 640;
/// Bytes of the batch itself: the list of columns is counted with them.
const BATCH_BYTES: u64 = 160;

/// The upper bound that is charged for the shells of a batch of `layout`.
pub fn shell_bytes(layout: &Layout) -> u64 {
    BATCH_BYTES + layout.nodes().len() as u64 * ARRAY_BYTES
}
