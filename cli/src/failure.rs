//! Why a command failed, as the one line the program prints.

use std::fmt;
use std::path::Path;

/// `Result` with [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// One line saying what is wrong and, where possible, what would be right.
#[derive(Debug, Clone)]
pub struct Failure(String);

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages of other libraries may span lines; ours is one.
        let mut separator = "";
        for line in self.0.lines().map(str::trim).filter(|line| !line.is_empty()) {
            write!(f, "{separator}{line}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<bywash::Error> for Failure {
    fn from(error: bywash::Error) -> Self {
        Self(error.to_string())
    }
}

/// Says at which file or directory something failed.
pub trait At<T> {
    /// Puts the path before the error.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T, E: fmt::Display> At<T> for Result<T, E> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", path.display())))
    }
}
