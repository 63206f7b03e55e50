//! Bywash.
fn main() {}
