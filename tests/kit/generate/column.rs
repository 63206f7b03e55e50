//! One array of any type, built from raw buffers with garbage wherever the format allows it.
#![expect(unsafe_code, reason = "arrays are built unchecked, then validated in full")]

use arrow_array::{ArrayRef, make_array};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer};
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType, IntervalUnit};

use crate::seed::Rng;

/// What the values of a column look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texture {
    /// Every bit at random; floats hold NaNs of many payloads.
    Noise,
    /// Few distinct values.
    Repeated,
    /// Values close to each other.
    Small,
    /// Zeros, empty strings.
    Zero,
}

impl Texture {
    /// One at random.
    pub fn random(rng: &mut Rng) -> Self {
        *rng.pick(&[Self::Noise, Self::Noise, Self::Repeated, Self::Small, Self::Zero])
    }
}

/// `rows` values of `data_type`; `null_percent` 0 means no nulls (perhaps with a bitmap all the
/// same). `value_bytes_max` bounds one string.
pub fn column(
    rng: &mut Rng,
    data_type: &DataType,
    rows: usize,
    null_percent: u64,
    texture: Texture,
    value_bytes_max: usize,
) -> ArrayRef {
    // A slice of a longer array half of the time; its start is rarely on a byte of the bitmap.
    let (before, after) = if rng.chance(50) { (rng.index(70), rng.index(20)) } else { (0, 0) };
    let total = before + rows + after;
    let mut builder = ArrayDataBuilder::new(data_type.clone()).len(total);
    if *data_type != DataType::Null {
        builder = builder.nulls(validity(rng, total, null_percent));
    }
    for buffer in buffers(rng, data_type, total, texture, value_bytes_max) {
        builder = builder.add_buffer(buffer);
    }
    // SAFETY: validated in full on the next line, before anything reads it.
    let data: ArrayData = unsafe { builder.build_unchecked() };
    data.validate_full().expect("the generator makes valid arrays");
    make_array(data).slice(before, rows)
}

fn validity(rng: &mut Rng, total: usize, null_percent: u64) -> Option<NullBuffer> {
    if null_percent == 0 && rng.chance(70) {
        return None;
    }
    // The bitmap itself may begin inside a byte, with garbage around it.
    let shift = rng.index(12);
    let mut bits = rng.bytes((shift + total).div_ceil(8) + 1);
    for row in 0..total {
        let at = shift + row;
        let mask = 1u8 << (at % 8);
        if rng.chance(null_percent) {
            bits[at / 8] &= !mask;
        } else {
            bits[at / 8] |= mask;
        }
    }
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), shift, total)))
}

fn buffers(
    rng: &mut Rng,
    data_type: &DataType,
    total: usize,
    texture: Texture,
    value_bytes_max: usize,
) -> Vec<Buffer> {
    match data_type {
        DataType::Null => vec![],
        DataType::Boolean => vec![Buffer::from_vec(match texture {
            Texture::Zero => vec![0; total.div_ceil(8)],
            _ => rng.bytes(total.div_ceil(8)),
        })],
        DataType::Utf8 => strings::<i32>(rng, total, texture, value_bytes_max, Content::Text),
        DataType::LargeUtf8 => strings::<i64>(rng, total, texture, value_bytes_max, Content::Text),
        DataType::Binary => strings::<i32>(rng, total, texture, value_bytes_max, Content::Bytes),
        DataType::LargeBinary => {
            strings::<i64>(rng, total, texture, value_bytes_max, Content::Bytes)
        }
        fixed => {
            let width = width(fixed);
            let mut values = Vec::with_capacity(total * width);
            let repeated: Vec<Vec<u8>> = (0..4).map(|_| value(rng, fixed, width)).collect();
            for _ in 0..total {
                match texture {
                    Texture::Noise => values.extend(value(rng, fixed, width)),
                    Texture::Repeated => values.extend(rng.pick(&repeated).iter().copied()),
                    Texture::Zero => values.extend(std::iter::repeat_n(0, width)),
                    Texture::Small => {
                        let small = rng.below(10).to_le_bytes();
                        values
                            .extend(small.iter().copied().chain(std::iter::repeat(0)).take(width));
                    }
                }
            }
            vec![aligned(&values)]
        }
    }
}

/// Arrow wants values aligned to their width; a byte vector need not be.
fn aligned(values: &[u8]) -> Buffer {
    Buffer::from_slice_ref(values)
}

/// Bytes of one value of a fixed-width type.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).expect("not negative"),
        DataType::Interval(IntervalUnit::MonthDayNano) => 16,
        other => other.primitive_width().expect("a fixed-width type"),
    }
}

