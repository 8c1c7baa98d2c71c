//! Files that `torch.save` has written since PyTorch 1.6: zip archives with a pickle and one entry per storage.

use super::storages::StorageRanges;
use super::zip_directory::{self, Entries, shown};
use super::{BIG_ENDIAN, pickle_refused, refused};
use crate::error::Result;
use crate::weights::file::WeightFile;
use crate::weights::pickle::{Dialect, Machine, STATE_DICT};
use crate::weights::raw::Contents;

/// The hint for compiled models.
const SCRIPT: &str =
    "it is a program: in Python, torch.save(torch.jit.load('file').state_dict(), 'weights.pth') saves its tensors";

/// The hint for compressed entries.
const STORED: &str =
    "it was packed by another program: load it in Python and save it again, as torch.save(torch.load(old), new)";

/// The tensors of the archive `file`. Only the directory and the pickle are read.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is damaged or holds something other than tensors by name.
pub(crate) fn read(file: &WeightFile) -> Result<Contents> {
    let entries = zip_directory::read(file)?;
    let root = root(file, &entries)?;
    let under_root = |name: &str| format!("{root}{name}");
    let code = under_root("code/");
    if entries.contains_key(&under_root("constants.pkl")) || entries.keys().any(|name| name.starts_with(&code)) {
        return Err(refused(file, "a TorchScript archive", Some(SCRIPT)));
    }
    if let Some((name, _)) = entries.iter().find(|(name, entry)| !entry.is_stored && name.starts_with(root)) {
        return Err(refused(
            file,
            format!("a zip archive whose entry {:?} is compressed or encrypted", shown(name)),
            Some(STORED),
        ));
    }
    // Files of older versions have no such entry and are little-endian.
    if let Some(entry) = entries.get(&under_root("byteorder"))
        && *file.range(entry.range.clone())? != *b"little"
    {
        return Err(refused(file, "values in another byte order than little-endian", Some(BIG_ENDIAN)));
    }
    let entry = entries.get(&under_root("data.pkl"));
    let entry = entry.ok_or_else(|| refused(file, "a zip archive without a data.pkl", Some(STATE_DICT)))?;
    let pickle = file.range(entry.range.clone())?;
    let program = Machine::run(&pickle, 0, Dialect::Torch);
    let program = program.map_err(|refusal| pickle_refused(file, entry.range.start, refusal))?;
    let mut storages = StorageRanges::default();
    let data = under_root("data/");
    for (name, entry) in &entries {
        if let Some(key) = name.strip_prefix(&data) {
            storages.insert(key.to_owned(), entry.range.clone());
        }
    }
    super::contents(file, &pickle, entry.range.start, &program.heap, &program.root, &storages)
}

/// The root directory of the archive: the prefix of all entries, which PyTorch takes from the original file name.
fn root<'a>(file: &WeightFile, entries: &'a Entries) -> Result<&'a str> {
    let pickles = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut roots = pickles.filter(|root| root.is_empty() || root.ends_with('/'));
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (Some(_), Some(_)) => Err(refused(file, "a zip archive with two data.pkl", None)),
        (None, _) => {
            let names: Vec<String> = entries.keys().take(3).map(|name| shown(name)).collect();
            let given = format!("a zip archive without a data.pkl ({})", names.join(", "));
            Err(refused(file, given, Some("if the archive contains the weights, unpack it first: unzip")))
        }
    }
}
