//! Rows compared where they lie, without making keys of them.

use std::cmp::Ordering;

use super::{KeyColumn, KeyRows, SortKey, VALUE_MARKER};

/// The widest fixed value that is compared as a number.
const WIDTH_MAX: usize = 32;

impl SortKey {
    /// The order of two rows: that of their keys.
    pub fn compare<A: KeyRows, B: KeyRows>(
        &self,
        (first, first_row): (&A, usize),
        (second, second_row): (&B, usize),
    ) -> Ordering {
        for column in &self.columns {
            let order = column.compare((first, first_row), (second, second_row));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl KeyColumn {
    fn compare<A: KeyRows, B: KeyRows>(
        &self,
        (first, first_row): (&A, usize),
        (second, second_row): (&B, usize),
    ) -> Ordering {
        let (null, other_null) = (self.is_null(first, first_row), self.is_null(second, second_row));
        if null || other_null {
            let marker = |null| if null { self.null_marker } else { VALUE_MARKER };
            return marker(null).cmp(&marker(other_null));
        }
        let bytes = first.bytes(self.node, self.physical, first_row);
        let others = second.bytes(self.node, self.physical, second_row);
        self.compare_values(bytes, others)
    }

    /// The order of two values' bytes, the direction applied.
    pub(super) fn compare_values(&self, bytes: &[u8], others: &[u8]) -> Ordering {
        let order = if self.kind == super::Kind::Bytes {
            bytes.cmp(others)
        } else {
            let (mut one, mut other) = ([0; WIDTH_MAX], [0; WIDTH_MAX]);
            let (one, other) = (&mut one[..bytes.len()], &mut other[..others.len()]);
            one.copy_from_slice(bytes);
            other.copy_from_slice(others);
            self.kind.normalize(one);
            self.kind.normalize(other);
            (*one).cmp(other)
        };
        if self.descending { order.reverse() } else { order }
    }
}
