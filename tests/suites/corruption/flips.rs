//! Every flipped bit and every truncation, with the checksums as they were.

use bywash::Codec;

use crate::outputs::{CODECS, chained, framed, mixed};
use crate::records;
use crate::subject::Subject;

#[test]
fn every_bit_and_length_of_a_mixed_output() {
    for codec in CODECS {
        sweep(&mixed(codec));
    }
}

#[test]
fn every_bit_and_length_of_a_chain() {
    for codec in CODECS {
        sweep(&chained(codec));
    }
}

#[test]
fn every_bit_and_length_of_a_block_of_several_frames() {
    for codec in [Codec::Lz4, Codec::ZSTD] {
        let subject = framed(codec);
        let len = subject.files.data.len();
        assert!(len < 4000, "{len} bytes are small enough to sweep");
        sweep(&subject);
    }
}

#[test]
fn every_bit_and_length_of_records() {
    for codec in CODECS {
        sweep(&records::mixed(codec));
        sweep(&records::chained(codec));
    }
    for codec in [Codec::Lz4, Codec::ZSTD] {
        sweep(&records::framed(codec));
    }
}

/// Nothing in the three files is free of checks, so each damage is an error.
fn sweep(subject: &Subject) {
    for &part in subject.parts() {
        let bytes = subject.bytes(part);
        for (offset, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                let what = format!("{part:?} byte {offset} bit {bit}");
                let error = subject.check_with(part, offset, &[byte ^ (1 << bit)], &what);
                assert!(error.is_some(), "{what} is not noticed");
            }
        }
        let len = bytes.len() as u64;
        for len in (0..len).chain([len + 1, len + 8, 1 << 40]) {
            let what = format!("{part:?} of {len} bytes");
            let error = subject.check_with_len(part, len, &what);
            assert!(error.is_some(), "{what} is not noticed");
        }
    }
}
