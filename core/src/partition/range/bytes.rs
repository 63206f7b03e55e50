//! Samples and bounds between processes.
//!
//! ```text
//! | magic "BYWR" | version 1 | kind 1 | zero 2 | keys 4 | rows 8 | form of the keys 8 | (length 1, bytes) of each key | CRC-32C 4 |
//! ```
//!
//! Integers are little-endian; the checksum is of all before it.

use super::{BOUND_BYTES, Keys};
use crate::cast::to_u32;
use crate::memory::Consumer;
use crate::{Error, Figure, Result};

pub(super) const SAMPLE: u8 = 1;
pub(super) const BOUNDS: u8 = 2;

const START: [u8; 5] = *b"BYWR\x01";
const HEAD: usize = 28;
const CHECKSUM: usize = 4;

pub(super) fn encode(kind: u8, keys: &Keys, rows: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + keys.count * (1 + BOUND_BYTES) + CHECKSUM);
    bytes.extend_from_slice(&START);
    bytes.extend_from_slice(&[kind, 0, 0]);
    bytes.extend_from_slice(&to_u32(keys.count).to_le_bytes());
    bytes.extend_from_slice(&rows.to_le_bytes());
    bytes.extend_from_slice(&keys.form.to_le_bytes());
    for place in 0..keys.count {
        let key = keys.get(place);
        bytes.push(key.len().to_le_bytes()[0]);
        bytes.extend_from_slice(key);
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

pub(super) fn decode(kind: u8, consumer: &Consumer, bytes: &[u8]) -> Result<(Keys, u64)> {
    let (rest, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(CUT)?;
    let (head, mut rest) = rest.split_first_chunk::<HEAD>().ok_or(CUT)?;
    let &[b'B', b'Y', b'W', b'R', version, found, 0, 0, a, b, c, d, ref figures @ ..] = head else {
        return Err(Error::corrupt("these bytes are no sample or bounds of key ranges"));
    };
    if (version, found) != (START[4], kind) {
        let why = "a sample is no bounds, nor bounds a sample, nor either of another version";
        return Err(Error::corrupt(why).with(Figure::Found, version));
    }
    let whole = bytes.len() - CHECKSUM;
    if crc32c::crc32c(&bytes[..whole]) != u32::from_le_bytes(*checksum) {
        return Err(Error::corrupt("a sample or bounds of key ranges do not match their checksum"));
    }
    // A key has at least a byte for its length: no claim makes for more memory than came.
    let count = u32::from_le_bytes([a, b, c, d]) as usize;
    if count > rest.len() {
        return Err(CUT);
    }
    let mut keys = Keys::try_new(consumer, count.max(1))?;
    for _ in 0..count {
        let (len, after) = rest.split_first().ok_or(CUT)?;
        let (key, after) = after.split_at_checked(usize::from(*len)).ok_or(CUT)?;
        if key.len() > BOUND_BYTES {
            return Err(Error::corrupt("a key of a range is longer than any"));
        }
        keys.push(key);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(Error::corrupt("bytes follow the last key of a sample or of bounds"));
    }
    let [rows, form] = [&figures[..8], &figures[8..]]
        .map(|figure| figure.try_into().map_or(0, u64::from_le_bytes));
    if keys.count > 0 && form == 0 {
        return Err(Error::corrupt("the keys of a sample or of bounds are of no form"));
    }
    keys.form = form;
    Ok((keys, rows))
}

const CUT: Error = Error::corrupt("a sample or bounds of key ranges are cut short");
