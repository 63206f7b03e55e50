//! The block decoder, fed as a reader feeds it.

use std::sync::{Arc, OnceLock};

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bywash::{ChargeMode, Codec, ErrorKind, MemoryLedger};
use bywash_core::block::{BlockDecoder, Decoded};
use bywash_core::column::Layout;
use bywash_tests::blocks::encode_block;

use crate::segment::{next_block, repair, verify};

/// In the first byte of an input: blocks are made right before decoding, so that mutations get past
/// checksums. The rest of it chooses the schema.
pub(crate) const REPAIR: u8 = 0x80;

/// The ledger of a case.
pub(crate) const CAPACITY: u64 = 1 << 20;
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
        repair(layout.fingerprint(), &mut segment);
    }
    let decoded = decode(layout, &segment);
    let whole = decoded.is_ok();
    verify(layout.fingerprint(), &segment, whole);
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
