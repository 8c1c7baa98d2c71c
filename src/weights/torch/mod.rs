//! Checkpoints as `torch.save` writes them: a pickle, and the values of its tensors beside it.
//!
//! The pickle is read by the machine of `pickle`, which calls nothing, and names storages by key. Where those lie in the
//! file is known by the kind of archive: the directory of a zip archive (`zip`, PyTorch 1.6 and later), or their order
//! behind the pickles (`legacy`, before). Only pickle and directory are read; `storages` makes of a tensor the range of the
//! file that somebody may ask for later.

mod legacy;
mod storages;
#[cfg(test)]
mod tests;
mod zip;
mod zip_directory;

pub(crate) use legacy::read as read_legacy;
pub(crate) use zip::read as read_zip;

use super::file::WeightFile;
use super::pickle::{Array, Heap, Refusal, Root, STATE_DICT, Value, whole};
use super::raw::{Contents, Kind};
use crate::error::{Error, ErrorRepr, Result};
use storages::Places;

/// What such a file should be, for messages.
pub(crate) const WANTED: &str = "tensors by name, as torch.save writes a model's state_dict()";

/// What helps against values in the other order of bytes.
const BIG_ENDIAN: &str = "it was written on a big-endian machine: load it on a little-endian one and save it again, as \
     torch.save(torch.load(old, map_location='cpu'), new)";

/// Where the tensors of a checkpoint may be, the likeliest first; else they are at the root.
const LEVELS: [&str; 6] = ["state_dict", "model_state", "model_state_dict", "model", "model_ema", "blobs"];

/// The error for a file that is something else, or damaged.
fn refused(file: &WeightFile, given: impl Into<String>, hint: Option<&'static str>) -> Error {
    ErrorRepr::Format { path: file.path().to_owned(), wanted: WANTED.to_owned(), given: given.into(), hint }.into()
}

/// The error for a pickle that begins at the byte `base` of the file.
fn pickle_refused(file: &WeightFile, base: usize, refusal: Refusal) -> Error {
    refused(file, format!("{} at byte {}", refusal.what, base + refusal.at), refusal.hint)
}

/// What the dictionary `value` holds, the storages of which are at `places`. `pickle` is the pickle, which begins at the
/// byte `base` of the file.
fn contents(
    file: &WeightFile,
    pickle: &[u8],
    base: usize,
    heap: &Heap,
    value: &Value,
    places: &Places,
) -> Result<Contents> {
    let Some(root) = Root::new(pickle, heap, value) else {
        let given = format!("{} instead of a dictionary of tensors", heap.describe(value));
        return Err(refused(file, given, Some(STATE_DICT)));
    };
    let level = root.level(&LEVELS).or_else(|| root.has_arrays(root.index()).then_some(root.index()));
    let Some(level) = level else {
        let given = LEVELS.iter().find_map(|&key| match root.get(&[key])? {
            Value::Dict(_) => None,
            other => Some(format!("{} under {key:?} instead of a dictionary of tensors", heap.describe(other))),
        });
        return Err(refused(
            file,
            given.unwrap_or_else(|| "a dictionary without tensors".to_owned()),
            Some(STATE_DICT),
        ));
    };
    let text = |path: &[&str]| if level == root.index() { None } else { root.text(path) };
    let mut contents = Contents {
        cfg: text(&["cfg"]),
        meta_config: text(&["meta", "cfg"]).or_else(|| text(&["meta", "config"])),
        arch: text(&["arch"]),
        author: text(&["__author__"]),
        kind: Kind::Torch,
        ..Contents::default()
    };
    let tensor = |array: &Array| match array {
        Array::View(view) => places.tensor(pickle, heap, view),
        // Arrays of numpy's have their values in the pickle.
        array => whole(array).map(|mut tensor| {
            let range = &mut tensor.payload.range;
            *range = base + range.start..base + range.end;
            tensor
        }),
    };
    root.fill(&mut contents, level, tensor).map_err(|what| refused(file, what, None))?;
    Ok(contents)
}
