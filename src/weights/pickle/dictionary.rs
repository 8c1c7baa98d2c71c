//! What the dictionaries of a pickle hold, once the machine has stopped.

use super::numpy::{name, text};
use super::value::{Array, Heap, Value};
use crate::weights::raw::{Contents, RawTensor};
use std::collections::BTreeMap;

/// The dictionary at the root of a pickle, and what is in it.
pub struct Root<'a> {
    file: &'a [u8],
    heap: &'a Heap,
    root: usize,
}

impl<'a> Root<'a> {
    /// The root `value` of a program that ran on `file`; `None` if it is no dictionary.
    pub fn new(file: &'a [u8], heap: &'a Heap, value: &Value) -> Option<Self> {
        match value {
            Value::Dict(root) => Some(Self { file, heap, root: *root }),
            _ => None,
        }
    }

    /// The index of the dictionary itself.
    pub fn index(&self) -> usize {
        self.root
    }

    /// The value of the key at the end of `path`, through the dictionaries before it. As in Python, the last of several
    /// values for a key counts.
    pub fn get(&self, path: &[&str]) -> Option<&'a Value> {
        let (last, above) = path.split_last()?;
        let dict = above.iter().try_fold(self.root, |dict, key| match self.get_in(dict, key) {
            Some(Value::Dict(inner)) => Some(*inner),
            _ => None,
        })?;
        self.get_in(dict, last)
    }

    /// The text at the end of `path`, if it is some.
    pub fn text(&self, path: &[&str]) -> Option<String> {
        text(self.file, self.get(path)?).map(|text| text.into_owned())
    }

    /// The dictionary of arrays under the first of `keys` that has one.
    pub fn level(&self, keys: &[&str]) -> Option<usize> {
        keys.iter().find_map(|key| match self.get(&[key]) {
            Some(Value::Dict(level)) if self.has_arrays(*level) => Some(*level),
            _ => None,
        })
    }

    /// Whether the dictionary `dict` has arrays in it.
    pub fn has_arrays(&self, dict: usize) -> bool {
        self.heap.entries_of(dict).any(|(_, value)| matches!(value, Value::Array(_)))
    }

    /// Puts the entries of the dictionary `dict` into `contents`, its arrays as `tensor` reads them.
    ///
    /// # Errors
    /// What `tensor` says of one, with its name; that a name is none.
    pub fn fill(
        &self,
        contents: &mut Contents,
        dict: usize,
        tensor: impl Fn(&Array) -> Result<RawTensor, String>,
    ) -> Result<(), String> {
        // The same object may be under many names: the last entry of each is found before anything of it is copied.
        let mut last = BTreeMap::new();
        for (key, value) in self.heap.entries_of(dict) {
            let name = name(self.file, key).ok_or_else(|| format!("{} where a blob's name should be", key.kind()))?;
            last.insert(name, value);
        }
        for (name, value) in last {
            match value {
                Value::Array(index) => {
                    let array = self.heap.arrays.get(*index).unwrap_or(&Array::Unbuilt);
                    let tensor = tensor(array).map_err(|what| format!("{what} under {name:?}"))?;
                    contents.tensors.insert(name.to_owned(), tensor);
                }
                other => drop(contents.others.insert(name.to_owned(), other.kind())),
            }
        }
        Ok(())
    }

    fn get_in(&self, dict: usize, key: &str) -> Option<&'a Value> {
        let entries = self.heap.entries_of(dict).filter(|(own, _)| name(self.file, own) == Some(key));
        entries.last().map(|(_, value)| value)
    }
}
