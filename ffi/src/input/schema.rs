//! Arrow's importer asserts that a schema's parts are there, follows it as deep as it goes, and makes
//! room for as many entries of metadata as it says: it is walked first, within bounds.
//!
//! What cannot be seen is that addresses which are not NULL point to what they are said to: that is the
//! caller's promise.

#![expect(unsafe_code, reason = "addresses come from C")]

use std::ffi::c_char;
use std::ptr;
use std::slice;

use arrow_array::ffi::FFI_ArrowSchema;
use bywash::{Error, Figure, Result};

use crate::c_data::CSchema;

/// Types inside types, the schema itself being the first.
const DEPTH_MAX: usize = 64;
/// Columns, columns inside columns included. Fewer fit a map output's schema.
const NODES_MAX: usize = 1 << 20;
/// Formats, names and metadata together: as much as a map output's schema holds.
const TEXT_MAX: usize = 16 << 20;

/// Looks at every node once; a schema that contains itself runs into a bound.
///
/// # Errors
/// `InvalidArgument` saying what is missing, cannot be, or is beyond a bound, with the column it is in.
pub(super) fn check(schema: &FFI_ArrowSchema) -> Result<()> {
    Walk { nodes: NODES_MAX, text: TEXT_MAX }.node(CSchema::of(schema), 1)
}

/// What is left of the bounds.
struct Walk {
    nodes: usize,
    text: usize,
}

impl Walk {
    fn node(&mut self, node: &CSchema, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(TOO_DEEP.with(Figure::Budget, DEPTH_MAX));
        }
        let left = self.nodes.checked_sub(1);
        self.nodes = left.ok_or_else(|| TOO_MANY.with(Figure::Budget, NODES_MAX))?;
        if node.release.is_none() {
            return Err(RELEASED);
        }
        // SAFETY: the interface says that these are texts with a NUL at their end, or NULL.
        let (format, name) = unsafe { (self.text(node.format)?, self.text(node.name)?) };
        let format = format.ok_or(Error::invalid("a schema has no format"))?;
        let name = name.unwrap_or("");
        let count = usize::try_from(node.n_children).ok().filter(|count| *count <= NODES_MAX);
        let count = count.ok_or_else(|| {
            Error::invalid("a schema has a number of children that cannot be")
                .with(Figure::Found, node.n_children)
        })?;
        if let Some(wanted) = children_of(format).filter(|wanted| *wanted != count) {
            return Err(Error::invalid("a schema's type has another number of children")
                .with(Figure::Expected, wanted)
                .with(Figure::Found, count)
                .with_detail(format!("format {format:?} of {name:?}")));
        }
        // SAFETY: the interface says that n_children nodes are there.
        let children = unsafe { node.children(count) }.ok_or_else(|| {
            Error::invalid("a schema's children, or one of them, are NULL or not aligned")
                .with(Figure::Expected, count)
        })?;
        // SAFETY: the interface says that metadata are laid out so, or NULL.
        unsafe { self.metadata(node.metadata.cast()) }?;
        for (index, child) in children.enumerate() {
            self.node(child, depth + 1).map_err(|error| match depth {
                1 => error.with(Figure::Column, index),
                _ => error,
            })?;
        }
        if !node.dictionary.is_aligned() {
            return Err(Error::invalid("a schema's dictionary is not aligned"));
        }
        // SAFETY: the interface says that it is a node, or NULL.
        let dictionary = unsafe { node.dictionary.as_ref() };
        dictionary.map_or(Ok(()), |dictionary| self.node(dictionary, depth + 1))
    }

    /// The text at `start`; nothing for NULL.
    ///
    /// # Safety
    /// `start` is NULL or points to bytes that end with a NUL.
    unsafe fn text<'a>(&mut self, start: *const c_char) -> Result<Option<&'a str>> {
        let start: *const u8 = start.cast();
        if start.is_null() {
            return Ok(None);
        }
        // SAFETY: up to the NUL, every byte is there; the first one found ends the search.
        let end = (0..=self.text).find(|at| unsafe { *start.add(*at) } == 0);
        let len = end.unwrap_or(usize::MAX);
        self.spend(len)?;
        // SAFETY: just read.
        let bytes = unsafe { slice::from_raw_parts(start, len) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| NOT_UTF8)
    }

    /// Pairs of texts, each with its length before it, and before all their number.
    ///
    /// # Safety
    /// `start` is NULL or points to metadata as the interface lays them out.
    unsafe fn metadata(&mut self, start: *const u8) -> Result<()> {
        if start.is_null() {
            return Ok(());
        }
        let mut at = start;
        // SAFETY: metadata begin with their number.
        let pairs = unsafe { length(&mut at) }?;
        for _ in 0..pairs.saturating_mul(2) {
            // SAFETY: each text begins with its length.
            let len = unsafe { length(&mut at) }?;
            // Its length counts, so that many empty ones have an end too.
            self.spend(size_of::<i32>())?;
            self.spend(len)?;
            // SAFETY: that many bytes follow, says the interface.
            let bytes = unsafe { slice::from_raw_parts(at, len) };
            std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)?;
            // SAFETY: as above.
            at = unsafe { at.add(len) };
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        let left = self.text.checked_sub(bytes);
        self.text = left.ok_or_else(|| TOO_LONG.with(Figure::Budget, TEXT_MAX))?;
        Ok(())
    }
}

/// The number at `at`, which moves past it.
///
/// # Safety
/// `at` points to an `int32_t`, aligned or not.
unsafe fn length(at: &mut *const u8) -> Result<usize> {
    // SAFETY: the caller's promise.
    let length = unsafe { ptr::read_unaligned(at.cast::<i32>()) };
    // SAFETY: as above.
    *at = unsafe { at.add(size_of::<i32>()) };
    usize::try_from(length).map_err(|_| {
        Error::invalid("a schema's metadata have a negative number or length")
            .with(Figure::Found, i64::from(length))
    })
}

/// How many children a type has; nothing where that is not fixed.
fn children_of(format: &str) -> Option<usize> {
    match format.as_bytes() {
        b"+l" | b"+L" | b"+vl" | b"+vL" | b"+m" | [b'+', b'w', ..] => Some(1),
        b"+r" => Some(2),
        // Structs and unions; and what Arrow does not know it refuses.
        [b'+', ..] => None,
        _ => Some(0),
    }
}

const TOO_DEEP: Error = Error::invalid("a schema is nested too deep");
const TOO_MANY: Error = Error::invalid("a schema has too many columns");
const TOO_LONG: Error = Error::invalid("a schema's formats, names and metadata are too long");
const NOT_UTF8: Error = Error::invalid("a schema's format, name or metadata are not UTF-8");
const RELEASED: Error =
    Error::invalid("a part of a schema was released before the schema was handed in");
