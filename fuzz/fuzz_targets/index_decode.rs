//! Oracle: an index that opens agrees with itself, and its partitions read or fail.
#![cfg_attr(fuzzing, no_main)]

bywash_fuzz::target!(index_decode);
