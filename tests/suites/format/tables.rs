//! Offsets, sizes, magic numbers and limits.

use bywash::{Codec, PARTITIONS_MAX};
use bywash_core::block::{
    self, BLOCK_ALIGN, BLOCK_RECORDS_MAX, BODY_BYTES_MAX, FILLER_BYTES_MAX, FILLER_BYTES_MIN,
    FILLER_MAGIC, FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, FRAME_HEADER_BYTES, HEADER_BYTES,
    KIND_COLUMNS, KIND_RECORDS, RAW_BYTES_MAX, RECORD_PREFIX_BYTES, filler_offset, frame_offset,
    offset, record_prefix_offset,
};
use bywash_core::codec::{TAG_LZ4, TAG_NONE, TAG_ZSTD};
use bywash_core::column::ENTRIES_MAX;
use bywash_spill::{
    INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_VERSION, PAGE_BYTES, PAGE_ENTRIES, SCHEMA_BYTES_MAX,
    SCHEMA_HEADER_BYTES, SCHEMA_MAGIC, SCHEMA_VERSION, index_offset, page_offset, schema_offset,
};

use crate::document::table;

/// Compares a table of fields with their offsets; a field ends where the next one begins.
fn compare(name: &str, fields: &[(&str, usize)], end: usize) {
    let table = table(name);
    assert_eq!(table.len(), fields.len(), "{name}");
    let ends = fields.iter().skip(1).map(|(_, offset)| *offset).chain([end]);
    for ((row, (field, offset)), end) in table.iter().zip(fields).zip(ends) {
        let what = format!("{name}: {row:?}");
        assert_eq!(row[0], offset.to_string(), "{what}");
        assert_eq!(row[1], (end - offset).to_string(), "{what}");
        assert_eq!(row[3], *field, "{what}");
        let of_type = match row[2].as_str() {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" => 8,
            "bytes" | "zeros" => end - offset,
            text if text.starts_with("u64 x ") => 8 * text[6..].parse::<usize>().unwrap(),
            _ => panic!("{what}"),
        };
        assert_eq!(of_type, end - offset, "{what}");
    }
}

#[test]
fn fields_are_where_the_document_says() {
    compare(
        "block header",
        &[
            ("magic", offset::MAGIC),
            ("version", offset::VERSION),
            ("kind", offset::KIND),
            ("flags", offset::FLAGS),
            ("partition", offset::PARTITION),
            ("rows", offset::ROWS),
            ("body_bytes", offset::BODY_BYTES),
            ("raw_bytes", offset::RAW_BYTES),
            ("fingerprint", offset::FINGERPRINT),
            ("chain_offset", offset::CHAIN_OFFSET),
            ("chain_bytes", offset::CHAIN_BYTES),
            ("reserved", offset::RESERVED),
            ("body_crc", offset::BODY_CRC),
            ("header_crc", offset::HEADER_CRC),
        ],
        HEADER_BYTES,
    );
    compare(
        "frame header",
        &[
            ("tag", frame_offset::TAG),
            ("zero", frame_offset::ZERO),
            ("buffers", frame_offset::BUFFERS),
            ("raw_bytes", frame_offset::RAW_BYTES),
            ("stored_bytes", frame_offset::STORED_BYTES),
        ],
        FRAME_HEADER_BYTES,
    );
    compare(
        "record prefix",
        &[
            ("width", record_prefix_offset::WIDTH),
            ("zeros", record_prefix_offset::ZEROS),
            ("length", record_prefix_offset::LENGTH),
        ],
        RECORD_PREFIX_BYTES,
    );
    compare(
        "filler",
        &[("magic", filler_offset::MAGIC), ("length", filler_offset::LENGTH)],
        filler_offset::ZEROS,
    );
    compare(
        "index header",
        &[
            ("magic", index_offset::MAGIC),
            ("version", index_offset::VERSION),
            ("map", index_offset::MAP),
            ("attempt", index_offset::ATTEMPT),
            ("fingerprint", index_offset::FINGERPRINT),
            ("data_bytes", index_offset::DATA_BYTES),
            ("rows", index_offset::ROWS),
            ("partitions", index_offset::PARTITIONS),
            ("name_bytes", index_offset::NAME_BYTES),
            ("name", index_offset::NAME),
            ("reserved", index_offset::RESERVED),
        ],
        INDEX_HEADER_BYTES,
    );
    compare(
        "schema header",
        &[
            ("magic", schema_offset::MAGIC),
            ("version", schema_offset::VERSION),
            ("length", schema_offset::LENGTH),
            ("crc", schema_offset::CRC),
        ],
        SCHEMA_HEADER_BYTES,
    );
    compare(
        "run page",
        &[
            ("ends", page_offset::ENDS),
            ("number", page_offset::NUMBER),
            ("crc", page_offset::CRC),
            ("zeros", page_offset::ZEROS),
        ],
        PAGE_BYTES,
    );
}

