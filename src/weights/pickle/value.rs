//! The values on the machine's stack. They are small and refer to the file and to tables, so copying one is cheap,
//! shared objects stay shared, and dropping a deeply nested one does not recurse.

use super::tensors::{Scalar, Storage, View};
use crate::weights::raw::{Element, Payload, RawTensor};
use std::ops::Range;

/// The kind of pickles to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Detectron's and Caffe2's pickles. They hold numpy arrays only, so any other object is refused by its name.
    Arrays,
    /// The pickles of `torch.save`. They may hold any object of the training script. Unknown ones become opaque
    /// objects, which are an error only if the tensors should be in them.
    Torch,
}

/// The Python names that a weight file may use. The reader interprets each and never calls any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `numpy.core.multiarray._reconstruct`: an array to which BUILD adds the values.
    Reconstruct,
    /// `numpy.core.multiarray.scalar`: a number. It is ignored, because no weight is a single number.
    Scalar,
    /// `numpy.core.numeric._frombuffer`: an array with values, in protocol 5.
    FromBuffer,
    /// `numpy.ndarray`.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: how Python 3 writes bytes in protocol 2, as Latin-1 text.
    Encode,
    /// `bytes`: how Python 3 writes empty bytes in protocol 2.
    Bytes,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: a part of a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: a part of a storage without an element type.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter` and similar functions: a trained tensor.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a tensor with attributes.
    RebuildFromType,
    /// `torch.Size`.
    Size,
    /// `torch.FloatStorage` and the like.
    TypedStorage(Scalar),
    /// `torch.storage.UntypedStorage`.
    UntypedStorage,
    /// `torch.float32` and the like.
    TorchDtype(Scalar),
    /// Any other name, by its index in [`Heap::classes`].
    Unknown(usize),
}

impl Global {
    /// The global `module.name`; `None` if it is not known in this dialect.
    pub fn by_name(dialect: Dialect, module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            ("__builtin__" | "builtins", "bytes") => Self::Bytes,
            ("collections", "OrderedDict") => Self::OrderedDict,
            _ if dialect == Dialect::Arrays => return None,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTensorV3,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch.nn.parameter", "Parameter") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.storage", "UntypedStorage") => Self::UntypedStorage,
            ("torch" | "torch.cuda", _) => match Scalar::of_storage(name) {
                Some(scalar) => Self::TypedStorage(scalar),
                None => Self::TorchDtype(Scalar::of_dtype(name)?),
            },
            _ => return None,
        })
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number whose value is not kept: a fraction, a very large number, or a numpy number.
    Number,
    /// Text in UTF-8, by its range in the file.
    Text(Range<usize>),
    /// Text of protocol 0 with escapes or in Latin-1, by its range in the file.
    Escaped(Range<usize>),
    /// Bytes, or text of Python 2, and the decoded length.
    Bytes(Payload, usize),
    /// A range of [`Heap::items`].
    Tuple(Range<usize>),
    /// An index into [`Heap::lists`].
    List(usize),
    /// A set. Its items are not kept.
    Set,
    /// The number of a dictionary, see [`Heap::entries`].
    Dict(usize),
    Global(Global),
    /// An index into [`Heap::arrays`].
    Array(usize),
    /// An index into [`Heap::dtypes`].
    Dtype(usize),
    /// An index into [`Heap::storages`].
    Storage(usize),
    /// An opaque object, by the index of its class in [`Heap::classes`] if the class has a name.
    Opaque(Option<usize>),
}

impl Value {
    /// The kind of the value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Number => "a number",
            Self::Text(_) | Self::Escaped(_) => "text",
            Self::Bytes(..) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Set => "a set",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Array(_) => "an array",
            Self::Dtype(_) => "an element type",
            Self::Storage(_) => "a storage without a shape",
            Self::Opaque(_) => "an object",
        }
    }
}

/// A numpy element type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtype {
    pub element: Element,
    /// Bytes per element; 0 if elements are not plain bytes.
    pub size: usize,
    pub big_endian: bool,
}

/// An array or a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Array {
    /// An array before BUILD.
    Unbuilt,
    /// An array whose values are in the pickle.
    Inline(RawTensor),
    /// A tensor whose values are in a storage.
    View(View),
}

/// The tables that values refer to.
#[derive(Debug, Default)]
pub struct Heap {
    /// The items of all tuples.
    pub items: Vec<Value>,
    /// The items of each list.
    pub lists: Vec<Vec<Value>>,
    /// The entries of all dictionaries in the order of insertion: dictionary, key and value.
    pub entries: Vec<(usize, Value, Value)>,
    /// The number of dictionaries.
    pub dicts: usize,
    pub dtypes: Vec<Dtype>,
    pub arrays: Vec<Array>,
    pub storages: Vec<Storage>,
    /// The truncated names of unknown classes and functions.
    pub classes: Vec<String>,
}

impl Heap {
    /// A new empty dictionary.
    pub fn new_dict(&mut self) -> Value {
        self.dicts += 1;
        Value::Dict(self.dicts - 1)
    }

    pub fn new_list(&mut self, items: Vec<Value>) -> Value {
        self.lists.push(items);
        Value::List(self.lists.len() - 1)
    }

    pub fn new_array(&mut self, array: Array) -> Value {
        self.arrays.push(array);
        Value::Array(self.arrays.len() - 1)
    }

    /// The entries of one dictionary.
    pub fn entries_of(&self, dict: usize) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.iter().filter(move |(owner, _, _)| *owner == dict).map(|(_, key, value)| (key, value))
    }

    /// The items of a tuple or a list.
    pub fn items_of(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(range) => self.items.get(range.clone()),
            Value::List(list) => self.lists.get(*list).map(Vec::as_slice),
            _ => None,
        }
    }

    /// A description of `value` for messages: [`Value::kind`], or the name of an opaque object's class, of a class or
    /// of a function.
    pub fn describe(&self, value: &Value) -> String {
        match value {
            Value::Opaque(Some(class)) => format!("an object of {}", self.class(*class)),
            Value::Global(Global::Unknown(class)) => self.class(*class).to_owned(),
            other => other.kind().to_owned(),
        }
    }

    fn class(&self, index: usize) -> &str {
        self.classes.get(index).map_or("an unknown class", String::as_str)
    }
}
