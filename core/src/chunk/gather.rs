//! Kernels that move rows into partition order. Primitive arguments, no allocation.

use crate::cast::{to_u32, to_usize};
use crate::copy::copy_in_steps;
use crate::prefetch::{prefetch, prefetch_at};

/// Room behind variable data, so that its last values too are mostly copied in whole steps.
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
    for (at, (slot, &row)) in target.iter_mut().zip(permutation).enumerate() {
        if let Some(&later) = permutation.get(at + PLACES_AHEAD) {
            prefetch_at(source, later as usize);
        }
        *slot = source[row as usize];
    }
}

/// A variable value's place in the staging data: start in the low half, length in the high half.
pub(super) const fn pack(start: usize, len: usize) -> u64 {
    to_u32(start) as u64 | (to_u32(len) as u64) << 32
}

/// Start and length of a place.
fn unpack(place: u64) -> (usize, usize) {
    (to_usize(place & u64::from(u32::MAX)), to_usize(place >> 32))
}

/// Bytes of a step of a copy.
const COPY_STEP: usize = 32;
/// Rows ahead whose places, and whose values, are asked for.
const PLACES_AHEAD: usize = 32;
const VALUES_AHEAD: usize = 16;

/// Copies variable values into order and writes their offsets, one more than rows.
///
/// `source` and `target` may have room behind the last value.
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
    for (at, (slot, &row)) in ends.iter_mut().zip(permutation).enumerate() {
        // The order is random: neither values nor their places are where the processor would look next.
        if let Some(&later) = permutation.get(at + PLACES_AHEAD) {
            prefetch_at(places, later as usize);
        }
        if let Some(&later) = permutation.get(at + VALUES_AHEAD) {
            let (start, len) = unpack(places[later as usize]);
            prefetch(&source[start..start + len]);
        }
        let (start, len) = unpack(places[row as usize]);
        copy_in_steps::<COPY_STEP>(&source[start..], len, &mut target[end..]);
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
