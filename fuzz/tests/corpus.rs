//! Replays the committed corpus on stable; and writes its seeds.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, make_array};
use arrow_data::ArrayData;
use arrow_schema::{DataType, SchemaRef};
use bywash::Codec;
use bywash_core::column::{Layout, Physical, encode_schema};
use bywash_fuzz::{
    block_decode, index_decode, key_order, merge_model, records_decode, right_index, schema_decode,
    schemas,
};
use bywash_tests::blocks::{encode_block, encode_records};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Runs a target over its corpus, and over every cut and some changes of each file.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let (mut files, mut whole) = (0, 0);
    for entry in std::fs::read_dir(corpus(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        whole += usize::from(run(&data));
        files += 1;
        for at in (0..data.len()).step_by(7) {
            run(&data[..at]);
            let mut changed = data.clone();
            changed[at] ^= 0x80;
            run(&changed);
        }
    }
    assert!(files > 5, "{target} has a corpus");
    assert!(whole > 0, "an input of {target} gets past all checks");
}

#[test]
fn block_decode_corpus() {
    replay("block_decode", block_decode);
}

#[test]
fn index_decode_corpus() {
    replay("index_decode", index_decode);
}

#[test]
fn records_decode_corpus() {
    replay("records_decode", records_decode);
}

#[test]
fn schema_decode_corpus() {
    replay("schema_decode", schema_decode);
}

#[test]
fn key_order_corpus() {
    replay("key_order", key_order);
}

#[test]
fn merge_model_corpus() {
    replay("merge_model", merge_model);
}

#[test]
#[ignore = "writes the seeds of the corpus; run once for a new format version"]
fn write_the_seeds() {
    let put = |target: &str, name: &str, data: &[u8]| {
        let dir = corpus(target);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), data).unwrap();
    };
    for (choice, schema) in (0u8..).zip(schemas()) {
        let encoded = encode_schema(&schema).unwrap();
        put("schema_decode", &format!("seed-{choice}"), &encoded);
        let layout = Layout::try_new(Arc::clone(&schema)).unwrap();
        for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
            let block =
                |rows, raw| encode_block(&layout, codec, raw, 5, &batch(&schema, rows)).unwrap();
            let filler = *b"BWFL\x08\0\0\0";
            let segment = [block(3, 1 << 16), filler.to_vec(), block(40, 1 << 16)].concat();
            let name = format!("seed-{choice}-{codec}").replace(':', "-");
            for (repair, suffix) in [(0, ""), (0x80, "-repair")] {
                let input = [vec![choice | repair], segment.clone()].concat();
                put("block_decode", &format!("{name}{suffix}"), &input);
            }
            if !schema.fields().is_empty() && layout.variable_nodes() > 0 {
                let chain = [vec![choice | 0x80], block(1, 8)].concat();
                put("block_decode", &format!("{name}-chain"), &chain);
            }
        }
    }
    write_records(&put);
    for (number, seed) in (0u8..).zip([1u64, 2, 3, 4, 5, 6, 7, 8]) {
        let mut rng = bywash_tests::seed::Rng::new(seed);
        let noise = rng.bytes(700);
        // Two columns of two types each, then rows; small values, so that some are equal.
        for (column, mask) in [(number, 0xff), (number + 13, 0x81), (number + 5, 3)] {
            let rows: Vec<u8> = noise.iter().map(|byte| byte & mask).collect();
            let head = [column.wrapping_mul(37), column.wrapping_mul(91)];
            put("key_order", &format!("seed-{number}-{column}"), &[&head[..], &rows].concat());
        }
        let steps: Vec<u8> = noise.iter().take(3 * (3 + usize::from(number))).copied().collect();
        let input = [&[number.wrapping_mul(53)], &steps[..]].concat();
        put("merge_model", &format!("seed-{number}"), &input);
    }
    let index = right_index();
    put("index_decode", "seed", &[vec![0], index.clone()].concat());
    for at in [8, 32, 40, 48, 56, 128, 136, 176, 200] {
        let mut changed = [vec![1], index.clone()].concat();
        changed[1 + at] ^= 1;
        put("index_decode", &format!("seed-{at}"), &changed);
    }
    put("index_decode", "seed-cut", &index[..100]);
}

/// Blocks of every width of lengths, of nothing but empty records, with fillers, and chains.
fn write_records(put: &dyn Fn(&str, &str, &[u8])) {
    let text = |len: usize| b"some words of text, ".iter().copied().cycle().take(len).collect();
    let lists: [(&str, Vec<Vec<u8>>); 5] = [
        ("equal", vec![text(9); 5]),
        ("short", (0..6).map(|record| text(record * 7 % 23)).collect()),
        ("wide", (0..3).map(|record| text(5 + record * 150)).collect()),
        ("empty", vec![Vec::new(); 4]),
        ("wider", vec![text(65_536), text(3)]),
    ];
    for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
        let block = |raw, records: &[Vec<u8>]| encode_records(codec, raw, 5, records).unwrap();
        let codec = codec.to_string().replace(':', "-");
        for (name, records) in &lists {
            if *name == "wider" && codec == "none" {
                continue;
            }
            let filler = *b"BWFL\x08\0\0\0";
            let whole = block(1 << 17, records);
            let segment = [whole.clone(), filler.to_vec(), whole].concat();
            for (repair, suffix) in [(0, ""), (0x80, "-repair")] {
                let input = [vec![repair], segment.clone()].concat();
                put("records_decode", &format!("seed-{name}-{codec}{suffix}"), &input);
            }
        }
        let chain = [vec![0x80], block(100, &[text(5), text(250), text(0)])].concat();
        put("records_decode", &format!("seed-chain-{codec}"), &chain);
    }
}

/// Rows whose values are small, every third of them null where there may be nulls.
fn batch(schema: &SchemaRef, rows: usize) -> RecordBatch {
    let layout = Layout::try_new(Arc::clone(schema)).unwrap();
    let columns = schema
        .fields()
        .iter()
        .zip(layout.nodes())
        .map(|(field, node)| column(field.data_type(), node.physical, node.nullable, rows));
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options).unwrap()
}

fn column(data_type: &DataType, physical: Physical, nullable: bool, rows: usize) -> ArrayRef {
    let mut bits = vec![0u8; rows.div_ceil(8)];
    for row in (0..rows).filter(|row| row % 3 != 1) {
        bits[row / 8] |= 1 << (row % 8);
    }
    let data = ArrayData::builder(data_type.clone()).len(rows);
    let data = if nullable && physical != Physical::Null {
        data.null_bit_buffer(Some(bits.clone().into()))
    } else {
        data
    };
    let data = match physical {
        Physical::Null => data,
        Physical::Bool => data.add_buffer(bits.into()),
        Physical::Fixed { width } => {
            let mut values = vec![0u8; rows * width as usize];
            for (row, value) in values.chunks_exact_mut(width.max(1) as usize).enumerate() {
                value[0] = u8::try_from(row % 7).unwrap();
            }
            data.add_buffer(values.into())
        }
        Physical::Variable { wide } => {
            let width = if wide { 8 } else { 4 };
            let mut offsets = vec![0u8; width];
            let mut text = Vec::new();
            for row in 0..rows {
                text.extend_from_slice(&b"some words of text"[..row * 5 % 17]);
                if rows == 1 {
                    text.extend_from_slice(b"a row above a block");
                }
                offsets.extend(&(text.len() as u64).to_le_bytes()[..width]);
            }
            data.add_buffer(offsets.into()).add_buffer(text.into())
        }
    };
    make_array(data.align_buffers(true).build().unwrap())
}
