//! The encoding of a schema.

use bywash_core::column::{decode_schema, encode_schema};

/// What decodes, encodes to the same bytes.
pub fn schema_decode(data: &[u8]) -> bool {
    let Ok(schema) = decode_schema(data) else {
        return false;
    };
    match encode_schema(&schema) {
        Ok(encoded) => assert_eq!(encoded, data, "a decoded schema encodes otherwise"),
        Err(error) => panic!("a decoded schema does not encode: {error}"),
    }
    true
}
