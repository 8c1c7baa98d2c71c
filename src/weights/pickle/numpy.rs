//! What the calls in a weight file mean. Nothing is called: each becomes a value, or is refused.

use super::value::{Array, Dtype, Global, Heap, Value};
use crate::weights::raw::{Element, Encoding, Payload, RawTensor};
use crate::weights::strided;
use std::borrow::Cow;
use std::ops::Range;

/// Why a call was refused.
pub type Refused<T> = std::result::Result<T, String>;

/// Most axes of an array. Weights have five at most.
pub const MAX_RANK: usize = 8;

/// Most entries that dictionaries made of lists may bring. Others take two instructions each.
const MAX_ENTRIES: usize = 1 << 17;

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
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => Ok(heap.new_array(Array::Unbuilt)),
        (Global::Dtype, [given, ..]) => {
            let name = name(file, given).ok_or_else(|| format!("an element type named by {}", given.kind()))?;
            heap.dtypes.push(dtype(name)?);
            Ok(Value::Dtype(heap.dtypes.len() - 1))
        }
        (Global::Encode, [text @ (Value::Text(range) | Value::Escaped(range)), encoding]) => {
            if !matches!(name(file, encoding), Some("latin1" | "latin-1")) {
                return Err("text encoded other than by latin1".to_owned());
            }
            *to_scan = to_scan.checked_sub(range.len()).ok_or("the same text encoded again and again")?;
            let encoding = if matches!(text, Value::Text(_)) { Encoding::Latin1 } else { Encoding::RawUnicode };
            let len = encoding.len(file.get(range.clone()).unwrap_or_default());
            let len = len.ok_or("text that is not latin1 where bytes should be")?;
            Ok(Value::Bytes(Payload { range: range.clone(), encoding }, len))
        }
        (Global::Scalar, [Value::Dtype(_), ..]) => Ok(Value::Number),
        (Global::Bytes, []) => Ok(Value::Bytes(Payload::plain(0..0), 0)),
        (Global::OrderedDict, []) => Ok(heap.new_dict()),
        (Global::OrderedDict, [items]) => ordered_dict(heap, to_scan, items),
        (Global::FromBuffer, [data, dtype, shape, order]) => {
            let fortran = match name(file, order) {
                Some("C") => false,
                Some("F") => true,
                _ => return Err("an array of neither C nor F order".to_owned()),
            };
            let tensor = array(heap, shape, dtype, fortran, data)?;
            Ok(heap.new_array(Array::Whole(tensor)))
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
                *slot = Array::Whole(tensor);
            }
            Ok(())
        }
        Value::Dtype(index) => {
            let items = items(heap).unwrap_or_default();
            let Some(slot) = heap.dtypes.get_mut(*index) else {
                return Err("a state for an element type that is not there".to_owned());
            };
            let big_endian = match items.as_slice() {
                [_, order, ..] => match name(file, order) {
                    Some("<" | "|" | "=") => Some(false),
                    Some(">") => Some(true),
                    _ => None,
                },
                _ => None,
            };
            // Subtype, names and fields: what makes a structure of it.
            let is_structure = items.iter().skip(2).take(3).any(|part| *part != Value::None);
            if is_structure || big_endian.is_none() {
                *slot = Dtype { element: Element::Other("structure".to_owned()), size: 0, big_endian: false };
            }
            slot.big_endian = big_endian.ok_or("an element type whose state is not a version and an order of bytes")?;
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
    let strides = if fortran { Some(first_innermost(&shape)) } else { None };
    let strides = strides.and_then(|strides| strided::unless_dense(&shape, strides));
    let (element, big_endian) = (dtype.element.clone(), dtype.big_endian);
    Ok(RawTensor { element, shape, strides, big_endian, payload: payload.clone() })
}

/// The strides of an array in Fortran's order. Its size has been checked, so that they are within it.
fn first_innermost(shape: &[usize]) -> Vec<usize> {
    let mut next = 1usize;
    let axis = |&n: &usize| {
        let stride = next;
        next = next.saturating_mul(n);
        stride
    };
    shape.iter().map(axis).collect()
}

/// The dictionary of pairs of key and value, as Python 2 writes an ordered one.
fn ordered_dict(heap: &mut Heap, to_scan: &mut usize, items: &Value) -> Refused<Value> {
    let pairs = heap.items_of(items).ok_or_else(|| format!("an ordered dictionary of {}", items.kind()))?;
    // The same list may be made a dictionary of any number of times.
    *to_scan = to_scan.checked_sub(pairs.len()).ok_or("the same items put in order again and again")?;
    if heap.entries.len() + pairs.len() > MAX_ENTRIES {
        return Err(format!("more than {MAX_ENTRIES} entries"));
    }
    let pair = |pair: &Value| match heap.items_of(pair) {
        Some([key, value]) => Some((heap.dicts, key.clone(), value.clone())),
        _ => None,
    };
    let entries: Option<Vec<_>> = pairs.iter().map(pair).collect();
    heap.entries.extend(entries.ok_or("an ordered dictionary of others than pairs")?);
    Ok(heap.new_dict())
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
pub fn text<'a>(file: &'a [u8], value: &Value) -> Option<Cow<'a, str>> {
    match value {
        Value::Bytes(Payload { range, encoding }, _) if *encoding != Encoding::Plain => {
            String::from_utf8(encoding.decode(file.get(range.clone())?)?).ok().map(Cow::Owned)
        }
        Value::Escaped(range) => {
            let latin1 = Encoding::RawUnicode.decode(file.get(range.clone())?)?;
            Some(latin1.into_iter().map(char::from).collect())
        }
        plain => text_range(plain).and_then(|range| utf8(file, range)).map(Cow::Borrowed),
    }
}

fn text_range(value: &Value) -> Option<Range<usize>> {
    match value {
        Value::Text(range) | Value::Bytes(Payload { range, encoding: Encoding::Plain }, _) => Some(range.clone()),
        _ => None,
    }
}

fn utf8(file: &[u8], range: Range<usize>) -> Option<&str> {
    std::str::from_utf8(file.get(range)?).ok()
}
