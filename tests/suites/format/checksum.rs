//! CRC-32C is what its definition says, whichever kernel this processor was found to have: so the same
//! bytes are written and accepted everywhere.

use bywash_tests::seed;

/// Bit by bit, from the polynomial.
fn definition(crc: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    };
    !bytes.iter().fold(!crc, step)
}

#[test]
fn checksums_are_the_definitions_at_every_length_and_alignment() {
    assert_eq!(definition(0, b"123456789"), 0xe306_9283);
    let mut state = seed::run_seed();
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state.to_le_bytes()[7]
    })
    .take(100_000)
    .collect();
    // Kernels change at a word, and where they take 3 x 256 and 3 x 8192 bytes at once.
    let lengths =
        (0..=300).chain(760..=800).chain([6143, 6144, 6145, 24_575, 24_576, 24_577, 90_000]);
    for length in lengths {
        for start in 0..8 {
            let part = &bytes[start..start + length];
            assert_eq!(crc32c::crc32c(part), definition(0, part), "{length} bytes from {start}");
        }
        // In two steps, as streams are checked.
        let (head, tail) = bytes[..length].split_at(length / 3);
        let crc = crc32c::crc32c_append(crc32c::crc32c(head), tail);
        assert_eq!(crc, definition(definition(0, head), tail), "{length} bytes in two steps");
    }
}
