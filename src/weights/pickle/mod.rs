//! Checkpoints as Python writes them: pickles of numpy arrays by name, and the pickles that `torch.save` writes.
//!
//! A pickle is a program for a small stack machine whose instructions can call any Python function. This reader
//! implements the machine without calls. It knows only the instructions that weight files use, and only the few Python
//! names that stand for an array or a part of a storage. A pickle of arrays with any other name is refused; in a file
//! of `torch.save` such a name becomes an opaque object. Array values stay in the file until they are needed. The
//! memory is bounded by the number of instructions, which is bounded by the length of the file.

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

/// The tensors of a checkpoint: those in its dictionary, or in the dictionary under `blobs` (Detectron) or `model`
/// (Detectron2).
pub(crate) fn read(file: &[u8]) -> Result<Contents, Refusal> {
    let Outcome { root: value, heap, .. } = Machine::run(file, 0, Dialect::Arrays)?;
    let refuse = |what: String| Refusal { at: file.len(), what, hint: Some(PLAIN_ARRAYS), ended: false };
    let Some(root) = Root::new(file, &heap, &value) else {
        return Err(refuse(format!("{} instead of a dictionary of blobs", value.kind())));
    };
    let nested = root.find_arrays(&["blobs", "model"]);
    let beside = |key: &str| nested.and(root.text(&[key]));
    let mut contents =
        Contents { cfg: beside("cfg"), author: beside("__author__"), kind: Kind::Pickle, ..Contents::default() };
    root.fill(&mut contents, nested.unwrap_or(root.index()), inline_array).map_err(refuse)?;
    Ok(contents)
}

/// The tensor of an array whose values are in the pickle.
pub(crate) fn inline_array(array: &Array) -> Result<RawTensor, String> {
    match array {
        Array::Inline(tensor) => Ok(tensor.clone()),
        Array::Unbuilt | Array::View(_) => Err("an array without values".to_owned()),
    }
}
