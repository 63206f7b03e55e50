//! Two libraries' encoders.

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::input::Input;
use crate::clock::timed;
use crate::failure::Result;
use crate::rounds::{Rival, Run};

/// `lz4_flex`, with the table that `bywash_core` gives it.
pub(crate) struct Flex<'a> {
    frames: Frames<'a>,
    table: CompressTable,
}

impl<'a> Flex<'a> {
    pub(crate) fn new(input: &'a Input, frame_bytes: usize) -> Self {
        Self { frames: Frames::new(input, frame_bytes), table: CompressTable::large() }
    }
}

impl Rival for Flex<'_> {
    fn name(&self) -> String {
        "lz4_flex".into()
    }

    fn note(&self) -> String {
        self.frames.left()
    }

    fn run(&mut self) -> Result<Run> {
        let table = &mut self.table;
        self.frames
            .run(|frame, target| compress_into_with_table(frame, target, table).unwrap_or_default())
    }
}

/// The C library.
pub(crate) struct C<'a> {
    frames: Frames<'a>,
    acceleration: i32,
}

impl<'a> C<'a> {
    pub(crate) fn new(input: &'a Input, frame_bytes: usize, acceleration: i32) -> Self {
        Self { frames: Frames::new(input, frame_bytes), acceleration }
    }
}

impl Rival for C<'_> {
    fn name(&self) -> String {
        format!("liblz4, steps of {}", self.acceleration)
    }

    fn note(&self) -> String {
        self.frames.left()
    }

    fn run(&mut self) -> Result<Run> {
        let mode = CompressionMode::FAST(self.acceleration);
        self.frames.run(|frame, target| {
            compress_to_buffer(frame, Some(mode), false, target).unwrap_or_default()
        })
    }
}

/// The input in frames, and room for one that is compressed.
struct Frames<'a> {
    input: &'a Input,
    frame_bytes: usize,
    target: Vec<u8>,
    compressed: usize,
}

impl<'a> Frames<'a> {
    fn new(input: &'a Input, frame_bytes: usize) -> Self {
        let bound = compress_bound(frame_bytes).unwrap_or_default();
        let target = vec![0; bound.max(get_maximum_output_size(frame_bytes))];
        Self { input, frame_bytes, target, compressed: 0 }
    }

    /// Compresses all frames in the time, and the first and the last again, to see that they are right.
    fn run(&mut self, mut compress: impl FnMut(&[u8], &mut [u8]) -> usize) -> Result<Run> {
        let (input, frame_bytes, target) = (self.input, self.frame_bytes, &mut self.target);
        let mut compressed = 0;
        let time = timed(|| {
            compressed = input.bytes.chunks(frame_bytes).map(|frame| compress(frame, target)).sum();
        });
        self.compressed = compressed;
        for frame in
            [input.bytes.chunks(frame_bytes).next(), input.bytes.chunks(frame_bytes).last()]
        {
            let frame = frame.unwrap_or_default();
            let len = compress(frame, target);
            let mut back = vec![0; frame.len()];
            if decompress_into(&target[..len], &mut back)? != frame.len() || back != frame {
                return Err("a frame does not decompress to what it was".into());
            }
        }
        Ok(Run { time, digest: 0 })
    }

    fn left(&self) -> String {
        format!("{:.3}", self.compressed as f64 / self.input.bytes.len() as f64)
    }
}
