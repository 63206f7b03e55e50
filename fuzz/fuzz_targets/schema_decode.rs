//! Oracle: what decodes, encodes to the same bytes.
#![cfg_attr(fuzzing, no_main)]

bywash_fuzz::target!(schema_decode);
