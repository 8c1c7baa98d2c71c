//! What `torch.save` writes since PyTorch 1.6: a zip archive of a pickle and of each storage.

use super::storages::Places;
use super::zip_directory::{self, Entries, shown};
use super::{BIG_ENDIAN, pickle_refused, refused};
use crate::error::Result;
use crate::weights::file::WeightFile;
use crate::weights::pickle::{Dialect, Machine, STATE_DICT};
use crate::weights::raw::Contents;

/// What helps against models that were compiled.
const SCRIPT: &str =
    "it is a program: in Python, torch.save(torch.jit.load('file').state_dict(), 'weights.pth') saves its tensors";

/// What helps against entries that another program has packed.
const STORED: &str =
    "it was packed by another program: load it in Python and save it again, as torch.save(torch.load(old), new)";

/// The tensors of such an archive, of which only the directory and the pickle are read.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File)(crate::error::Error::File) if it cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format)(crate::error::Error::Format) if it is damaged or holds other things
/// than tensors.
pub(crate) fn read(file: &WeightFile) -> Result<Contents> {
    let entries = zip_directory::read(file)?;
    let root = root(file, &entries)?;
    let own = |name: &str| format!("{root}{name}");
    let code = own("code/");
    if entries.contains_key(&own("constants.pkl")) || entries.keys().any(|name| name.starts_with(&code)) {
        return Err(refused(file, "a TorchScript archive", Some(SCRIPT)));
    }
    if let Some((name, _)) = entries.iter().find(|(name, entry)| !entry.is_stored && name.starts_with(root)) {
        return Err(refused(
            file,
            format!("a zip archive whose entry {:?} is compressed or encrypted", shown(name)),
            Some(STORED),
        ));
    }
    // Older versions do not say, and were little-endian.
    if let Some(entry) = entries.get(&own("byteorder"))
        && *file.range(entry.range.clone())? != *b"little"
    {
        return Err(refused(file, "values of another order of bytes than little-endian", Some(BIG_ENDIAN)));
    }
    let entry = entries.get(&own("data.pkl"));
    let entry = entry.ok_or_else(|| refused(file, "a zip archive without a data.pkl", Some(STATE_DICT)))?;
    let pickle = file.range(entry.range.clone())?;
    let program = Machine::run(&pickle, 0, Dialect::Torch);
    let program = program.map_err(|refusal| pickle_refused(file, entry.range.start, refusal))?;
    let mut places = Places::default();
    let storages = own("data/");
    for (name, entry) in &entries {
        if let Some(key) = name.strip_prefix(&storages) {
            places.insert(key.to_owned(), entry.range.clone());
        }
    }
    super::contents(file, &pickle, entry.range.start, &program.heap, &program.root, &places)
}

/// What is in front of the names of all entries, which is the name that the file once had.
fn root<'a>(file: &WeightFile, entries: &'a Entries) -> Result<&'a str> {
    let pickles = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut roots = pickles.filter(|root| root.is_empty() || root.ends_with('/'));
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (Some(_), Some(_)) => Err(refused(file, "a zip archive with two data.pkl", None)),
        (None, _) => {
            let names: Vec<String> = entries.keys().take(3).map(|name| shown(name)).collect();
            let given = format!("a zip archive without a data.pkl ({})", names.join(", "));
            Err(refused(file, given, Some("if the weights are in it, unpack it first: unzip")))
        }
    }
}
