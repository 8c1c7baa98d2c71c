//! Interpretation of the calls that build numpy arrays. Nothing is called: each call becomes a value, or is refused.

use super::value::{Array, Dtype, Global, Heap, Value};
use crate::weights::raw::{Element, Encoding, Payload, RawTensor};
use crate::weights::strided;
use std::borrow::Cow;
use std::ops::Range;

/// The value of a call, or why it is refused.
pub type CallResult<T> = std::result::Result<T, String>;

/// The maximum rank of an array. Weights have at most five axes.
pub const MAX_RANK: usize = 8;

/// The maximum number of entries if dictionaries are made from lists. Entries made otherwise need two instructions
/// each.
const MAX_ENTRIES: usize = 1 << 17;

/// The maximum length of a name in bytes.
pub const MAX_NAME: usize = 1024;

/// The value of `function(*arguments)`.
///
/// `scan_budget` is the number of bytes of text that may still be scanned. Without it a file could have the same long
/// text encoded any number of times.
pub fn call(
    file: &[u8],
    heap: &mut Heap,
    scan_budget: &mut usize,
    function: Global,
    arguments: &[Value],
) -> CallResult<Value> {
    match (function, arguments) {
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => Ok(heap.new_array(Array::Unbuilt)),
        (Global::Dtype, [given, ..]) => {
            let name = name(file, given).ok_or_else(|| format!("an element type named by {}", given.kind()))?;
            heap.dtypes.push(dtype(name)?);
            Ok(Value::Dtype(heap.dtypes.len() - 1))
        }
        (Global::Encode, [text @ (Value::Text(range) | Value::Escaped(range)), encoding]) => {
            if !matches!(name(file, encoding), Some("latin1" | "latin-1")) {
                return Err("text in an encoding other than latin1".to_owned());
            }
            *scan_budget = scan_budget.checked_sub(range.len()).ok_or("the same text encoded too often")?;
            let encoding = if matches!(text, Value::Text(_)) { Encoding::Latin1 } else { Encoding::RawUnicode };
            let len = encoding.len(file.get(range.clone()).unwrap_or_default());
            let len = len.ok_or("text that is not latin1 instead of bytes")?;
            Ok(Value::Bytes(Payload { range: range.clone(), encoding }, len))
        }
        (Global::Scalar, [Value::Dtype(_), ..]) => Ok(Value::Number),
        (Global::Bytes, []) => Ok(Value::Bytes(Payload::plain(0..0), 0)),
        (Global::OrderedDict, []) => Ok(heap.new_dict()),
        (Global::OrderedDict, [items]) => ordered_dict(heap, scan_budget, items),
        (Global::FromBuffer, [data, dtype, shape, order]) => {
            let fortran = match name(file, order) {
                Some("C") => false,
                Some("F") => true,
                _ => return Err("an array in neither C nor F order".to_owned()),
            };
            let tensor = array(heap, shape, dtype, fortran, data)?;
            Ok(heap.new_array(Array::Inline(tensor)))
        }
        (function, arguments) => {
            let given = arguments.iter().map(Value::kind).collect::<Vec<_>>().join(", ");
            Err(format!("{function:?} called with ({given})"))
        }
    }
}

