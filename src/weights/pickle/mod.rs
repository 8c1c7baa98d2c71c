//! Checkpoints as Python writes them: pickles of numpy's arrays by name, and what `torch.save` keeps in a pickle.
//!
//! A pickle is a program for a small stack machine whose instructions can call any Python function. This reader is that
//! machine without the calls: of the instructions it has those that weight files are made of, of Python's names the few
//! that stand for an array or a part of a storage. Whatever else a pickle of arrays names is refused; in a file of
//! `torch.save` it becomes an object that nothing can be done with. Arrays stay where they are in the file until somebody
//! asks for one; memory is bounded by the number of instructions, and that by the file's length.

mod dictionary;
mod input;
mod machine;
mod numpy;
mod opcodes;
mod tensors;
#[cfg(test)]
mod tests;
mod value;

use super::raw::{Contents, Kind, RawTensor};
pub(crate) use dictionary::Root;
pub(crate) use input::Refusal;
use machine::PLAIN_ARRAYS;
pub(crate) use machine::{Machine, Outcome, STATE_DICT};
pub(crate) use tensors::{Storage, View};
pub(crate) use value::{Array, Dialect, Heap, Value};

/// The tensors of a checkpoint: the blobs themselves, or what is in it under `blobs` (Detectron) or `model`
/// (Detectron2).
pub(crate) fn read(file: &[u8]) -> Result<Contents, Refusal> {
    let Outcome { root: value, heap, .. } = Machine::run(file, 0, Dialect::Arrays)?;
    let refuse = |what: String| Refusal { at: file.len(), what, hint: Some(PLAIN_ARRAYS), ended: false };
    let Some(root) = Root::new(file, &heap, &value) else {
        return Err(refuse(format!("{} instead of a dictionary of blobs", value.kind())));
    };
    let level = root.level(&["blobs", "model"]);
    let beside = |key: &str| level.and(root.text(&[key]));
    let mut contents =
        Contents { cfg: beside("cfg"), author: beside("__author__"), kind: Kind::Pickle, ..Contents::default() };
    root.fill(&mut contents, level.unwrap_or(root.index()), whole).map_err(refuse)?;
    Ok(contents)
}

/// The array that has its values in the pickle itself.
pub(crate) fn whole(array: &Array) -> Result<RawTensor, String> {
    match array {
        Array::Whole(tensor) => Ok(tensor.clone()),
        Array::Unbuilt | Array::View(_) => Err("an array without values".to_owned()),
    }
}
