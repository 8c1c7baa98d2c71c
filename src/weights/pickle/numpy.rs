//! What the calls in a weight file mean. Nothing is called: each becomes a value, or is refused.

use super::value::{Dtype, Global, Heap, Value};
use crate::weights::raw::{Element, Payload, RawTensor, latin1_len};
use std::ops::Range;

/// Why a call was refused.
pub type Refused<T> = std::result::Result<T, String>;

/// Most axes of an array. Weights have five at most.
const MAX_RANK: usize = 8;

/// Longest name that is looked at, in bytes.
pub const MAX_NAME: usize = 1024;

/// The value of `function(*arguments)`.
///
/// `to_scan` is how many bytes of text may still be looked through; a text that is encoded again and again would
/// otherwise cost its length each time.
pub fn call(
    file: &[u8],
    heap: &mut Heap,
    to_scan: &mut usize,
    function: Global,
    arguments: &[Value],
) -> Refused<Value> {
    match (function, arguments) {
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => {
            heap.arrays.push(None);
            Ok(Value::Array(heap.arrays.len() - 1))
        }
        (Global::Dtype, [given, ..]) => {
            let name = name(file, given).ok_or_else(|| format!("an element type named by {}", given.kind()))?;
            heap.dtypes.push(dtype(name)?);
            Ok(Value::Dtype(heap.dtypes.len() - 1))
        }
        (Global::Encode, [Value::Text(range), encoding]) => {
            if !matches!(name(file, encoding), Some("latin1" | "latin-1")) {
                return Err("text encoded other than by latin1".to_owned());
            }
            *to_scan = to_scan.checked_sub(range.len()).ok_or("the same text encoded again and again")?;
            let bytes = file.get(range.clone()).unwrap_or_default();
            let len = latin1_len(bytes).ok_or("text that is not latin1 where bytes should be")?;
            Ok(Value::Bytes(Payload { range: range.clone(), latin1: true }, len))
        }
        (Global::Scalar, [Value::Dtype(_), ..]) => Ok(Value::Scalar),
        (Global::Bytes, []) => Ok(Value::Bytes(Payload { range: 0..0, latin1: false }, 0)),
        (Global::OrderedDict, []) => Ok(heap.new_dict()),
        (Global::FromBuffer, [data, dtype, shape, order]) => {
            let fortran = match name(file, order) {
                Some("C") => false,
                Some("F") => true,
                _ => return Err("an array of neither C nor F order".to_owned()),
            };
            let tensor = array(heap, shape, dtype, fortran, data)?;
            heap.arrays.push(Some(tensor));
            Ok(Value::Array(heap.arrays.len() - 1))
        }
        (function, arguments) => {
            let given = arguments.iter().map(Value::kind).collect::<Vec<_>>().join(", ");
            Err(format!("{function:?} called with ({given})"))
        }
    }
}

/// Gives `object` its state.
pub fn build(file: &[u8], heap: &mut Heap, object: &Value, state: &Value) -> Refused<()> {
    // A dtype with metadata has the longest state, of nine. Longer ones are not even looked at, since one tuple may be
    // the state of many objects.
    let items = |heap: &Heap| match state {
        Value::Tuple(range) if range.len() < 10 => heap.items.get(range.clone()).map(<[Value]>::to_vec),
        _ => None,
    };
    match object {
        Value::Array(index) => {
            let items = items(heap).unwrap_or_default();
            // The version came later: the oldest arrays have none.
            let [.., shape, dtype, Value::Bool(fortran), data] = items.as_slice() else {
                return Err("an array whose state is not shape, element type, order and bytes".to_owned());
            };
            let tensor = array(heap, shape, dtype, *fortran, data)?;
            if let Some(slot) = heap.arrays.get_mut(*index) {
                *slot = Some(tensor);
            }
            Ok(())
        }
        Value::Dtype(index) => {
            let items = items(heap).unwrap_or_default();
            let ([_, order, rest @ ..], Some(slot)) = (items.as_slice(), heap.dtypes.get_mut(*index)) else {
                return Err("an element type whose state is not a version and an order of bytes".to_owned());
            };
            match name(file, order) {
                Some("<" | "|" | "=") => slot.big_endian = false,
                Some(">") => slot.big_endian = true,
                _ => return Err("an element type of unknown order of bytes".to_owned()),
            }
            // Subtype, names and fields: what makes a structure of it.
            if rest.iter().take(3).any(|part| *part != Value::None) {
                *slot = Dtype { element: Element::Other("structure".to_owned()), size: 0, big_endian: false };
            }
            Ok(())
        }
        // Attributes of an OrderedDict, which torch puts there, say nothing about its entries.
        Value::Dict(_) if matches!(state, Value::Dict(_) | Value::Tuple(_)) => Ok(()),
        _ => Err(format!("a state for {}", object.kind())),
    }
}