/// Sets the state of `object`.
pub fn build(file: &[u8], heap: &mut Heap, object: &Value, state: &Value) -> CallResult<()> {
    // The longest valid state has nine items: the state of a dtype with metadata. Longer tuples are not copied, because
    // one tuple may be the state of many objects.
    let items = |heap: &Heap| match state {
        Value::Tuple(range) if range.len() < 10 => heap.items.get(range.clone()).map(<[Value]>::to_vec),
        _ => None,
    };
    match object {
        Value::Array(index) => {
            let items = items(heap).unwrap_or_default();
            // The oldest arrays have no version in front.
            let [.., shape, dtype, Value::Bool(fortran), data] = items.as_slice() else {
                return Err("an array whose state is not shape, element type, order and bytes".to_owned());
            };
            let tensor = array(heap, shape, dtype, *fortran, data)?;
            if let Some(array) = heap.arrays.get_mut(*index) {
                *array = Array::Inline(tensor);
            }
            Ok(())
        }
        Value::Dtype(index) => {
            let items = items(heap).unwrap_or_default();
            let Some(dtype) = heap.dtypes.get_mut(*index) else {
                return Err("a state for a missing element type".to_owned());
            };
            let big_endian = match items.as_slice() {
                [_, order, ..] => match name(file, order) {
                    Some("<" | "|" | "=") => Some(false),
                    Some(">") => Some(true),
                    _ => None,
                },
                _ => None,
            };
            // Subtype, names and fields. A structure has some of them.
            let is_structure = items.iter().skip(2).take(3).any(|part| *part != Value::None);
            if is_structure || big_endian.is_none() {
                *dtype = Dtype { element: Element::Other("structure".to_owned()), size: 0, big_endian: false };
            }
            dtype.big_endian = big_endian.ok_or("an element type whose state is not a version and a byte order")?;
            Ok(())
        }
        // The attributes that torch sets on an OrderedDict do not affect its entries.
        Value::Dict(_) if matches!(state, Value::Dict(_) | Value::Tuple(_)) => Ok(()),
        _ => Err(format!("a state for {}", object.kind())),
    }
}

/// Makes an array and checks its size against the number of bytes.
fn array(heap: &Heap, shape: &Value, dtype: &Value, fortran: bool, data: &Value) -> CallResult<RawTensor> {
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
    let shape: Vec<usize> = axes.collect::<Option<_>>().ok_or("an array whose extents are not whole numbers")?;
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
    let strides = if fortran { Some(fortran_strides(&shape)) } else { None };
    let strides = strides.and_then(|strides| strided::unless_dense(&shape, strides));
    let (element, big_endian) = (dtype.element.clone(), dtype.big_endian);
    Ok(RawTensor { element, shape, strides, big_endian, payload: payload.clone() })
}

/// The strides of an array in Fortran's order. They are within the array, whose size has been checked.
fn fortran_strides(shape: &[usize]) -> Vec<usize> {
    let mut next = 1usize;
    let axis = |&n: &usize| {
        let stride = next;
        next = next.saturating_mul(n);
        stride
    };
    shape.iter().map(axis).collect()
}

/// A dictionary from a list of pairs of key and value, as Python 2 writes an ordered one.
fn ordered_dict(heap: &mut Heap, scan_budget: &mut usize, items: &Value) -> CallResult<Value> {
    let pairs = heap.items_of(items).ok_or_else(|| format!("an ordered dictionary of {}", items.kind()))?;
    // A file could make any number of dictionaries from the same list.
    *scan_budget = scan_budget.checked_sub(pairs.len()).ok_or("the same items made into dictionaries too often")?;
    if heap.entries.len() + pairs.len() > MAX_ENTRIES {
        return Err(format!("more than {MAX_ENTRIES} entries"));
    }
    let pair = |pair: &Value| match heap.items_of(pair) {
        Some([key, value]) => Some((heap.dicts, key.clone(), value.clone())),
        _ => None,
    };
    let entries: Option<Vec<_>> = pairs.iter().map(pair).collect();
    heap.entries.extend(entries.ok_or("an ordered dictionary of items that are not pairs")?);
    Ok(heap.new_dict())
}

/// The element type with numpy's `name`: a letter for the kind and the number of bytes, such as `f4`.
fn dtype(name: &str) -> CallResult<Dtype> {
    let (big_endian, kind) = match name.as_bytes().first() {
        Some(b'>') => (true, &name[1..]),
        Some(b'<' | b'|' | b'=') => (false, &name[1..]),
        _ => (false, name),
    };
    if kind.len() > 16 || !kind.is_ascii() {
        return Err("an element type with a very long name".to_owned());
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

/// The text of a value if it is text of Python 2 or 3 and short enough for a name. The limit bounds the cost, because a
/// file can use a value any number of times.
pub fn name<'a>(file: &'a [u8], value: &Value) -> Option<&'a str> {
    text_range(value).filter(|range| range.len() <= MAX_NAME).and_then(|range| utf8(file, range))
}

/// The text of a value if it is text, of any length.
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
