//! A stream's schema for C, charged until it is released.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowSchema;
use arrow_schema::{Field, Schema};
use bywash::{Error, ErrorKind, Exported, Result};

use crate::c_data::CSchema;
use crate::call::contained;
use crate::fork::ForkMark;

/// What is behind a schema.
struct LentSchema {
    /// Released by its own drop, before its charge.
    schema: FFI_ArrowSchema,
    charge: Option<Exported>,
    mark: Arc<ForkMark>,
}

/// The most that is allocated for a schema of flat columns that is lent out.
pub(crate) fn lent_schema_bytes(schema: &Schema) -> u64 {
    // Both are maps, of types that differ between versions of Arrow.
    let own = schema.metadata().iter().map(|(key, value)| entry_bytes(key, value)).sum();
    let field = |field: &Arc<Field>| {
        NODE_BYTES
            + field.name().len()
            + metadata_bytes(
                field.metadata().iter().map(|(key, value)| entry_bytes(key, value)).sum(),
            )
            + FORMAT_BYTES
            + match field.data_type() {
                arrow_schema::DataType::Timestamp(_, Some(zone)) => zone.len(),
                _ => 0,
            }
    };
    let fields = schema.fields().iter().map(field).sum::<usize>();
    (size_of::<LentSchema>() + NODE_BYTES + FORMAT_BYTES + fields + metadata_bytes(own)) as u64
}

/// Two lengths and two texts.
const fn entry_bytes(key: &str, value: &str) -> usize {
    key.len() + value.len() + 8
}

/// A count and the entries, in a vector that grew to at most twice what is in it.
const fn metadata_bytes(entries: usize) -> usize {
    if entries == 0 { 0 } else { 2 * (entries + 8) }
}

/// Lends a schema to C.
///
/// # Errors
/// `Unsupported` for one that the interface cannot say.
pub(crate) fn lend_schema(
    schema: &Schema,
    charge: Option<Exported>,
    mark: &Arc<ForkMark>,
) -> Result<FFI_ArrowSchema> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| {
        Error::new(ErrorKind::Unsupported, "a schema cannot be handed out")
            .with_detail(error.to_string())
    })?;
    let source: *const FFI_ArrowSchema = &raw const schema;
    // SAFETY: read as the fields of a live schema, whose owner moves into LentSchema below.
    let mut outer = unsafe { source.cast::<CSchema>().read() };
    let lent = Box::new(LentSchema { schema, charge, mark: Arc::clone(mark) });
    outer.release = Some(release_schema);
    outer.private_data = Box::into_raw(lent).cast::<c_void>();
    let outer: *const CSchema = &raw const outer;
    // SAFETY: a whole schema that owns LentSchema, in one layout with Arrow's type; given up here.
    Ok(unsafe { outer.cast::<FFI_ArrowSchema>().read() })
}

unsafe extern "C" fn release_schema(schema: *mut CSchema) {
    // SAFETY: consumers release a schema that is there, once.
    let Some(schema) = (unsafe { schema.as_mut() }) else { return };
    schema.release = None;
    let lent: *mut LentSchema = schema.private_data.cast();
    schema.private_data = ptr::null_mut();
    // SAFETY: put there by lend_schema, and released once.
    if unsafe { lent.as_ref() }.is_none_or(|lent| lent.mark.is_in_child()) {
        return;
    }
    // SAFETY: made by Box::into_raw in lend_schema, and released once.
    let LentSchema { schema, charge, .. } = *unsafe { Box::from_raw(lent) };
    drop(schema);
    // Which may tell the host.
    drop(contained("release of a schema", move || drop(charge)));
}

/// A schema's struct, its address with its parent, and what Arrow keeps behind it: children, dictionary,
/// metadata; and the ends of two strings.
const NODE_BYTES: usize = size_of::<CSchema>() + size_of::<[usize; 8]>() + 2;
/// The longest format of a flat type, but for a time zone.
const FORMAT_BYTES: usize = 32;
