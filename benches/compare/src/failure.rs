//! What a comparison fails with: printed, then the program ends.

use std::error::Error;

/// `Result` with any error.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;
