//! What can be sorted.

use bytemuck::{Pod, Zeroable};

/// A prefix of a key, and what it stands for: 16 bytes, the prefix first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Pair {
    /// The bits that are sorted by.
    pub prefix: u64,
    /// Goes where its prefix goes; a pointer or a row number.
    pub value: u64,
}

// SAFETY: two integers without padding; all bits zero is a value of both.
#[expect(unsafe_code, reason = "the crate does without bytemuck's derive macros")]
unsafe impl Zeroable for Pair {}
// SAFETY: repr(C), two u64, no padding, every bit pattern is a value.
#[expect(unsafe_code, reason = "the crate does without bytemuck's derive macros")]
unsafe impl Pod for Pair {}

/// A plain value with a 64-bit key: a word is its own key, a [`Pair`]'s is its prefix.
pub trait RadixItem: Pod + sealed::Sealed {
    /// The bits it is sorted by.
    fn key(self) -> u64;
}

impl RadixItem for u64 {
    #[inline]
    fn key(self) -> u64 {
        self
    }
}

impl RadixItem for Pair {
    #[inline]
    fn key(self) -> u64 {
        self.prefix
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "what can be sorted is for this module to say")]
    pub trait Sealed {}

    impl Sealed for u64 {}
    impl Sealed for super::Pair {}
}
