//! Access to the dictionaries of a pickle after the machine has stopped.

use super::numpy::{name, text};
use super::value::{Array, Heap, Value};
use crate::weights::raw::{Contents, RawTensor};
use std::collections::BTreeMap;

/// The dictionary at the root of a pickle.
pub struct Root<'a> {
    file: &'a [u8],
    heap: &'a Heap,
    root: usize,
}

impl<'a> Root<'a> {
    /// The root `value` that a program in `file` left; `None` if `value` is not a dictionary.
    pub fn new(file: &'a [u8], heap: &'a Heap, value: &Value) -> Option<Self> {
        match value {
            Value::Dict(root) => Some(Self { file, heap, root: *root }),
            _ => None,
        }
    }

    /// The number of this dictionary.
    pub fn index(&self) -> usize {
        self.root
    }

    /// The value at `path`, a list of keys through nested dictionaries. As in Python, the last of several values for a
    /// key counts.
    pub fn get(&self, path: &[&str]) -> Option<&'a Value> {
        let (last, above) = path.split_last()?;
        let dict = above.iter().try_fold(self.root, |dict, key| match self.get_in(dict, key) {
            Some(Value::Dict(inner)) => Some(*inner),
            _ => None,
        })?;
        self.get_in(dict, last)
    }

    /// The text at `path`, if the value is text.
    pub fn text(&self, path: &[&str]) -> Option<String> {
        text(self.file, self.get(path)?).map(|text| text.into_owned())
    }

    /// The dictionary with arrays under the first of `keys` that has one.
    pub fn find_arrays(&self, keys: &[&str]) -> Option<usize> {
        keys.iter().find_map(|key| match self.get(&[key]) {
            Some(Value::Dict(dict)) if self.has_arrays(*dict) => Some(*dict),
            _ => None,
        })
    }

    /// Whether the dictionary `dict` has arrays.
    pub fn has_arrays(&self, dict: usize) -> bool {
        self.heap.entries_of(dict).any(|(_, value)| matches!(value, Value::Array(_)))
    }

    /// Adds the entries of the dictionary `dict` to `contents`. `tensor` converts the arrays.
    ///
    /// # Errors
    /// The error of `tensor` with the name of the array; an error for a key that is not text.
    pub fn fill(
        &self,
        contents: &mut Contents,
        dict: usize,
        tensor: impl Fn(&Array) -> Result<RawTensor, String>,
    ) -> Result<(), String> {
        // Many entries may have the same key. Finding the last one first avoids copying the others.
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
        let entries = self.heap.entries_of(dict).filter(|(other, _)| name(self.file, other) == Some(key));
        entries.last().map(|(_, value)| value)
    }
}
