//! Finding what was there before: the part of the compressor that looks at every byte.
//!
//! The reads of its two loops are not checked against the frame's end by themselves: that made compressing records a
//! quarter slower (docs/BENCHMARKS.md).

#![expect(unsafe_code, reason = "reads whose bounds are checked once for a loop")]

use super::{END_LITERALS, MATCH_BYTES_MIN, MATCH_START_END};

/// Positions, modulo 64 Ki, by a hash of the five bytes there. What stands in it is a guess.
pub(super) type Table = [u16; 1 << TABLE_BITS];

const TABLE_BITS: u32 = 13;
/// After so many misses one position more is skipped between two looks, as a shift.
const MISSES_BITS: u32 = 3;

/// Bytes that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// Where the second time begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// How far before it the first time is: 1 to 65,535.
    pub(super) distance: u16,
}

/// The next match of `source` that begins after `from`, or between `literals` and it where it can be extended
/// backwards; nothing when there is none before the end.
#[inline]
pub(super) fn next(
    source: &[u8],
    literals: usize,
    from: usize,
    table: &mut Table,
) -> Option<Match> {
    // A match begins 12 bytes before the end at the latest.
    let last = source.len().checked_sub(MATCH_START_END)?;
    let mut at = from;
    let mut step = 1 << MISSES_BITS;
    let distance = loop {
        if at > last {
            return None;
        }
        // SAFETY: at <= last, and 12 bytes follow that.
        let word = unsafe { word_at(source, at) };
        let entry = &mut table[slot(word)];
        let distance = low(at).wrapping_sub(*entry);
        *entry = low(at);
        if let Some(before) = at.checked_sub(distance.into()) {
            // SAFETY: before <= at <= last.
            let earlier = unsafe { word_at(source, before) };
            let is_same = (earlier ^ word) << (64 - 8 * MATCH_BYTES_MIN) == 0;
            if is_same && distance != 0 {
                break distance;
            }
        }
        at += step >> MISSES_BITS;
        step += 1;
    };
    let back = usize::from(distance);
    let mut start = at;
    while start > literals && start > back && source[start - 1] == source[start - 1 - back] {
        start -= 1;
    }
    Some(Match { start, end: end_of(source, at + MATCH_BYTES_MIN, back), distance })
}

/// Notes a position that was not looked at.
#[inline]
pub(super) fn note(source: &[u8], at: usize, table: &mut Table) {
    if let Some(bytes) = source.get(at..).and_then(<[u8]>::first_chunk) {
        table[slot(u64::from_le_bytes(*bytes))] = low(at);
    }
}

/// Where the bytes from `end` on stop being those `back` before them; the last five are always literals.
#[inline]
fn end_of(source: &[u8], mut end: usize, back: usize) -> usize {
    if back > end {
        return end;
    }
    let most = source.len().saturating_sub(END_LITERALS);
    while end + size_of::<u64>() <= most {
        // SAFETY: end + 8 <= most <= source.len().
        let word = unsafe { word_at(source, end) };
        // SAFETY: back <= end, which only grew since that was seen, so this is not after the word above.
        let earlier = unsafe { word_at(source, end - back) };
        let differing = word ^ earlier;
        if differing != 0 {
            return end + differing.trailing_zeros() as usize / 8;
        }
        end += size_of::<u64>();
    }
    while end < most && source[end] == source[end - back] {
        end += 1;
    }
    end
}

/// Eight bytes, the first the lowest.
///
/// # Safety
/// `at + 8 <= source.len()`.
#[inline]
unsafe fn word_at(source: &[u8], at: usize) -> u64 {
    debug_assert!(at + size_of::<u64>() <= source.len(), "a read is within the source");
    // SAFETY: by the caller's promise at is within source.
    let bytes = unsafe { source.as_ptr().add(at) };
    // SAFETY: by the caller's promise these 8 bytes are in source; an array of bytes has no alignment.
    u64::from_le_bytes(unsafe { bytes.cast::<[u8; size_of::<u64>()]>().read() })
}

/// By the five lowest bytes.
#[inline]
fn slot(word: u64) -> usize {
    const MULTIPLIER: u64 = 889_523_592_379;
    crate::cast::to_usize((word << 24).wrapping_mul(MULTIPLIER) >> (64 - TABLE_BITS))
}

/// A position modulo 64 Ki.
#[inline]
const fn low(at: usize) -> u16 {
    let [low, high, ..] = at.to_le_bytes();
    u16::from_le_bytes([low, high])
}
