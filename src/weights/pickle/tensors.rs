//! Interpretation of the calls in files of `torch.save`. Nothing is called: each call becomes a view of a storage, or
//! is refused.

use super::numpy::{CallResult, MAX_RANK, name};
use super::value::{Array, Global, Heap, Value};
use crate::weights::raw::Element;
use crate::weights::strided;
use std::ops::Range;

/// A torch element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    storage: &'static str,
    dtype: &'static str,
    /// The name in safetensors.
    name: &'static str,
    /// Bytes per element.
    pub size: usize,
}

const fn scalar(storage: &'static str, dtype: &'static str, name: &'static str, size: usize) -> Scalar {
    Scalar { storage, dtype, name, size }
}

const SCALARS: [Scalar; 17] = [
    scalar("FloatStorage", "float32", "F32", 4),
    scalar("DoubleStorage", "float64", "F64", 8),
    scalar("HalfStorage", "float16", "F16", 2),
    scalar("BFloat16Storage", "bfloat16", "BF16", 2),
    scalar("LongStorage", "int64", "I64", 8),
    scalar("IntStorage", "int32", "I32", 4),
    scalar("ShortStorage", "int16", "I16", 2),
    scalar("CharStorage", "int8", "I8", 1),
    scalar("ByteStorage", "uint8", "U8", 1),
    scalar("BoolStorage", "bool", "BOOL", 1),
    scalar("ComplexFloatStorage", "complex64", "C64", 8),
    scalar("ComplexDoubleStorage", "complex128", "C128", 16),
    // These have no storage class.
    scalar("", "uint16", "U16", 2),
    scalar("", "uint32", "U32", 4),
    scalar("", "uint64", "U64", 8),
    scalar("", "float8_e4m3fn", "F8_E4M3", 1),
    scalar("", "float8_e5m2", "F8_E5M2", 1),
];

impl Scalar {
    pub fn of_storage(class: &str) -> Option<Self> {
        SCALARS.into_iter().find(|scalar| !class.is_empty() && scalar.storage == class)
    }

    pub fn of_dtype(dtype: &str) -> Option<Self> {
        SCALARS.into_iter().find(|scalar| scalar.dtype == dtype)
    }

    pub fn element(self) -> Element {
        match self.name {
            "F32" => Element::F32,
            "F64" => Element::F64,
            "F16" => Element::F16,
            "BF16" => Element::Bf16,
            other => Element::Other(other.to_owned()),
        }
    }
}

/// A storage: values in the file outside of the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The range of its key in the pickle.
    pub key: Range<usize>,
    /// The element type; `None` for an untyped storage.
    pub scalar: Option<Scalar>,
    /// The number of elements, or of bytes in an untyped storage.
    pub len: usize,
    /// The elements that tensors can use: all, or a part if the storage is a view of another one.
    part: Range<usize>,
}

impl Storage {
    /// Bytes per element.
    pub fn size(&self) -> usize {
        self.scalar.map_or(1, |scalar| scalar.size)
    }
}

/// A tensor: some elements of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The index of the storage.
    pub storage: usize,
    pub scalar: Scalar,
    pub shape: Vec<usize>,
    /// `None` if the tensor is row-major without gaps.
    pub strides: Option<Vec<usize>>,
    /// The bytes of the storage from the first element of the tensor to the last.
    pub range: Range<usize>,
}

/// Why a persistent id stands for no storage.
pub enum PersistentIdError {
    /// It is a module, as `torch.save(model)` writes it.
    Module,
    /// It is something else.
    Other(String),
}

/// The value of the persistent id `id`: a storage, or an opaque object if the class of the storage is unknown.
pub fn persistent(file: &[u8], heap: &mut Heap, id: &Value) -> Result<Value, PersistentIdError> {
    let other = |what: &str| PersistentIdError::Other(what.to_owned());
    let items = heap.items_of(id).filter(|items| items.len() <= 6);
    let items = items.ok_or_else(|| other("a persistent id that is not a tuple"))?;
    let kind = items.first().and_then(|kind| name(file, kind));
    match (kind, items) {
        (Some("module"), _) => Err(PersistentIdError::Module),
        (Some("storage"), [_, Value::Global(class), key, _, len, rest @ ..]) => {
            let key = match key {
                Value::Text(range) => range.clone(),
                Value::Bytes(payload, _) if name(file, key).is_some() => payload.range.clone(),
                _ => return Err(other("a storage whose key is not text")),
            };
            let len = as_usize(len).ok_or_else(|| other("a storage whose length is not a whole number"))?;
            let part = match rest.first() {
                None | Some(Value::None) => 0..len,
                Some(view) => part_of(heap, view, len).ok_or_else(|| other("a storage whose part is not within it"))?,
            };
            let scalar = match class {
                Global::TypedStorage(scalar) => Some(*scalar),
                Global::UntypedStorage => None,
                Global::Unknown(class) => return Ok(Value::Opaque(Some(*class))),
                _ => return Err(other("a storage whose class is not a storage class")),
            };
            heap.storages.push(Storage { key, scalar, len, part });
            Ok(Value::Storage(heap.storages.len() - 1))
        }
        _ => Err(other("a persistent id of something other than a storage")),
    }
}

