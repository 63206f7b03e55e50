//! The raw column layout of a block, as slices of Arrow arrays: what any shuffle has to move.
//!
//! Fixed-width values as they are, strings as `u32` lengths and their bytes, validity as bits and
//! only if there are nulls.

use arrow_array::cast::AsArray;
use arrow_array::types::ByteArrayType;
use arrow_array::{Array, GenericByteArray, RecordBatch};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer};
use arrow_schema::DataType;

/// The columns of a batch, ready to be cut by rows.
pub(crate) struct Columns {
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    validity: Option<NullBuffer>,
    values: Values,
}

enum Values {
    None,
    Bits(BooleanBuffer),
    Fixed { bytes: arrow_buffer::Buffer, width: usize },
    Variable { offsets: Vec<usize>, bytes: arrow_buffer::Buffer },
}

impl Columns {
    /// The columns of a batch; fails for types that the engine refuses too.
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self, String> {
        let columns = batch.columns().iter().map(|column| column_of(column.as_ref()));
        Ok(Self { columns: columns.collect::<Result<_, String>>()?, rows: batch.num_rows() })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Bytes of all rows in the raw layout.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.raw_bytes_of(0, self.rows)
    }

    /// Bytes of rows `from..to` in the raw layout.
    pub(crate) fn raw_bytes_of(&self, from: usize, to: usize) -> usize {
        let rows = to - from;
        let column_bytes = |column: &Column| {
            let validity = column.validity.as_ref().map_or(0, |_nulls| rows.div_ceil(8));
            validity
                + match &column.values {
                    Values::None => 0,
                    Values::Bits(_) => rows.div_ceil(8),
                    Values::Fixed { width, .. } => rows * width,
                    Values::Variable { offsets, .. } => rows * 4 + offsets[to] - offsets[from],
                }
        };
        self.columns.iter().map(column_bytes).sum()
    }

    /// Gives the buffers of rows `from..to` in the order of the layout.
    pub(crate) fn buffers(
        &self,
        from: usize,
        to: usize,
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]),
    ) {
        for column in &self.columns {
            if let Some(validity) = &column.validity {
                let bits = validity.inner().slice(from, to - from).sliced();
                each(&bits);
            }
            match &column.values {
                Values::None => {}
                Values::Bits(bits) => each(&bits.slice(from, to - from).sliced()),
                Values::Fixed { bytes, width } => {
                    each(&bytes[from * width..to * width]);
                }
                Values::Variable { offsets, bytes } => {
                    scratch.clear();
                    for ends in offsets[from..=to].windows(2) {
                        let length = u32::try_from(ends[1] - ends[0]).unwrap_or(u32::MAX);
                        scratch.extend_from_slice(&length.to_le_bytes());
                    }
                    each(&*scratch);
                    each(&bytes[offsets[from]..offsets[to]]);
                }
            }
        }
    }
}

fn column_of(array: &dyn Array) -> Result<Column, String> {
    let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    let values = match array.data_type() {
        DataType::Null => Values::None,
        DataType::Boolean => Values::Bits(array.as_boolean().values().clone()),
        DataType::Utf8 => variable(array.as_string::<i32>()),
        DataType::LargeUtf8 => variable(array.as_string::<i64>()),
        DataType::Binary => variable(array.as_binary::<i32>()),
        DataType::LargeBinary => variable(array.as_binary::<i64>()),
        DataType::FixedSizeBinary(width) => {
            fixed(array, usize::try_from(*width).map_err(|error| error.to_string())?)
        }
        other => match other.primitive_width() {
            Some(width) => fixed(array, width),
            None => return Err(format!("columns of {other} have no raw layout here")),
        },
    };
    Ok(Column { validity, values })
}

fn fixed(array: &dyn Array, width: usize) -> Values {
    let data = array.to_data();
    let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
    Values::Fixed { bytes, width }
}

fn variable<T: ByteArrayType>(array: &GenericByteArray<T>) -> Values {
    let offsets = array.value_offsets().iter().map(|offset| offset.as_usize()).collect();
    Values::Variable { offsets, bytes: array.values().clone() }
}
