//! Oracle: what decodes, encodes and decodes to the same rows; memory is what the ledger granted.
#![cfg_attr(fuzzing, no_main)]

bywash_fuzz::target!(key_order);