/// Compares a table whose first two columns are a name and a value.
fn compare_values(name: &str, values: &[(&str, u64)]) {
    let table = table(name);
    assert_eq!(table.len(), values.len(), "{name}");
    for (row, (text, value)) in table.iter().zip(values) {
        assert_eq!(row[0], *text, "{name}");
        assert_eq!(row[1], value.to_string(), "{name}: {text}");
    }
}

#[test]
fn numbers_are_what_the_document_says() {
    compare_values(
        "flags",
        &[
            ("whole", 0),
            ("first", FLAG_FIRST.into()),
            ("middle", FLAG_MIDDLE.into()),
            ("last", FLAG_LAST.into()),
        ],
    );
    compare_values("kinds", &[("columns", KIND_COLUMNS.into()), ("records", KIND_RECORDS.into())]);
    compare_values(
        "codecs",
        &[("none", TAG_NONE.into()), ("lz4", TAG_LZ4.into()), ("zstd", TAG_ZSTD.into())],
    );
    compare_values(
        "limits",
        &[
            ("BLOCK_ALIGN", BLOCK_ALIGN as u64),
            ("RAW_BYTES_MAX", RAW_BYTES_MAX as u64),
            ("BODY_BYTES_MAX", BODY_BYTES_MAX as u64),
            ("FILLER_BYTES_MIN", FILLER_BYTES_MIN as u64),
            ("FILLER_BYTES_MAX", FILLER_BYTES_MAX as u64),
            ("PARTITIONS_MAX", PARTITIONS_MAX.into()),
            ("SCHEMA_BYTES_MAX", SCHEMA_BYTES_MAX),
            ("BLOCK_RECORDS_MAX", BLOCK_RECORDS_MAX as u64),
            ("ENTRIES_MAX", ENTRIES_MAX.into()),
            ("PAGE_ENTRIES", PAGE_ENTRIES as u64),
        ],
    );
    for (row, codec) in table("codecs").iter().zip(["none", "lz4", "zstd"]) {
        assert!(row[0].parse::<Codec>().is_ok(), "{codec}");
    }
}

#[test]
fn magic_numbers_and_versions_are_what_the_document_says() {
    let expected = [
        ("block", block::MAGIC, u32::from(block::VERSION)),
        ("filler", FILLER_MAGIC, u32::from(block::VERSION)),
        ("index", INDEX_MAGIC, INDEX_VERSION),
        ("schema", SCHEMA_MAGIC, SCHEMA_VERSION),
    ];
    let table = table("magic");
    assert_eq!(table.len(), expected.len());
    for (row, (name, magic, version)) in table.iter().zip(expected) {
        assert_eq!(row[0], name);
        assert_eq!(row[1].as_bytes(), magic.to_le_bytes(), "{name}");
        assert_eq!(row[2], version.to_string(), "{name}");
    }
}
