//! What the calls in a file of `torch.save` mean. Nothing is called: each becomes a view of a storage, or is refused.

use super::numpy::{MAX_RANK, Refused, name};
use super::value::{Array, Global, Heap, Value};
use crate::weights::raw::Element;
use crate::weights::strided;
use std::ops::Range;

/// What an element of torch's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    storage: &'static str,
    dtype: &'static str,
    /// As safetensors call it.
    name: &'static str,
    /// Bytes.
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
    // These have no storages of their own.
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

/// Values that are in the file, but not in the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where its key lies in the pickle.
    pub key: Range<usize>,
    /// What its elements are; `None` of one that only knows its bytes.
    pub scalar: Option<Scalar>,
    /// How many elements it has, or bytes.
    pub len: usize,
    /// Those that can be used: all, or where the storage is a part of an older one.
    part: Range<usize>,
}

impl Storage {
    /// Bytes of an element.
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
    /// `None` if it is row-major without gaps.
    pub strides: Option<Vec<usize>>,
    /// Bytes of the storage, from the first element to the last.
    pub range: Range<usize>,
}

/// Why a persistent id is no storage.
pub enum NoStorage {
    /// It is a module, as `torch.save(model)` writes it.
    Module,
    /// It is something else.
    Other(String),
}

/// The value of the persistent id `id`: a storage, or an object where its elements are not known.
pub fn persistent(file: &[u8], heap: &mut Heap, id: &Value) -> Result<Value, NoStorage> {
    let other = |what: &str| NoStorage::Other(what.to_owned());
    let items =
        heap.items_of(id).filter(|items| items.len() <= 6).ok_or_else(|| other("a persistent id of no tuple"))?;
    let kind = items.first().and_then(|kind| name(file, kind));
    match (kind, items) {
        (Some("module"), _) => Err(NoStorage::Module),
        (Some("storage"), [_, Value::Global(class), key, _, len, rest @ ..]) => {
            let key = match key {
                Value::Text(range) => range.clone(),
                Value::Bytes(payload, _) if name(file, key).is_some() => payload.range.clone(),
                _ => return Err(other("a storage whose key is no text")),
            };
            let len = whole(len).ok_or_else(|| other("a storage whose length is no whole number"))?;
            let part = match rest.first() {
                None | Some(Value::None) => 0..len,
                Some(view) => part_of(heap, view, len).ok_or_else(|| other("a storage whose part is not within it"))?,
            };
            let scalar = match class {
                Global::TypedStorage(scalar) => Some(*scalar),
                Global::UntypedStorage => None,
                Global::Unknown(class) => return Ok(Value::Opaque(Some(*class))),
                _ => return Err(other("a storage whose class is none")),
            };
            heap.storages.push(Storage { key, scalar, len, part });
            Ok(Value::Storage(heap.storages.len() - 1))
        }
        _ => Err(other("a persistent id of no storage")),
    }
}

/// The part of a storage of `len` that a key, an offset and a length name.
fn part_of(heap: &Heap, view: &Value, len: usize) -> Option<Range<usize>> {
    let [_, offset, length] = heap.items_of(view)? else { return None };
    let (start, length) = (whole(offset)?, whole(length)?);
    let end = start.checked_add(length)?;
    (end <= len).then_some(start..end)
}

/// The value of `function(*arguments)`; `None` if this is not torch's.
pub fn call(heap: &mut Heap, function: Global, arguments: &[Value]) -> Refused<Option<Value>> {
    match (function, arguments) {
        (Global::RebuildTensor, [Value::Storage(storage), offset, size, strides, ..]) => {
            let scalar = heap.storages.get(*storage).and_then(|storage| storage.scalar);
            let scalar = scalar.ok_or("a tensor whose element type nothing tells")?;
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
            let arguments = heap.items_of(arguments).ok_or("a tensor of arguments that are no tuple")?;
            let arguments: Vec<Value> = arguments.iter().take(MAX_ARGUMENTS).cloned().collect();
            call(heap, *function, &arguments)
        }
        (Global::Size, [size @ Value::Tuple(_)]) => Ok(Some(size.clone())),
        // A tensor of what is not known is not known either.
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

/// No call that is known takes more than so many.
pub const MAX_ARGUMENTS: usize = 8;

/// A tensor of the elements of `storage` from an offset on, checked to lie within it.
fn rebuild(heap: &mut Heap, storage: usize, scalar: Scalar, layout: [&Value; 3]) -> Refused<Value> {
    let [offset, size, strides] = layout;
    let within = heap.storages.get(storage).ok_or("a tensor without a storage")?;
    let offset = whole(offset).ok_or("a tensor whose offset is no whole number")?;
    let shape =
        axes(heap, size).ok_or_else(|| format!("a tensor whose size is not {MAX_RANK} whole numbers at most"))?;
    let strides = axes(heap, strides).filter(|strides| strides.len() == shape.len());
    let strides = strides.ok_or_else(|| format!("a tensor of {} axes with other strides", shape.len()))?;
    let outside = || {
        let len = within.part.len();
        format!("a tensor of shape {shape:?} and strides {strides:?} from {offset} on in a storage of {len}")
    };
    let span = strided::span(&shape, &strides).ok_or_else(outside)?;
    // In bytes, since the elements of an untyped storage are others than the tensor's.
    let within_storage = || {
        let start = within.part.start.checked_mul(within.size())?.checked_add(offset.checked_mul(scalar.size)?)?;
        let end = start.checked_add(span.checked_mul(scalar.size)?)?;
        (end <= within.part.end.checked_mul(within.size())?).then_some(start..end)
    };
    let range = within_storage().ok_or_else(outside)?;
    let strides = strided::unless_dense(&shape, strides);
    Ok(heap.new_array(Array::View(View { storage, scalar, shape, strides, range })))
}

/// Extents or strides; `None` if they are not [`MAX_RANK`] whole numbers at most, none of them below 0.
fn axes(heap: &Heap, value: &Value) -> Option<Vec<usize>> {
    heap.items_of(value).filter(|axes| axes.len() <= MAX_RANK)?.iter().map(whole).collect()
}

fn whole(value: &Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}
