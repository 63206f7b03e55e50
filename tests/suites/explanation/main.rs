//! What a ledger explains: why memory was written to disk, who held the peak, who still holds some.

#![expect(clippy::unwrap_used, reason = "a test suite")]

mod causes;
mod leaks;
mod peak;
mod ring;
