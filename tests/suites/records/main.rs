//! The writer and reader of opaque records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
