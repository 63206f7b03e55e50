//! Columns as options list them: `--by a,b --by c`.
//!
//! A value that is the name of a column as a whole is that column; any other is split at commas. So
//! every column can be named, if need be in an option of its own.

use crate::failure::Result;
use crate::input::Input;

/// What the values of an option list. `is_column` says whether a text is one column as it stands.
pub(crate) fn split(values: &[String], is_column: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut listed = Vec::with_capacity(values.len());
    for value in values {
        if is_column(value) {
            listed.push(value.as_str());
        } else {
            listed.extend(value.split(','));
        }
    }
    listed
}

impl Input {
    /// The names of the columns that the values of an option list; what is no column is in it too.
    pub(crate) fn listed(&self, values: &[String]) -> Vec<String> {
        split(values, |name| self.has(name)).into_iter().map(str::to_owned).collect()
    }

    /// Indexes of the columns that the values of an option list.
    pub(crate) fn listed_columns(&self, values: &[String]) -> Result<Vec<usize>> {
        self.columns(&self.listed(values))
    }
}