/// The part of a storage of length `len` that `view`, a tuple of key, offset and length, selects.
fn part_of(heap: &Heap, view: &Value, len: usize) -> Option<Range<usize>> {
    let [_, offset, length] = heap.items_of(view)? else { return None };
    let (start, length) = (as_usize(offset)?, as_usize(length)?);
    let end = start.checked_add(length)?;
    (end <= len).then_some(start..end)
}

/// The value of `function(*arguments)`; `None` if the function is not torch's.
pub fn call(heap: &mut Heap, function: Global, arguments: &[Value]) -> CallResult<Option<Value>> {
    match (function, arguments) {
        (Global::RebuildTensor, [Value::Storage(storage), offset, size, strides, ..]) => {
            let scalar = heap.storages.get(*storage).and_then(|storage| storage.scalar);
            let scalar = scalar.ok_or("a tensor without an element type")?;
            rebuild(heap, *storage, scalar, [offset, size, strides]).map(Some)
        }
        (Global::RebuildTensorV3, [Value::Storage(storage), offset, size, strides, _, _, dtype, ..]) => match dtype {
            Value::Global(Global::TorchDtype(scalar)) => {
                rebuild(heap, *storage, *scalar, [offset, size, strides]).map(Some)
            }
            _ => Ok(Some(Value::Opaque(None))),
        },
        (Global::RebuildParameter, [tensor @ (Value::Array(_) | Value::Opaque(_)), ..]) => Ok(Some(tensor.clone())),
        (Global::RebuildFromType, [Value::Global(function), _, arguments, ..])
            if *function != Global::RebuildFromType =>
        {
            let arguments = heap.items_of(arguments).ok_or("a tensor whose arguments are not a tuple")?;
            let arguments: Vec<Value> = arguments.iter().take(MAX_ARGUMENTS).cloned().collect();
            call(heap, *function, &arguments)
        }
        (Global::Size, [size @ Value::Tuple(_)]) => Ok(Some(size.clone())),
        // A tensor of an opaque storage is opaque.
        (Global::RebuildTensor | Global::RebuildTensorV3, [Value::Opaque(class), ..]) => {
            Ok(Some(Value::Opaque(*class)))
        }
        (Global::RebuildFromType, [Value::Global(Global::Unknown(class)), ..]) => Ok(Some(Value::Opaque(Some(*class)))),
        (
            Global::RebuildTensor
            | Global::RebuildTensorV3
            | Global::RebuildParameter
            | Global::RebuildFromType
            | Global::Size,
            _,
        ) => {
            let given = arguments.iter().map(|argument| heap.describe(argument)).collect::<Vec<_>>().join(", ");
            Err(format!("{function:?} called with ({given})"))
        }
        _ => Ok(None),
    }
}

/// The maximum number of arguments of a known function.
pub const MAX_ARGUMENTS: usize = 8;

/// A tensor in the storage with the index `storage`. `layout` is its offset, size and strides, which are checked to be
/// within the storage.
fn rebuild(heap: &mut Heap, storage: usize, scalar: Scalar, layout: [&Value; 3]) -> CallResult<Value> {
    let [offset, size, strides] = layout;
    let source = heap.storages.get(storage).ok_or("a tensor without a storage")?;
    let (part, element_size) = (source.part.clone(), source.size());
    let offset = as_usize(offset).ok_or("a tensor whose offset is not a whole number")?;
    let shape = axes(heap, size)
        .ok_or_else(|| format!("a tensor whose size is not a tuple of at most {MAX_RANK} whole numbers"))?;
    let strides = axes(heap, strides).filter(|strides| strides.len() == shape.len());
    let strides = strides.ok_or_else(|| format!("a tensor of {} axes with strides that do not match", shape.len()))?;
    let outside = || {
        let len = part.len();
        format!("a tensor of shape {shape:?} and strides {strides:?} at offset {offset} in a storage of {len}")
    };
    let span = strided::span(&shape, &strides).ok_or_else(outside)?;
    // In bytes, because the elements of an untyped storage differ from those of the tensor.
    let bytes_in_storage = || {
        let start = part.start.checked_mul(element_size)?.checked_add(offset.checked_mul(scalar.size)?)?;
        let end = start.checked_add(span.checked_mul(scalar.size)?)?;
        (end <= part.end.checked_mul(element_size)?).then_some(start..end)
    };
    let range = bytes_in_storage().ok_or_else(outside)?;
    let strides = strided::unless_dense(&shape, strides);
    Ok(heap.new_array(Array::View(View { storage, scalar, shape, strides, range })))
}

/// Extents or strides; `None` unless they are at most [`MAX_RANK`] whole numbers.
fn axes(heap: &Heap, value: &Value) -> Option<Vec<usize>> {
    heap.items_of(value).filter(|axes| axes.len() <= MAX_RANK)?.iter().map(as_usize).collect()
}

fn as_usize(value: &Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}
