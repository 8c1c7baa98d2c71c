//! Checkpoints as Detectron writes them: pickles of numpy arrays by name.
//!
//! A pickle is a program for a small stack machine whose instructions can call any Python function. This reader is that
//! machine without the calls: of the instructions it has those that weight files are made of, of Python's names the few
//! of numpy's that stand for an array, and everything else is refused by its name. Arrays stay where they are in the
//! file until somebody asks for one; memory is bounded by the number of instructions, and that by the file's length.

mod machine;
mod numpy;
mod opcodes;
#[cfg(test)]
mod tests;
mod value;

use super::raw::Contents;
use machine::Machine;
use machine::PLAIN_ARRAYS;
pub(crate) use machine::Refusal;
use numpy::{name, text};
use value::{Heap, Value};

/// The tensors of a checkpoint: the blobs themselves, or what is in it under `blobs` (Detectron) or `model`
/// (Detectron2).
pub(crate) fn read(file: &[u8]) -> Result<Contents, Refusal> {
    let (root, heap) = Machine::run(file)?;
    let refuse = |what: String| Refusal { at: file.len(), what, hint: Some(PLAIN_ARRAYS) };
    let Value::Dict(root) = root else {
        return Err(refuse(format!("{} instead of a dictionary of blobs", root.kind())));
    };
    // As in Python, the last of several values for a key counts.
    let of_root = |wanted: &str| {
        let entries = heap.entries_of(root).filter(|(key, _)| name(file, key) == Some(wanted));
        entries.last().map(|(_, value)| value)
    };
    let level = ["blobs", "model"].into_iter().find_map(|wanted| match of_root(wanted) {
        Some(Value::Dict(blobs)) => Some(*blobs),
        _ => None,
    });
    let beside = |wanted: &str| level.and(of_root(wanted)).and_then(|value| text(file, value)).map(str::to_owned);
    let mut contents =
        Contents { cfg: beside("cfg"), author: beside("__author__"), pickle: true, ..Contents::default() };
    fill(&mut contents, file, &heap, level.unwrap_or(root)).map_err(refuse)?;
    Ok(contents)
}

/// Puts the entries of the dictionary `blobs` into `contents`.
fn fill(contents: &mut Contents, file: &[u8], heap: &Heap, blobs: usize) -> Result<(), String> {
    // The same object may be under many names: the last entry of each is found before anything of it is copied.
    let mut last = std::collections::BTreeMap::new();
    for (key, value) in heap.entries_of(blobs) {
        let name = name(file, key).ok_or_else(|| format!("{} where a blob's name should be", key.kind()))?;
        last.insert(name, value);
    }
    for (name, value) in last {
        match value {
            Value::Array(index) => {
                let tensor = heap.arrays.get(*index).cloned().flatten();
                let tensor = tensor.ok_or_else(|| format!("an array without values under {name:?}"))?;
                contents.tensors.insert(name.to_owned(), tensor);
            }
            other => drop(contents.others.insert(name.to_owned(), other.kind())),
        }
    }
    Ok(())
}
