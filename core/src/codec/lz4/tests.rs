//! Frames at their limits, and any bytes through the compressor and back by another decompressor.

use proptest::prelude::*;

use super::search::{self, Match, Table};
use super::{Compressor, compressed_bytes_max, decompress};
use crate::memory::{Consumer, MemoryLedger};

fn consumer() -> Consumer {
    MemoryLedger::unlimited().admit(1, 0).unwrap()[0].consumer("lz4")
}

/// The bytes of a frame, which must come back.
fn packed(source: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::try_new(&consumer()).unwrap();
    let mut target = vec![0xa5; compressed_bytes_max(source.len())];
    let len = compressor.compress(source, &mut target).expect("there is room for anything");
    target.truncate(len);
    let mut back = vec![0; source.len()];
    assert_eq!(decompress(&target, &mut back), Some(source.len()));
    assert!(back == source, "other bytes came back");
    target
}

#[test]
fn every_short_length_comes_back_and_ends_in_literals() {
    for len in 0..300 {
        let same = vec![7; len];
        let frame = packed(&same);
        // Shorter ones have no room for a match.
        assert_eq!(frame.len() < len, len >= 13, "{len}");
        if len >= 13 {
            assert_eq!(frame[frame.len() - 5..], [7; 5], "{len}");
        }
        packed(&(0..=255).cycle().take(len).collect::<Vec<u8>>());
    }
}

#[test]
fn what_was_there_is_found_up_to_64_kib_back_and_no_further() {
    let text = b"a phrase that comes twice";
    for (distance, is_found) in [(1000, true), (65_535, true), (65_536, false), (65_537, false)] {
        // Where the noise goes, the table does not know: it is told of the first place.
        let noise = random(distance - text.len());
        let source = [&text[..], &noise, text, &[1; 20]].concat();
        let mut table: Box<Table> = Box::new([0; 1 << 13]);
        search::note(&source, 0, &mut table);
        let found = search::next(&source, distance, distance, &mut table);
        let expected = Match {
            start: distance,
            end: distance + text.len(),
            distance: u16::try_from(distance).unwrap_or(0),
        };
        assert_eq!(found == Some(expected), is_found, "{distance}: {found:?}");
        packed(&source);
    }
}

#[test]
fn the_same_bytes_become_the_same_frame_whatever_was_before() {
    let mut compressor = Compressor::try_new(&consumer()).unwrap();
    let [first, second] = [random(70_000), b"records ".repeat(900)];
    let mut frames = Vec::new();
    for source in [&first, &second, &second] {
        let mut target = vec![0; compressed_bytes_max(source.len())];
        let len = compressor.compress(source, &mut target).unwrap();
        frames.push(target[..len].to_vec());
    }
    assert_eq!(frames[1], frames[2]);
    assert_eq!(frames[1], packed(&second));
}

#[test]
fn what_has_no_room_is_refused_at_any_length_of_the_target() {
    let source = [random(300), b"again and again ".repeat(20), random(40)].concat();
    let whole = packed(&source).len();
    let mut compressor = Compressor::try_new(&consumer()).unwrap();
    for room in 0..whole + 40 {
        let mut target = vec![0; room];
        let found = compressor.compress(&source, &mut target);
        assert_eq!(found, (room >= whole).then_some(whole), "{room}");
    }
}

#[test]
fn large_frames_come_back_and_noise_is_looked_at_less_and_less() {
    let noise = random(4 << 20);
    assert!(packed(&noise).len() > noise.len());
    assert!(packed(&noise.repeat(2)).len() > 2 * noise.len(), "it is too far back");
    assert!(packed(&noise[..60_000].repeat(60)).len() < 100_000);
    assert!(packed(&vec![0; 4 << 20]).len() < 20_000);
}

proptest! {
    #[test]
    fn any_bytes_come_back(
        pieces in prop::collection::vec((0usize..70_000, 0usize..400, any::<bool>()), 0..60),
        letters in 1u8..=255,
    ) {
        // Noise of few or many letters, and copies of what was before.
        let mut source = Vec::new();
        for (number, &(from, len, is_noise)) in pieces.iter().enumerate() {
            if is_noise || source.is_empty() {
                let seed = number * 1000;
                source.extend(random(seed + len)[seed..].iter().map(|byte| byte % letters));
            } else {
                let from = from % source.len();
                let copy: Vec<u8> = source[from..].iter().copied().cycle().take(len).collect();
                source.extend(copy);
            }
        }
        packed(&source);
    }

    #[test]
    fn any_random_bytes_come_back(source in prop::collection::vec(any::<u8>(), 0..2000)) {
        packed(&source);
    }
}

fn random(len: usize) -> Vec<u8> {
    let mut state = 42u64;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}
