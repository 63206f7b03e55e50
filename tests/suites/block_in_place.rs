//! A block decoded where it was read holds the rows that a copy of it does; and one that is damaged, its checksum
//! right or not, is an error or rows, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow_array::RecordBatch;
use bywash::{ChargeMode, Codec, MemoryLedger};
use bywash_core::block::{
    ChunkDecoder, ChunkSizes, HEADER_BYTES, Header, KeptBlock, RowSlice, gather_batch,
};
use bywash_core::chunk::SortedChunk;
use bywash_core::column::Layout;
use bywash_core::memory::{Area, Consumer};
use bywash_tests::blocks::encode_block;
use bywash_tests::generate::Plan;
use bywash_tests::seed::{Rng, run_seed};

const RAW_BYTES: usize = 1 << 20;

#[test]
fn in_place_equals_a_copy() {
    let (ledger, seed) = (MemoryLedger::unlimited(), run_seed());
    let consumer = ledger.admit(1, 0).unwrap().remove(0).consumer("test");
    for case in 0..200 {
        let mut rng = Rng::labelled(seed, &[case]);
        let plan = Plan::random(&mut rng, 6, 300);
        let Some(batch) = plan.batches().into_iter().find(|batch| batch.num_rows() > 0) else {
            continue;
        };
        let layout = Layout::try_new(batch.schema()).unwrap();
        let Some(block) = one_block(&layout, &batch) else { continue };
        let (header, body) = parts(&block);
        let mut slot = slot(&layout, &consumer);
        let decoder = decoder(&layout, &consumer);
        let in_place = in_place(&decoder, &layout, &consumer, &header, body, &mut slot);
        assert_eq!(in_place.unwrap(), batch, "seed {seed}, case {case}");
    }
}

#[test]
fn damage_is_an_error_or_rows() {
    let (ledger, seed) = (MemoryLedger::unlimited(), run_seed());
    let consumer = ledger.admit(1, 0).unwrap().remove(0).consumer("test");
    for case in 0..40 {
        let mut rng = Rng::labelled(seed, &[case, 1]);
        let plan = Plan::random(&mut rng, 4, 40);
        let Some(batch) = plan.batches().into_iter().find(|batch| batch.num_rows() > 0) else {
            continue;
        };
        let layout = Layout::try_new(batch.schema()).unwrap();
        let Some(block) = one_block(&layout, &batch) else { continue };
        let (mut header, body) = parts(&block);
        let decoder = decoder(&layout, &consumer);
        let mut slot = slot(&layout, &consumer);
        // What is written first says where the rest lies.
        let mut body = body.to_vec();
        for at in 0..body.len().min(400) {
            for bits in [1u8 << rng.index(8), 0xff] {
                body[at] ^= bits;
                header.body_crc = crc32c::crc32c(&body);
                drop(in_place(&decoder, &layout, &consumer, &header, &body, &mut slot));
                body[at] ^= bits;
                header.body_crc = !crc32c::crc32c(&body);
                let refused = in_place(&decoder, &layout, &consumer, &header, &body, &mut slot);
                assert!(refused.is_err(), "seed {seed}, case {case}: a checksum was not looked at");
            }
        }
        for rows in [0, header.rows - 1, header.rows + 1, u32::MAX] {
            let header = Header { rows, body_crc: crc32c::crc32c(&body), ..header };
            drop(in_place(&decoder, &layout, &consumer, &header, &body, &mut slot));
        }
    }
}

/// Reads a body into a slot and decodes it there, as a merge does, then makes a batch of the rows.
fn in_place(
    decoder: &ChunkDecoder,
    layout: &Layout,
    consumer: &Consumer,
    header: &Header,
    body: &[u8],
    slot: &mut SortedChunk,
) -> Result<RecordBatch, String> {
    let space = decoder.space_in_place(layout, header, slot, body.len()).ok_or("no space")?;
    space.copy_from_slice(body);
    decoder.decode_in_place(layout, header, slot).map_err(|error| error.to_string())?;
    let all = RowSlice { chunk: 0, start: 0, end: slot.rows() };
    let (chunks, kept) = (std::slice::from_ref(slot), &mut KeptBlock::default());
    gather_batch(layout, chunks, &[all], consumer, ChargeMode::Detached, kept)
        .map_err(|error| error.to_string())
}

/// The batch as one block; `None` for one that is a chain, or has no rows.
fn one_block(layout: &Layout, batch: &RecordBatch) -> Option<Vec<u8>> {
    let block = encode_block(layout, Codec::None, RAW_BYTES, 0, batch).unwrap();
    let (header, _) = parts(&block);
    (!header.is_chained() && header.rows as usize == batch.num_rows()).then_some(block)
}

fn parts(block: &[u8]) -> (Header, &[u8]) {
    let (header, rest) = block.split_first_chunk::<HEADER_BYTES>().unwrap();
    let header = Header::decode(header).unwrap();
    let body = &rest[..header.body_bytes as usize];
    (header, body)
}

fn decoder(layout: &Layout, consumer: &Consumer) -> ChunkDecoder {
    ChunkDecoder::try_new(consumer, layout, Codec::None, RAW_BYTES).unwrap()
}

fn slot(layout: &Layout, consumer: &Consumer) -> SortedChunk {
    let bytes = ChunkSizes::new(layout).area_bytes(2 * RAW_BYTES);
    SortedChunk::vacant(Area::try_new(consumer, bytes).unwrap())
}
