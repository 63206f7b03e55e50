//! The decoder of opaque records, fed as a reader feeds it.

use bywash::{ChargeMode, Codec, ErrorKind, MemoryLedger};
use bywash_core::block::{RECORDS_FINGERPRINT, RecordDecoder};
use bywash_tests::blocks::encode_records;

use crate::block::{CAPACITY, REPAIR};
use crate::segment::{next_block, repair, verify};

/// Records that are worth encoding again.
const RECORDS_MAX: usize = 1 << 12;

/// Decodes a segment of records; what decodes, encodes with every codec and decodes to the same records.
pub fn records_decode(data: &[u8]) -> bool {
    let Some((&choice, segment)) = data.split_first() else {
        return false;
    };
    let mut segment = segment.to_vec();
    if choice & REPAIR != 0 {
        repair(RECORDS_FINGERPRINT, &mut segment);
    }
    let decoded = decode(&segment);
    let whole = decoded.is_ok();
    verify(RECORDS_FINGERPRINT, &segment, whole);
    let records = decoded.unwrap_or_else(|records| records);
    if !records.is_empty() && records.len() <= RECORDS_MAX {
        encode_again(&records);
    }
    whole
}

/// All records, or those before the first error.
fn decode(segment: &[u8]) -> Result<Vec<Vec<u8>>, Vec<Vec<u8>>> {
    let ledger = MemoryLedger::new(CAPACITY);
    let mut found = Vec::new();
    let outcome = (|| {
        let task = ledger.admit(1, 0).map_err(drop)?.remove(0);
        let mut decoder = RecordDecoder::new(task.consumer("fuzz"), ChargeMode::Ledger);
        let mut start = 0;
        while let Some((header, body)) = next_block(segment, &mut start)? {
            let body = segment.get(body).ok_or(())?;
            match decoder.decode(&header, body) {
                Ok(Some(records)) => {
                    let offsets = records.offsets();
                    assert_eq!(offsets.len(), records.len() + 1, "an offset more than records");
                    assert!(offsets.windows(2).all(|pair| pair[0] <= pair[1]), "they rise");
                    let end = offsets.last().map(|&end| end as usize);
                    assert_eq!((offsets[0], end), (0, Some(records.bytes().len())));
                    assert_eq!(records.len(), records.iter().len());
                    // Of very many empty ones the number is enough.
                    found.extend(records.iter().take(2 * RECORDS_MAX).map(<[u8]>::to_vec));
                }
                Ok(None) => assert!(decoder.is_inside_chain(), "a part of nothing"),
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
                    return Err(());
                }
            }
        }
        if decoder.is_inside_chain() { Err(()) } else { Ok(()) }
    })();
    assert!(ledger.peak_granted() <= CAPACITY, "more was granted than there is");
    assert!(ledger.live() <= ledger.granted(), "more is live than granted");
    match outcome {
        Ok(()) => Ok(found),
        Err(()) => Err(found),
    }
}

fn encode_again(records: &[Vec<u8>]) {
    for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
        // Also in blocks so small that some are chains.
        for raw_bytes in [1 << 16, 64] {
            let encoded = encode_records(codec, raw_bytes, 5, records);
            let encoded = encoded.unwrap_or_else(|error| panic!("{codec}: {error}"));
            let again = decode(&encoded).unwrap_or_else(|_| panic!("{codec}: not read back"));
            assert_eq!(again, records, "{codec}: other records");
        }
    }
}
