#![cfg(feature = "panic-injection")]
