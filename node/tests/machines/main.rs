//! What the crate says about machines whose system files are in `fixtures`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budget;
mod container;
mod machine;
