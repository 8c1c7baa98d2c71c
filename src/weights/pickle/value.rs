//! What the stack of the machine holds: small values that refer to the file and to tables, so that copying one costs
//! nothing, a shared object is shared, and dropping a deep one does not recurse.

use crate::weights::raw::{Element, Payload, RawTensor};
use std::ops::Range;

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
}

impl Global {
    /// The one called `module.name`.
    pub fn by_name(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            ("__builtin__" | "builtins", "bytes") => Self::Bytes,
            ("collections", "OrderedDict") => Self::OrderedDict,
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
    /// A floating-point number; what it is has no use here.
    Float,
    /// Text, by where its UTF-8 lies in the file.
    Text(Range<usize>),
    /// Bytes, or text of Python 2, and how many bytes they are.
    Bytes(Payload, usize),
    /// A range of [`Heap::items`].
    Tuple(Range<usize>),
    /// A list. What is in it has no use here.
    List,
    /// An index into the dictionaries that [`Heap::entries`] belong to.
    Dict(usize),
    Global(Global),
    /// An index into [`Heap::arrays`].
    Array(usize),
    /// An index into [`Heap::dtypes`].
    Dtype(usize),
    /// A number of numpy's.
    Scalar,
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float | Self::Scalar => "a number",
            Self::Text(_) => "text",
            Self::Bytes(..) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Array(_) => "an array",
            Self::Dtype(_) => "an element type",
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

/// What values refer to.
#[derive(Debug, Default)]
pub struct Heap {
    /// The items of all tuples.
    pub items: Vec<Value>,
    /// Dictionary, key and value of every entry of every dictionary, in the order of insertion.
    pub entries: Vec<(usize, Value, Value)>,
    /// How many dictionaries there are.
    pub dicts: usize,
    pub dtypes: Vec<Dtype>,
    /// Arrays; `None` until BUILD has said what they hold.
    pub arrays: Vec<Option<RawTensor>>,
}

impl Heap {
    /// A dictionary without entries.
    pub fn new_dict(&mut self) -> Value {
        self.dicts += 1;
        Value::Dict(self.dicts - 1)
    }

    /// The entries of one dictionary.
    pub fn entries_of(&self, dict: usize) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.iter().filter(move |(owner, _, _)| *owner == dict).map(|(_, key, value)| (key, value))
    }
}
