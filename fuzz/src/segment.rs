//! A segment's blocks as a reader finds them.

use std::ops::Range;

use bywash_core::block::{
    BlockVerifier, FILLER_BYTES_MIN, HEADER_BYTES, Header, check_filler, filler_bytes, offset,
};
use bywash_tests::map_files::repair_block;

/// Gives every block of the segment this fingerprint and checksums that hold.
pub(crate) fn repair(fingerprint: u64, segment: &mut [u8]) {
    let mut start = 0;
    while let Some(block) = segment.get_mut(start..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let filler = block.first_chunk().map(|first| filler_bytes(*first));
        if let Some(Ok(Some(len))) = filler {
            start += len;
            continue;
        }
        let fingerprint = fingerprint.to_le_bytes();
        block[offset::FINGERPRINT..offset::CHAIN_OFFSET].copy_from_slice(&fingerprint);
        let body = block[offset::BODY_BYTES..offset::RAW_BYTES]
            .try_into()
            .map_or(0, u32::from_le_bytes) as usize;
        let end = HEADER_BYTES + body.next_multiple_of(8);
        let len = end.min(block.len());
        repair_block(&mut block[..len]);
        start += len;
    }
}

/// The blocks of a segment as a reader finds them; an error when it would.
pub(crate) fn next_block(
    segment: &[u8],
    start: &mut usize,
) -> Result<Option<(Header, Range<usize>)>, ()> {
    if *start == segment.len() {
        return Ok(None);
    }
    loop {
        let rest = segment.get(*start..).ok_or(())?;
        let first = rest.first_chunk::<FILLER_BYTES_MIN>().ok_or(())?;
        let Some(len) = filler_bytes(*first).map_err(|_| ())? else {
            break;
        };
        check_filler(rest.get(FILLER_BYTES_MIN..len).ok_or(())?).map_err(|_| ())?;
        *start += len;
    }
    let rest = segment.get(*start..).ok_or(())?;
    let header = Header::decode(rest.first_chunk::<HEADER_BYTES>().ok_or(())?).map_err(|_| ())?;
    let len = usize::try_from(header.block_bytes()).map_err(|_| ())?;
    if len > rest.len() {
        return Err(());
    }
    let body = *start + HEADER_BYTES..*start + HEADER_BYTES + header.body_bytes as usize;
    *start += len;
    Ok(Some((header, body)))
}

/// A merge must not refuse what a reader takes (as long as there is one partition).
pub(crate) fn verify(fingerprint: u64, segment: &[u8], decoded: bool) {
    let mut start = 0;
    let Ok(Some((first, _))) = next_block(segment, &mut start) else {
        return;
    };
    let mut same_partition = true;
    while let Ok(Some((header, _))) = next_block(segment, &mut start) {
        same_partition &= header.partition == first.partition;
    }
    let mut verifier = BlockVerifier::new(first.partition, fingerprint);
    let outcome = segment
        .chunks(7)
        .try_for_each(|piece| verifier.feed(piece))
        .and_then(|()| verifier.finish());
    assert!(!(decoded && same_partition) || outcome.is_ok(), "a merge refuses what a reader takes");
}
