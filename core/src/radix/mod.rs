//! Stable radix sort, least significant digit first, of words and of prefix pairs.
//!
//! ```text
//! first   [ 3 1 2 1 .. ]  ── count all digits, one pass ──► counters
//!    │  scatter by the lowest digit that varies
//!    ▼
//! second  [ .. ]          ── scatter by the next ──► first ── .. until no digit is left
//! ```
//!
//! Only the bits of a [`RadixKey`] are looked at; bits that are the same in all items cost no pass. The
//! digits' widths follow from how many items there are and which bits vary. The caller brings both
//! slices; all else that a sort needs is charged when its [`RadixSort`] is made, and a sort allocates
//! nothing. There is no comparison sort in it: a few items are inserted one by one.
//!
//! Nothing of the caller's is called while items are between the slices (keys are read by code of this
//! module), so there is no panic that could leave items lost or doubled.
//!
//! **Nulls** have no key. A caller keeps their items in a part of the slice of its own, before or after
//! the others, and sorts the rest: order within that part is the order in which it filled it.

mod insertion;
mod item;
mod key;
mod plan;
mod scatter;
mod sort;
#[cfg(test)]
mod tests;

pub use item::{Pair, RadixItem};
pub use key::{Direction, RadixKey, Sign};
pub use sort::{RadixSort, Slot};
