//! The loops over rows: each replaces the running hash of every valid row.
//!
//! What lies under a null is never trusted: primitives may be hashed and dropped there, other
//! values are not asked for.

use arrow_buffer::NullBuffer;

/// Folds every value.
#[inline]
pub(super) fn fold<T: Copy>(values: &[T], out: &mut [u32], hash: impl Fn(T, u32) -> u32) {
    for (running, value) in out.iter_mut().zip(values) {
        *running = hash(*value, *running);
    }
}

/// As [`fold`], 64 rows at a time: all valid, all null, or both sides computed and one chosen.
#[inline]
pub(super) fn fold_valid<T: Copy>(
    values: &[T],
    nulls: &NullBuffer,
    start: usize,
    out: &mut [u32],
    hash: impl Fn(T, u32) -> u32,
) {
    let bits = nulls.inner().slice(start, out.len());
    let rows = values.chunks(64).zip(out.chunks_mut(64));
    for (valid, (values, out)) in bits.bit_chunks().iter_padded().zip(rows) {
        match valid {
            0 => {}
            u64::MAX => fold(values, out, &hash),
            _ => {
                for (row, (running, value)) in out.iter_mut().zip(values).enumerate() {
                    let hashed = hash(*value, *running);
                    *running = if valid >> row & 1 == 1 { hashed } else { *running };
                }
            }
        }
    }
}

/// Folds with values found by row; those of null rows are not asked for.
#[inline]
pub(super) fn fold_rows(
    nulls: Option<&NullBuffer>,
    start: usize,
    out: &mut [u32],
    hash: impl Fn(usize, u32) -> u32,
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (row, running) in out.iter_mut().enumerate() {
                *running = hash(start + row, *running);
            }
        }
        Some(nulls) => {
            for (row, running) in out.iter_mut().enumerate() {
                if nulls.is_valid(start + row) {
                    *running = hash(start + row, *running);
                }
            }
        }
    }
}
