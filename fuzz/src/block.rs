//! The block decoder, fed as a reader feeds it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bywash::{ChargeMode, Codec, ErrorKind, MemoryLedger};
use bywash_core::block::{
    BlockDecoder, BlockVerifier, Decoded, FILLER_BYTES_MIN, HEADER_BYTES, Header, check_filler,
    filler_bytes, offset,
};
use bywash_core::column::Layout;
use bywash_tests::blocks::encode_block;
use bywash_tests::map_files::repair_block;

/// The first byte of an input: what is made right before decoding, so that mutations get past
/// checksums. The rest of it chooses the schema.
const REPAIR: u8 = 0x80;

/// The ledger of a case.
const CAPACITY: u64 = 1 << 20;
/// Rows that are worth encoding again.
const ROWS_MAX: usize = 1 << 12;

/// Decodes a segment; what decodes, encodes with every codec and decodes to the same rows.
pub fn block_decode(data: &[u8]) -> bool {
    let Some((&choice, segment)) = data.split_first() else {
        return false;
    };
    let layouts = layouts();
    let layout = &layouts[usize::from(choice & !REPAIR) % layouts.len()];
    let mut segment = segment.to_vec();
    if choice & REPAIR != 0 {
        repair(layout, &mut segment);
    }
    let decoded = decode(layout, &segment);
    let whole = decoded.is_ok();
    verify(layout, &segment, whole);
    for batch in decoded.unwrap_or_else(|batches| batches) {
        encode_again(layout, &batch);
    }
    whole
}

/// The schemas that the first byte chooses from: every shape, with nulls and without.
pub fn schemas() -> Vec<SchemaRef> {
    use DataType as D;
    let schemas = [
        vec![("a", D::Int32, false), ("b", D::Utf8, true)],
        vec![("a", D::Boolean, true), ("b", D::Null, true), ("c", D::Int8, true)],
        vec![("a", D::LargeBinary, true), ("b", D::LargeUtf8, false)],
        vec![("a", D::Decimal128(20, 2), true), ("b", D::Decimal256(50, 0), false)],
        vec![("a", D::FixedSizeBinary(3), true), ("b", D::FixedSizeBinary(0), true)],
        vec![("a", D::Time64(TimeUnit::Nanosecond), true), ("b", D::Float64, false)],
        vec![("a", D::Null, true)],
        vec![],
    ];
    let schema = |fields: Vec<(&str, DataType, bool)>| {
        let fields = fields.into_iter();
        let fields =
            fields.map(|(name, data_type, nullable)| Field::new(name, data_type, nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    schemas.into_iter().map(schema).collect()
}

fn layouts() -> &'static [Arc<Layout>] {
    static LAYOUTS: OnceLock<Vec<Arc<Layout>>> = OnceLock::new();
    LAYOUTS.get_or_init(|| {
        let layouts = schemas()
            .into_iter()
            .map(|schema| Layout::try_new(schema).unwrap_or_else(|error| panic!("{error}")));
        layouts.map(Arc::new).collect()
    })
}

/// Gives every block of the segment the schema's fingerprint and checksums that hold.
fn repair(layout: &Layout, segment: &mut [u8]) {
    let mut start = 0;
    while let Some(block) = segment.get_mut(start..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let filler = block.first_chunk().map(|first| filler_bytes(*first));
        if let Some(Ok(Some(len))) = filler {
            start += len;
            continue;
        }
        let fingerprint = layout.fingerprint().to_le_bytes();
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
fn next_block(segment: &[u8], start: &mut usize) -> Result<Option<(Header, Range<usize>)>, ()> {
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

/// All batches, or those before the first error.
fn decode(layout: &Arc<Layout>, segment: &[u8]) -> Result<Vec<RecordBatch>, Vec<RecordBatch>> {
    let ledger = MemoryLedger::new(CAPACITY);
    let mut batches = Vec::new();
    let outcome = (|| {
        let task = ledger.admit(1, 0).map_err(drop)?.remove(0);
        let consumer = task.consumer("fuzz");
        let mut decoder = BlockDecoder::new(Arc::clone(layout), consumer, ChargeMode::Ledger);
        let mut start = 0;
        while let Some((header, body)) = next_block(segment, &mut start)? {
            let body = segment.get(body).ok_or(())?;
            match decoder.decode(&header, body) {
                Ok(Decoded::Batch(batch)) => batches.push(batch),
                Ok(Decoded::Partial) => assert!(decoder.is_inside_chain(), "a part of nothing"),
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
        Ok(()) => Ok(batches),
        Err(()) => Err(batches),
    }
}

/// A merge must not refuse what a reader takes (as long as there is one partition).
fn verify(layout: &Layout, segment: &[u8], decoded: bool) {
    let mut start = 0;
    let Ok(Some((first, _))) = next_block(segment, &mut start) else {
        return;
    };
    let mut same_partition = true;
    while let Ok(Some((header, _))) = next_block(segment, &mut start) {
        same_partition &= header.partition == first.partition;
    }
    let mut verifier = BlockVerifier::new(first.partition, layout.fingerprint());
    let outcome = segment
        .chunks(7)
        .try_for_each(|piece| verifier.feed(piece))
        .and_then(|()| verifier.finish());
    assert!(!(decoded && same_partition) || outcome.is_ok(), "a merge refuses what a reader takes");
}

fn encode_again(layout: &Arc<Layout>, batch: &RecordBatch) {
    for (index, column) in batch.columns().iter().enumerate() {
        let valid = column.to_data().validate_full();
        assert!(valid.is_ok(), "column {index} is not valid: {valid:?}");
    }
    if batch.num_rows() == 0 || batch.num_rows() > ROWS_MAX {
        return;
    }
    for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
        let encoded = encode_block(layout, codec, 1 << 16, 5, batch);
        let encoded = encoded.unwrap_or_else(|error| panic!("{codec}: {error}"));
        let again = decode(layout, &encoded).unwrap_or_else(|_| panic!("{codec}: not read back"));
        assert_eq!(again, std::slice::from_ref(batch), "{codec}: other rows");
    }
}