fn value(rng: &mut Rng, data_type: &DataType, width: usize) -> Vec<u8> {
    let mut bytes = rng.bytes(width);
    let special = rng.chance(20);
    match data_type {
        DataType::Decimal32(precision, _) | DataType::Decimal64(precision, _) => {
            let limit = 10i64.pow(u32::from(*precision));
            let number = rng.bits().cast_signed() % limit;
            bytes.copy_from_slice(&number.to_le_bytes()[..width]);
        }
        DataType::Decimal128(precision, _) => {
            bytes.copy_from_slice(&decimal128(rng, *precision).to_le_bytes());
        }
        DataType::Decimal256(precision, _) => {
            let number = decimal128(rng, (*precision).min(38));
            bytes[..16].copy_from_slice(&number.to_le_bytes());
            bytes[16..].fill(if number < 0 { 0xff } else { 0 });
        }
        DataType::Float16 if special => {
            bytes.copy_from_slice(&F16_SPECIAL[rng.index(F16_SPECIAL.len())]);
        }
        DataType::Float32 if special => {
            let chosen = rng.pick(&[0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::MIN]);
            bytes.copy_from_slice(&chosen.to_le_bytes());
        }
        DataType::Float64 if special => {
            let chosen = rng.pick(&[0.0, -0.0, f64::NAN, -f64::NAN, f64::NEG_INFINITY, f64::MAX]);
            bytes.copy_from_slice(&chosen.to_le_bytes());
        }
        _ => {}
    }
    bytes
}

fn decimal128(rng: &mut Rng, precision: u8) -> i128 {
    let number = (i128::from(rng.bits().cast_signed()) << 64) | i128::from(rng.bits());
    number % 10i128.pow(u32::from(precision))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Text,
    Bytes,
}

/// Offsets and bytes; slots that a bitmap makes null have lengths and bytes like the others.
fn strings<O: ArrowNativeType>(
    rng: &mut Rng,
    total: usize,
    texture: Texture,
    value_bytes_max: usize,
    content: Content,
) -> Vec<Buffer> {
    let repeated: Vec<Vec<u8>> =
        (0..3).map(|_| one_string(rng, value_bytes_max, content)).collect();
    // Bytes before the first offset and after the last belong to nobody and need not be text.
    let lead = if rng.chance(30) { rng.index(9) } else { 0 };
    let mut bytes = if content == Content::Text { vec![b'#'; lead] } else { rng.bytes(lead) };
    let mut offsets = Vec::with_capacity(total + 1);
    let offset = |length: usize| O::usize_as(length);
    offsets.push(offset(bytes.len()));
    for _ in 0..total {
        match texture {
            Texture::Zero => {}
            Texture::Small => bytes.extend(std::iter::repeat_n(b'a', rng.index(3))),
            Texture::Repeated => bytes.extend(rng.pick(&repeated).iter().copied()),
            Texture::Noise => bytes.extend(one_string(rng, value_bytes_max, content)),
        }
        offsets.push(offset(bytes.len()));
    }
    let tail = if rng.chance(30) { rng.index(9) } else { 0 };
    bytes.extend(std::iter::repeat_n(b'~', tail));
    vec![Buffer::from_vec(offsets), Buffer::from_vec(bytes)]
}

fn one_string(rng: &mut Rng, value_bytes_max: usize, content: Content) -> Vec<u8> {
    // Most are short; one in a hundred is about as long as it may be.
    let length = match rng.below(200) {
        0 => value_bytes_max,
        1 => value_bytes_max / 2 + rng.index(value_bytes_max / 2 + 1),
        2..40 => 0,
        _ => rng.size(0, value_bytes_max.min(60)),
    };
    match content {
        Content::Bytes => rng.bytes(length),
        Content::Text => {
            let mut text = String::with_capacity(length + 4);
            while text.len() < length {
                text.push(*rng.pick(&[
                    'a',
                    'Z',
                    '0',
                    ' ',
                    '\0',
                    '\u{e9}',
                    '\u{20ac}',
                    '\u{1f9ca}',
                ]));
            }
            text.into_bytes()
        }
    }
}

/// Zero, minus zero, a quiet and a signalling NaN, infinity.
const F16_SPECIAL: [[u8; 2]; 5] = [[0, 0], [0, 0x80], [0, 0x7e], [1, 0x7c], [0, 0x7c]];

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;
    use crate::generate::all_types;
    use crate::seed::run_seed;

    #[test]
    fn makes_every_type_in_every_texture() {
        for (index, data_type) in all_types().iter().enumerate() {
            for texture in [Texture::Noise, Texture::Repeated, Texture::Small, Texture::Zero] {
                let mut rng = Rng::labelled(run_seed(), &[index as u64, texture as u64]);
                for rows in [0, 1, 100] {
                    let array = column(&mut rng, data_type, rows, 30, texture, 500);
                    assert_eq!(array.len(), rows);
                    assert_eq!(array.data_type(), data_type);
                }
            }
        }
    }

    #[test]
    fn leaves_garbage_under_nulls() {
        let mut rng = Rng::new(run_seed());
        let array = column(&mut rng, &DataType::Utf8, 500, 50, Texture::Noise, 50);
        let text = array.as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
        assert!((0..500).any(|row| text.is_null(row) && text.value_length(row) > 0));
    }
}
