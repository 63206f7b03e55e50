//! Compression of frames, with every byte of codec state charged at birth.

mod lz4;
mod lz4_accelerated;
mod zstd;

use std::fmt;
use std::str::FromStr;

use crate::memory::Consumer;
use crate::{Error, ErrorKind, Result};

/// How frames are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// Stored as they are.
    None,
    /// LZ4 block format.
    #[default]
    Lz4,
    /// Zstandard at a level from 1 to 22. Higher levels need more memory at birth.
    Zstd {
        /// The compression level.
        level: i32,
    },
}

impl Codec {
    /// Zstandard at level 1.
    pub const ZSTD: Self = Self::Zstd { level: 1 };

    /// The byte that names the codec in a frame.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::None => TAG_NONE,
            Self::Lz4 => TAG_LZ4,
            Self::Zstd { .. } => TAG_ZSTD,
        }
    }
}

/// A frame stored as it is.
pub const TAG_NONE: u8 = 0;
/// A frame in LZ4 block format.
pub const TAG_LZ4: u8 = 1;
/// A Zstandard frame.
pub const TAG_ZSTD: u8 = 2;

impl FromStr for Codec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid("no such codec; use none, lz4, zstd or zstd:LEVEL with LEVEL 1 to 22")
                .with_detail(text)
        };
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "lz4" => Ok(Self::Lz4),
            None if text == "zstd" => Ok(Self::ZSTD),
            Some(("zstd", level)) => match level.parse() {
                Ok(level) if (1..=22).contains(&level) => Ok(Self::Zstd { level }),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// Compresses frames of up to a fixed size. Allocates only when made.
#[derive(Debug)]
pub struct Compressor {
    state: CompressorState,
    codec: Codec,
}

#[derive(Debug)]
enum CompressorState {
    None,
    Lz4(lz4::Compressor),
    Lz4Either {
        thorough: lz4::Compressor,
        accelerated: lz4_accelerated::Compressor,
        is_accelerated: bool,
    },
    Zstd(zstd::Compressor),
}

impl Compressor {
    /// State for frames of at most `frame_bytes_max`.
    ///
    /// # Errors
    /// `MemoryLimit`, or `InvalidArgument` for a level out of range.
    pub fn try_new(consumer: &Consumer, codec: Codec, frame_bytes_max: usize) -> Result<Self> {
        let state = match codec {
            Codec::None => CompressorState::None,
            Codec::Lz4 => CompressorState::Lz4(lz4::Compressor::try_new(consumer)?),
            Codec::Zstd { level } => {
                CompressorState::Zstd(zstd::Compressor::try_new(consumer, level, frame_bytes_max)?)
            }
        };
        Ok(Self { state, codec })
    }

    /// As [`Compressor::try_new`], and can be [accelerated](Self::accelerate).
    ///
    /// # Errors
    /// As [`Compressor::try_new`].
    pub fn try_new_accelerated(
        consumer: &Consumer,
        codec: Codec,
        frame_bytes_max: usize,
    ) -> Result<Self> {
        let mut compressor = Self::try_new(consumer, codec, frame_bytes_max)?;
        if let CompressorState::Lz4(thorough) = compressor.state {
            let accelerated = lz4_accelerated::Compressor::try_new(consumer)?;
            compressor.state =
                CompressorState::Lz4Either { thorough, accelerated, is_accelerated: false };
        }
        Ok(compressor)
    }

    /// The bytes [`Compressor::try_new_accelerated`] reserves.
    ///
    /// # Errors
    /// `InvalidArgument` for a level out of range.
    pub fn bytes_for_accelerated(codec: Codec, frame_bytes_max: usize) -> Result<u64> {
        let more = if codec == Codec::Lz4 { lz4_accelerated::Compressor::bytes() } else { 0 };
        Ok(Self::bytes_for(codec, frame_bytes_max)? + more)
    }

    /// The bytes [`Compressor::try_new`] reserves.
    ///
    /// # Errors
    /// `InvalidArgument` for a level out of range.
    pub fn bytes_for(codec: Codec, frame_bytes_max: usize) -> Result<u64> {
        match codec {
            Codec::None => Ok(0),
            Codec::Lz4 => Ok(lz4::Compressor::BYTES),
            Codec::Zstd { level } => zstd::Compressor::bytes_for(level, frame_bytes_max),
        }
    }

    /// Room that [`Compressor::compress`] needs for `len` bytes.
    pub fn compressed_bytes_max(codec: Codec, len: usize) -> usize {
        match codec {
            Codec::None => len,
            Codec::Lz4 => lz4::compressed_bytes_max(len).max(len),
            Codec::Zstd { .. } => zstd::compressed_bytes_max(len).max(len),
        }
    }

    /// Compresses `source` into `target`, which has room for [`Self::compressed_bytes_max`].
    /// Returns the tag and length; what does not get smaller is stored as it is. No allocation.
    pub fn compress(&mut self, source: &[u8], target: &mut [u8]) -> (u8, usize) {
        let compressed = match &mut self.state {
            CompressorState::None => None,
            CompressorState::Lz4(lz4) => lz4.compress(source, target),
            CompressorState::Lz4Either { accelerated, is_accelerated: true, .. } => {
                accelerated.compress(source, target)
            }
            CompressorState::Lz4Either { thorough, .. } => thorough.compress(source, target),
            CompressorState::Zstd(zstd) => zstd.compress(source, target),
        };
        match compressed {
            Some(len) if len < source.len() => (self.codec.tag(), len),
            _ => {
                target[..source.len()].copy_from_slice(source);
                (TAG_NONE, source.len())
            }
        }
    }

    /// Whether the frames from now on are searched for repeats in steps, faster and with less found.
    /// Only LZ4 made [for it](Self::try_new_accelerated) does so.
    pub const fn accelerate(&mut self, yes: bool) {
        if let CompressorState::Lz4Either { is_accelerated, .. } = &mut self.state {
            *is_accelerated = yes;
        }
    }

    /// The codec it was made for.
    pub const fn codec(&self) -> Codec {
        self.codec
    }
}

/// Decompresses frames of any codec; Zstandard's state is reserved when first needed.
#[derive(Debug)]
pub struct Decompressor {
    consumer: Consumer,
    zstd: Option<zstd::Decompressor>,
}

impl Decompressor {
    /// A decompressor whose state is charged to `consumer`.
    pub const fn new(consumer: Consumer) -> Self {
        Self { consumer, zstd: None }
    }

    /// A decompressor of what `codec` compresses that reserves nothing later.
    ///
    /// # Errors
    /// `MemoryLimit` for Zstandard's state.
    pub fn try_new_for(consumer: &Consumer, codec: Codec) -> Result<Self> {
        let zstd = match codec {
            Codec::Zstd { .. } => Some(zstd::Decompressor::try_new(consumer)?),
            Codec::None | Codec::Lz4 => None,
        };
        Ok(Self { consumer: consumer.clone(), zstd })
    }

    /// The bytes [`Self::try_new_for`] reserves.
    pub fn bytes_for(codec: Codec) -> u64 {
        match codec {
            Codec::Zstd { .. } => zstd::Decompressor::bytes(),
            Codec::None | Codec::Lz4 => 0,
        }
    }

    /// The most [`Self::decompress`] ever reserves for its own state.
    pub fn bytes_max() -> u64 {
        zstd::Decompressor::bytes()
    }

    /// Decompresses `source` into exactly `target`.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are not a frame of that codec or not of that length; `Unsupported`
    /// for an unknown tag; `MemoryLimit` for Zstandard's state.
    pub fn decompress(&mut self, tag: u8, source: &[u8], target: &mut [u8]) -> Result<()> {
        let len = match tag {
            TAG_NONE if source.len() == target.len() => {
                target.copy_from_slice(source);
                Some(source.len())
            }
            TAG_NONE => None,
            TAG_LZ4 => lz4::decompress(source, target),
            TAG_ZSTD => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::Decompressor::try_new(&self.consumer)?),
                };
                zstd.decompress(source, target)
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a frame has a codec this version does not know",
                )
                .with(crate::Figure::Found, tag));
            }
        };
        if len == Some(target.len()) {
            Ok(())
        } else {
            Err(Error::corrupt("a frame does not decompress to its stated length"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::RngExt;
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;
    use crate::memory::MemoryLedger;

    #[test]
    fn every_codec_round_trips_and_charges_what_it_says() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for codec in [Codec::None, Codec::Lz4, Codec::ZSTD, Codec::Zstd { level: 9 }] {
            let ledger = MemoryLedger::new(64 << 20);
            let consumer = ledger.admit(1, 0).unwrap()[0].consumer("codec");
            let mut compressor = Compressor::try_new(&consumer, codec, text.len()).unwrap();
            assert_eq!(ledger.granted(), Compressor::bytes_for(codec, text.len()).unwrap());
            let mut decompressor = Decompressor::new(consumer);
            for len in [0, 1, 100, 65_535, 65_536, text.len()] {
                let mut packed = vec![0; Compressor::compressed_bytes_max(codec, len)];
                let (tag, packed_len) = compressor.compress(&text[..len], &mut packed);
                let mut unpacked = vec![0; len];
                decompressor.decompress(tag, &packed[..packed_len], &mut unpacked).unwrap();
                assert_eq!(unpacked, text[..len], "{codec} {len}");
                let mut longer = vec![0; len + 1];
                assert!(decompressor.decompress(tag, &packed[..packed_len], &mut longer).is_err());
            }
        }
    }

    /// Any bytes of any length, between the two ways to compress them, into just the room there must be.
    #[test]
    fn accelerated_frames_are_frames_like_any_other() {
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let ledger = MemoryLedger::new(64 << 20);
        let consumer = ledger.admit(1, 0).unwrap()[0].consumer("codec");
        for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
            let frame_bytes_max = 300_000;
            let before = ledger.granted();
            let mut compressor =
                Compressor::try_new_accelerated(&consumer, codec, frame_bytes_max).unwrap();
            let bytes = Compressor::bytes_for_accelerated(codec, frame_bytes_max).unwrap();
            assert_eq!(ledger.granted() - before, bytes, "{codec}");
            let mut decompressor = Decompressor::new(consumer.clone());
            for case in 0..400 {
                let len = match case % 4 {
                    0 => random.random_range(0..20),
                    1 => random.random_range(0..1000),
                    // Around where the library's table changes.
                    2 => random.random_range(65_500..65_600),
                    _ => random.random_range(0..=frame_bytes_max),
                };
                let most = [0, 1, 59, u8::MAX][case / 4 % 4];
                let source: Vec<u8> = (0..len).map(|_| random.random_range(0..=most)).collect();
                compressor.accelerate(random.random());
                let mut packed = vec![0; Compressor::compressed_bytes_max(codec, len)];
                let (tag, packed_len) = compressor.compress(&source, &mut packed);
                assert!(packed_len <= len && (tag == codec.tag() || packed_len == len));
                let mut unpacked = vec![0; len];
                decompressor.decompress(tag, &packed[..packed_len], &mut unpacked).unwrap();
                assert_eq!(unpacked, source, "{codec} case {case} {len}");
            }
        }
    }

    /// The state is sized for the largest frame; a smaller one picks other parameters.
    #[test]
    fn every_level_compresses_every_length_in_the_state_it_was_given() {
        let text: Vec<u8> = (0..65_536u32)
            .flat_map(|i| ((i / 7).wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect();
        let ledger = MemoryLedger::unlimited();
        let consumer = ledger.admit(1, 0).unwrap()[0].consumer("codec");
        for level in 1..=22 {
            let codec = Codec::Zstd { level };
            for most in [64 << 10, 256 << 10] {
                let mut compressor = Compressor::try_new(&consumer, codec, most).unwrap();
                for len in [200, 1024, 16_384, 16_385, 65_536, 131_073, 262_144] {
                    let len = len.min(most);
                    let mut packed = vec![0; Compressor::compressed_bytes_max(codec, len)];
                    let (tag, _) = compressor.compress(&text[..len], &mut packed);
                    assert_eq!(tag, TAG_ZSTD, "level {level}, {len} of {most} bytes");
                }
            }
        }
    }

    #[test]
    fn names_what_would_be_right() {
        assert_eq!("zstd:3".parse::<Codec>().unwrap(), Codec::Zstd { level: 3 });
        let error = "zstd:40".parse::<Codec>().unwrap_err().to_string();
        assert!(error.contains("zstd:40") && error.contains("LEVEL 1 to 22"), "{error}");
    }
}
