//! Bywash.
