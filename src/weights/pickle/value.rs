//! What the stack of the machine holds: small values that refer to the file and to tables, so that copying one costs
//! nothing, a shared object is shared, and dropping a deep one does not recurse.

use super::tensors::{Scalar, Storage, View};
use crate::weights::raw::{Element, Payload, RawTensor};
use std::ops::Range;

/// Whose pickles are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Detectron's and Caffe2's: numpy's arrays and nothing else, so that anything else is refused by its name.
    Arrays,
    /// `torch.save`'s, which holds whatever a training had at hand: what is not known becomes an object that nothing can be
    /// done with, and only matters if the tensors should have been in it.
    Torch,
}

/// The named things of Python that a weight file may use. None of them is code: each is an instruction to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `numpy.core.multiarray._reconstruct`: an array without values, which BUILD will give it.
    Reconstruct,
    /// `numpy.core.multiarray.scalar`: a number. No weight is one, so it is passed over.
    Scalar,
    /// `numpy.core.numeric._frombuffer`: an array with values, by protocol 5.
    FromBuffer,
    /// `numpy.ndarray`.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: how Python 3 writes bytes by protocol 2, as Latin-1 text.
    Encode,
    /// `bytes`: how Python 3 writes no bytes at all by protocol 2.
    Bytes,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: a part of a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: a part of a storage that knows no element type.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter` and its like: a tensor that was trained.
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
    /// Something else, by its index in [`Heap::classes`].
    Unknown(usize),
}

impl Global {
    /// The one called `module.name`.
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
    /// A number of which only that it is one is known: a fraction, a very large one, one of numpy's.
    Number,
    /// Text, by where its UTF-8 lies in the file.
    Text(Range<usize>),
    /// Text of protocol 0 with escapes or of Latin-1, by where it lies in the file.
    Escaped(Range<usize>),
    /// Bytes, or text of Python 2, and how many bytes they are.
    Bytes(Payload, usize),
    /// A range of [`Heap::items`].
    Tuple(Range<usize>),
    /// An index into [`Heap::lists`].
    List(usize),
    /// A set. What is in it has no use here.
    Set,
    /// An index into the dictionaries that [`Heap::entries`] belong to.
    Dict(usize),
    Global(Global),
    /// An index into [`Heap::arrays`].
    Array(usize),
    /// An index into [`Heap::dtypes`].
    Dtype(usize),
    /// An index into [`Heap::storages`].
    Storage(usize),
    /// An object that nothing can be done with, by the index of its class in [`Heap::classes`] if that has a name.
    Opaque(Option<usize>),
}

impl Value {
    /// What it is, for messages.
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

/// An element type of numpy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtype {
    pub element: Element,
    /// Bytes of an element; 0 where values are no plain bytes.
    pub size: usize,
    pub big_endian: bool,
}

/// An array or a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Array {
    /// BUILD has not yet said what it holds.
    Unbuilt,
    /// Its values are in the pickle itself.
    Whole(RawTensor),
    /// Its values are elsewhere.
    View(View),
}

/// What values refer to.
#[derive(Debug, Default)]
pub struct Heap {
    /// The items of all tuples.
    pub items: Vec<Value>,
    /// The items of each list.
    pub lists: Vec<Vec<Value>>,
    /// Dictionary, key and value of every entry of every dictionary, in the order of insertion.
    pub entries: Vec<(usize, Value, Value)>,
    /// How many dictionaries there are.
    pub dicts: usize,
    pub dtypes: Vec<Dtype>,
    pub arrays: Vec<Array>,
    pub storages: Vec<Storage>,
    /// The names of classes and functions that are not known, cut short.
    pub classes: Vec<String>,
}

impl Heap {
    /// A dictionary without entries.
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

    /// What `value` is, for messages: as [`Value::kind`], and of an object, a class or a function its name.
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
