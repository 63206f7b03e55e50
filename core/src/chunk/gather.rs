//! Kernels that move rows into partition order. Primitive arguments, no allocation.

use crate::cast::{to_u32, to_usize};

/// Room that variable data needs behind its end: short values are copied in one such step.
pub(super) const OVERCOPY_BYTES: usize = 16;

/// `target[i] = source[permutation[i]]` for values of `width` bytes.
pub(super) fn gather_fixed(source: &[u8], width: usize, permutation: &[u32], target: &mut [u8]) {
    match width {
        0 => {}
        1 => gather_width::<1>(source, permutation, target),
        2 => gather_width::<2>(source, permutation, target),
        4 => gather_width::<4>(source, permutation, target),
        8 => gather_width::<8>(source, permutation, target),
        16 => gather_width::<16>(source, permutation, target),
        32 => gather_width::<32>(source, permutation, target),
        _ => {
            for (slot, &row) in target.chunks_exact_mut(width).zip(permutation) {
                let start = row as usize * width;
                slot.copy_from_slice(&source[start..start + width]);
            }
        }
    }
}

fn gather_width<const WIDTH: usize>(source: &[u8], permutation: &[u32], target: &mut [u8]) {
    let (source, _) = source.as_chunks::<WIDTH>();
    let (target, _) = target.as_chunks_mut::<WIDTH>();
    for (slot, &row) in target.iter_mut().zip(permutation) {
        *slot = source[row as usize];
    }
}

/// A variable value's place in the staging data: start in the low half, length in the high half.
pub(super) const fn pack(start: usize, len: usize) -> u64 {
    to_u32(start) as u64 | (to_u32(len) as u64) << 32
}

/// Copies variable values into order and writes their offsets, one more than rows.
///
/// `source` and `target` have [`OVERCOPY_BYTES`] of room behind the last value.
pub(super) fn gather_variable(
    source: &[u8],
    places: &[u64],
    permutation: &[u32],
    offsets: &mut [u32],
    target: &mut [u8],
) {
    let mut end = 0usize;
    let Some((first, ends)) = offsets.split_first_mut() else {
        return;
    };
    *first = 0;
    for (slot, &row) in ends.iter_mut().zip(permutation) {
        let place = places[row as usize];
        let start = to_usize(place & u64::from(u32::MAX));
        let len = to_usize(place >> 32);
        if len <= OVERCOPY_BYTES {
            target[end..end + OVERCOPY_BYTES]
                .copy_from_slice(&source[start..start + OVERCOPY_BYTES]);
        } else {
            target[end..end + len].copy_from_slice(&source[start..start + len]);
        }
        end += len;
        *slot = to_u32(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fixed_equals_naive(width in 0usize..40, order in Just((0..37u32).collect::<Vec<_>>()).prop_shuffle()) {
            let source: Vec<u8> = (0..37 * width).map(|i| to_u32(i * 31).to_le_bytes()[0]).collect();
            let mut target = vec![0; source.len()];
            gather_fixed(&source, width, &order, &mut target);
            let expected: Vec<u8> = order
                .iter()
                .flat_map(|&row| source[row as usize * width..(row as usize + 1) * width].to_vec())
                .collect();
            prop_assert_eq!(target, expected);
        }

        #[test]
        fn variable_equals_naive(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..30),
        ) {
            let mut source = Vec::new();
            let mut places = Vec::new();
            for value in &values {
                places.push(pack(source.len(), value.len()));
                source.extend(value);
            }
            let data_len = source.len();
            source.resize(data_len + OVERCOPY_BYTES, 0xee);
            let order: Vec<u32> = (0..to_u32(values.len())).rev().collect();
            let mut offsets = vec![7; values.len() + 1];
            let mut target = vec![0; data_len + OVERCOPY_BYTES];
            gather_variable(&source, &places, &order, &mut offsets, &mut target);
            let expected: Vec<u8> = values.iter().rev().flatten().copied().collect();
            prop_assert_eq!(&target[..data_len], &expected[..]);
            for (row, window) in offsets.windows(2).enumerate() {
                prop_assert_eq!((window[1] - window[0]) as usize, values[values.len() - 1 - row].len());
            }
        }
    }
}
