//! Checkpoints as `torch.save` writes them: a pickle, and the values of the tensors outside of it.
//!
//! The machine in `pickle` reads the pickle and calls nothing. The pickle refers to storages by key. The kind of the
//! archive determines where the storages are: the directory of a zip archive lists them (`zip`, PyTorch 1.6 and later),
//! or they follow the pickles in order (`legacy`, earlier versions). Only the pickle and the directory are read.
//! `storages` finds the range of each tensor in the file, so that its values can be read later.

mod legacy;
mod storages;
#[cfg(test)]
mod tests;
mod zip;
mod zip_directory;

pub(crate) use legacy::read as read_legacy;
pub(crate) use zip::read as read_zip;

use super::file::WeightFile;
use super::pickle::{Array, Heap, Refusal, Root, STATE_DICT, Value, inline_array};
use super::raw::{Contents, Kind};
use crate::error::{Error, ErrorRepr, Result};
use storages::StorageRanges;

/// The wanted contents, for messages.
pub(crate) const WANTED: &str = "tensors by name, as torch.save writes a model's state_dict()";

/// The hint for big-endian values.
const BIG_ENDIAN: &str = "it was written on a big-endian machine: load it on a little-endian one and save it again, as \
     torch.save(torch.load(old, map_location='cpu'), new)";

/// The keys under which the tensors of a checkpoint may be, the most likely first. Otherwise they are at the root.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state", "model_state_dict", "model", "model_ema", "blobs"];

/// The error for a file that is damaged or something else.
fn refused(file: &WeightFile, given: impl Into<String>, hint: Option<&'static str>) -> Error {
    ErrorRepr::Format { path: file.path().to_owned(), wanted: WANTED.to_owned(), given: given.into(), hint }.into()
}

/// The error for a pickle that begins at byte `base` of the file.
fn pickle_refused(file: &WeightFile, base: usize, refusal: Refusal) -> Error {
    refused(file, format!("{} at byte {}", refusal.what, base + refusal.at), refusal.hint)
}

/// The contents of the dictionary `value`, whose storages are `storages`. `pickle` begins at byte `base` of the file.
fn contents(
    file: &WeightFile,
    pickle: &[u8],
    base: usize,
    heap: &Heap,
    value: &Value,
    storages: &StorageRanges,
) -> Result<Contents> {
    let Some(root) = Root::new(pickle, heap, value) else {
        let given = format!("{} instead of a dictionary of tensors", heap.describe(value));
        return Err(refused(file, given, Some(STATE_DICT)));
    };
    let dict = root.find_arrays(&WRAPPERS).or_else(|| root.has_arrays(root.index()).then_some(root.index()));
    let Some(dict) = dict else {
        let given = WRAPPERS.iter().find_map(|&key| match root.get(&[key])? {
            Value::Dict(_) => None,
            other => Some(format!("{} under {key:?} instead of a dictionary of tensors", heap.describe(other))),
        });
        return Err(refused(
            file,
            given.unwrap_or_else(|| "a dictionary without tensors".to_owned()),
            Some(STATE_DICT),
        ));
    };
    let text = |path: &[&str]| if dict == root.index() { None } else { root.text(path) };
    let mut contents = Contents {
        cfg: text(&["cfg"]),
        meta_config: text(&["meta", "cfg"]).or_else(|| text(&["meta", "config"])),
        arch: text(&["arch"]),
        author: text(&["__author__"]),
        kind: Kind::Torch,
        ..Contents::default()
    };
    let tensor = |array: &Array| match array {
        Array::View(view) => storages.tensor(pickle, heap, view),
        // numpy arrays have their values in the pickle.
        array => inline_array(array).map(|mut tensor| {
            let range = &mut tensor.payload.range;
            *range = base + range.start..base + range.end;
            tensor
        }),
    };
    root.fill(&mut contents, dict, tensor).map_err(|what| refused(file, what, None))?;
    Ok(contents)
}