/// The array of these parts, its size checked against its bytes.
fn array(heap: &Heap, shape: &Value, dtype: &Value, fortran: bool, data: &Value) -> Refused<RawTensor> {
    let axes = match shape {
        Value::Tuple(range) => heap.items.get(range.clone()).unwrap_or_default(),
        Value::Int(_) => std::slice::from_ref(shape),
        _ => return Err(format!("an array whose shape is {}", shape.kind())),
    };
    if axes.len() > MAX_RANK {
        return Err(format!("an array of {} axes", axes.len()));
    }
    let axes = axes.iter().map(|axis| match axis {
        Value::Int(axis) => usize::try_from(*axis).ok(),
        _ => None,
    });
    let shape: Vec<usize> = axes.collect::<Option<_>>().ok_or("an array whose shape is not of whole numbers")?;
    let Value::Dtype(dtype) = dtype else {
        return Err(format!("an array whose element type is {}", dtype.kind()));
    };
    let dtype = heap.dtypes.get(*dtype).ok_or("an array without an element type")?;
    let Value::Bytes(payload, len) = data else {
        return Err(format!("an array whose values are {}", data.kind()));
    };
    let wanted = shape.iter().try_fold(dtype.size, |len, &axis| len.checked_mul(axis));
    if dtype.size > 0 && wanted != Some(*len) {
        return Err(format!("an array of shape {shape:?} and {} with {len} bytes", dtype.element.name()));
    }
    Ok(RawTensor {
        element: dtype.element.clone(),
        shape,
        fortran,
        big_endian: dtype.big_endian,
        payload: payload.clone(),
    })
}

/// The element type that numpy calls `name`: a letter for the kind and the bytes, such as `f4`.
fn dtype(name: &str) -> Refused<Dtype> {
    let (big_endian, kind) = match name.as_bytes().first() {
        Some(b'>') => (true, &name[1..]),
        Some(b'<' | b'|' | b'=') => (false, &name[1..]),
        _ => (false, name),
    };
    if kind.len() > 16 || !kind.is_ascii() {
        return Err("an element type of a very long name".to_owned());
    }
    let element = match kind {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => Element::Other(kind.to_owned()),
    };
    let size = match kind.split_at_checked(1) {
        Some(("f" | "i" | "u" | "b" | "c", size)) => size.parse().unwrap_or(0),
        _ => 0,
    };
    Ok(Dtype { element, size, big_endian })
}

/// The text of a value that is some, be it of Python 2 or 3, and that is short enough for a name: a value may be looked
/// at any number of times.
pub fn name<'a>(file: &'a [u8], value: &Value) -> Option<&'a str> {
    text_range(value).filter(|range| range.len() <= MAX_NAME).and_then(|range| utf8(file, range))
}

/// The text of a value that is some, of any length.
pub fn text<'a>(file: &'a [u8], value: &Value) -> Option<&'a str> {
    text_range(value).and_then(|range| utf8(file, range))
}

fn text_range(value: &Value) -> Option<Range<usize>> {
    match value {
        Value::Text(range) | Value::Bytes(Payload { range, latin1: false }, _) => Some(range.clone()),
        _ => None,
    }
}

fn utf8(file: &[u8], range: Range<usize>) -> Option<&str> {
    std::str::from_utf8(file.get(range)?).ok()
}
