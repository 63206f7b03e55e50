//! Which runs to merge when there are too many.

use std::ops::Range;

/// The least number of runs worth merging into one, of a list that holds many more.
const RUNS_MIN: usize = 8;
/// Runs in a list that is long enough for runs of each size to stay until there are many.
const RUNS_LONG: usize = 16;

/// The runs to merge into one, given their sizes in the order they were written. Only neighbours
/// may be merged, or rows would change their order.
///
/// The newest runs are taken, and older ones while they are no larger than what is taken already:
/// like carries in a binary counter, so each byte is rewritten a logarithmic number of times. Lists
/// of fewer than 16 take older ones that are several times as large.
pub fn runs_to_merge(
    run_bytes: impl ExactSizeIterator<Item = u64> + DoubleEndedIterator,
) -> Range<usize> {
    let runs = run_bytes.len();
    // A short list has few sizes: they are to be far apart, or each byte would be rewritten every time.
    let least = RUNS_MIN.min(runs / 4).max(2);
    let apart = (RUNS_LONG / runs.max(1)).max(1) as u64;
    let mut taken = 0usize;
    let mut taken_bytes = 0u64;
    for bytes in run_bytes.rev() {
        if taken >= least && bytes > taken_bytes.saturating_mul(apart) {
            break;
        }
        taken += 1;
        taken_bytes = taken_bytes.saturating_add(bytes);
    }
    runs - taken..runs
}

/// The `count` neighbours that have the fewest bytes together, given the sizes of all.
///
/// Of `runs` runs of which `fan_in` can be merged at once, merging `runs - fan_in + 1` before the last
/// merge rewrites the least; when that is more than can be merged at once, `fan_in` of them.
pub fn least_neighbours(
    run_bytes: impl ExactSizeIterator<Item = u64> + Clone,
    count: usize,
) -> Range<usize> {
    let count = count.min(run_bytes.len());
    let mut sum: u64 = run_bytes.clone().take(count).sum();
    let (mut least, mut start) = (sum, 0);
    let leaving = run_bytes.clone();
    for (at, (leaves, comes)) in leaving.zip(run_bytes.skip(count)).enumerate() {
        sum = sum.saturating_add(comes).saturating_sub(leaves);
        if sum < least {
            (least, start) = (sum, at + 1);
        }
    }
    start..start + count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_neighbours_are_found() {
        let bytes = [9u64, 1, 5, 2, 2, 7];
        let least = |count| least_neighbours(bytes.iter().copied(), count);
        assert_eq!((least(1), least(2), least(3), least(6)), (1..2, 3..5, 1..4, 0..6));
        assert_eq!((least(0), least(9)), (0..0, 0..6));
    }

    const ADDED: u64 = 10_000;

    #[test]
    fn rewrites_each_byte_a_logarithmic_number_of_times() {
        for (most, least, times) in [(64, 8, 6), (16, 4, 12), (8, 2, 24), (4, 2, 160)] {
            let (mut runs, mut rewritten) = (Vec::new(), 0u64);
            for run in 0..ADDED {
                runs.push(1 + run % 2);
                if runs.len() == most {
                    let range = runs_to_merge(runs.iter().copied());
                    assert!(range.len() >= least);
                    let merged: u64 = runs[range.clone()].iter().sum();
                    rewritten += merged;
                    runs.splice(range, [merged]);
                }
            }
            assert_eq!(runs.iter().sum::<u64>(), ADDED + ADDED / 2);
            assert!(rewritten < times * ADDED, "{most}: {rewritten}");
        }
    }
}
