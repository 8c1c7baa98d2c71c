//! What a file plainly is, by its first bytes and whatever its name says.
//!
//! Files are handed on under wrong names, and downloads bring other things than were asked for: a page, a pointer, an
//! answer of a server. Their readers would only say at which byte they gave up.

use crate::error::{Error, ErrorRepr, Result};
use std::path::Path;

/// How many of a file's first bytes are looked at.
pub(crate) const HEAD: usize = 4096;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Safetensors,
    /// An array of numpy's.
    Npy,
    /// A pickle of protocol 2 or later, or a dictionary by protocol 0.
    Pickle,
    /// What `torch.save` wrote before PyTorch 1.6: several pickles behind one another.
    OldTorch,
    /// A zip archive; whether it holds arrays as `numpy.savez` packs them. Others are mostly of `torch.save`.
    Zip {
        arrays: bool,
    },
    Video(&'static str),
    Picture(&'static str),
    /// Something that is read nowhere here.
    Foreign {
        what: &'static str,
        hint: &'static str,
    },
    /// None of these, text among them: only its reader can tell.
    Unknown,
}

/// The beginnings that tell a kind of file by themselves.
const BEGINNINGS: [(&[u8], Content); 18] = [
    (b"\x93NUMPY", Content::Npy),
    (b"\x89PNG\r\n\x1a\n", Content::Picture("a PNG picture")),
    (b"\xff\xd8\xff", Content::Picture("a JPEG picture")),
    (b"GIF8", Content::Picture("a GIF picture")),
    (b"\x1a\x45\xdf\xa3", Content::Video("a Matroska or WebM video")),
    (b"\x1f\x8b", packed("a gzip archive", "unpack it first: gunzip, or tar -xzf for a .tar.gz")),
    (b"BZh", packed("a bzip2 archive", "unpack it first: bunzip2")),
    (b"\xfd7zXZ\0", packed("an xz archive", "unpack it first: unxz")),
    (b"\x28\xb5\x2f\xfd", packed("a Zstandard archive", "unpack it first: unzstd")),
    (b"7z\xbc\xaf\x27\x1c", packed("a 7z archive", "unpack it first: 7z x")),
    (b"Rar!\x1a\x07", packed("a RAR archive", "unpack it first: unrar x")),
    (
        b"\x89HDF\r\n\x1a\n",
        packed("an HDF5 file", "Keras's and Caffe's HDF5 are not read: save the arrays as safetensors"),
    ),
    (b"GGUF", packed("a GGUF file", "GGUF is not read: save the tensors as safetensors")),
    (b"%PDF-", packed("a PDF document", "fetch the file itself: this is a document")),
    (b"\x7fELF", packed("a program", "check the path: this is no data")),
    (b"MATLAB 5.0 MAT-file", packed("a MATLAB file", "MATLAB's files are not read: save the arrays as safetensors")),
    (
        b"version https://git-lfs.github.com/spec/",
        packed("a text file (a pointer of Git LFS)", "fetch the file that the pointer stands for: git lfs pull"),
    ),
    (
        b"/annex/objects/",
        packed("a text file (a pointer of git-annex)", "fetch what the pointer stands for: git annex get"),
    ),
];

const fn packed(what: &'static str, hint: &'static str) -> Content {
    Content::Foreign { what, hint }
}

const EMPTY: Content = packed("an empty file", "the file has no bytes: fetch, copy or export it again");

const PAGE: Content = packed(
    "an HTML page",
    "a page came instead of the file: download the file itself (on many sites, the link says raw or download)",
);

const XML: Content =
    packed("a text file of XML", "often the answer of a server that refused: look into it, and fetch the file again");

const INDEX: Content = packed(
    "an index of several files",
    "the tensors are in the files that the index names: join them, in Python with safetensors.torch.load_file for each \
     and save_file for all",
);

const OLDEST_TORCH: Content = packed(
    "a tar archive of torch.save, as PyTorch 0.1 wrote it",
    "load it in Python with a later PyTorch and save it again: torch.save(torch.load(old), new)",
);

const JSON: Content = packed("a text file of JSON", "check the path: the tensors are in another file");

impl Content {
    /// What the file is that begins with `head`: its first [`HEAD`] bytes or more, or the whole file.
    pub fn of(head: &[u8]) -> Self {
        if head.is_empty() {
            return EMPTY;
        }
        if is_safetensors(head) {
            return Self::Safetensors;
        }
        if let Some((_, content)) = BEGINNINGS.iter().find(|(beginning, _)| head.starts_with(beginning)) {
            return *content;
        }
        match head {
            [b'P', b'K', 3, 4, ..] => {
                Self::Zip { arrays: first_of_zip(head).is_some_and(|name| name.ends_with(b".npy")) }
            }
            [0x80, 1..=5, rest @ ..] if is_old_torch(rest) => Self::OldTorch,
            // 0 is no instruction, but the length of a safetensors header that was cut off behind it has many.
            [0x80, 2..=5, next, ..] if *next != 0 => Self::Pickle,
            [b'(', b'd', b'p', b'0' | b'1', b'\n', ..] => Self::Pickle,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Picture("a WebP picture"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => Self::Video("an AVI video"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Self::Video("an MP4 or MOV video"),
            _ if head.get(257..262) == Some(b"ustar") => {
                if head.starts_with(b"sys_info\0") {
                    OLDEST_TORCH
                } else {
                    packed("a tar archive", "unpack it first: tar -xf")
                }
            }
            _ => text(head).map_or(Self::Unknown, of_text),
        }
    }

    /// What it is, and what may help who has it where it cannot be used; `None` if that is not known.
    pub fn describe(self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match self {
            Self::Safetensors => ("a safetensors file", None),
            Self::Npy => ("an array of numpy's (.npy)", None),
            Self::Pickle => ("a pickle of Python's", None),
            Self::OldTorch => ("an archive of torch.save", None),
            Self::Zip { arrays: true } => (
                "a zip archive of numpy arrays (numpy.savez)",
                Some(
                    "unpack it: in Python, numpy.load gives the arrays by name; save them with safetensors.numpy.save_file",
                ),
            ),
            Self::Zip { arrays: false } => ("a zip archive", Some("unpack it first: unzip")),
            Self::Video(what) | Self::Picture(what) => (what, Some("check the path: this is a picture or a video")),
            Self::Foreign { what, hint } => (what, Some(hint)),
            Self::Unknown => return None,
        })
    }

    /// The error for finding this in `path` instead of what was `wanted`; `None` if it is not known what it is.
    pub fn refusal(self, path: &Path, wanted: &str) -> Option<Error> {
        let (what, hint) = self.describe()?;
        Some(
            ErrorRepr::Format { path: path.to_owned(), wanted: wanted.to_owned(), given: what.to_owned(), hint }.into(),
        )
    }
}

/// The text of a file of JSON, without the mark of byte order that some editors put before it.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if it cannot be read; [`ErrorKind::Format`](crate::ErrorKind::Format) if
/// it plainly is something else, or no text.
pub fn read_json(path: impl AsRef<Path>) -> Result<String> {
    const WANTED: &str = "a file of JSON";
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let content = Content::of(&bytes);
    if let Some(error) = content.refusal(path, WANTED).filter(|_| content != JSON) {
        return Err(error);
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::format(path, WANTED, "bytes that are no text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The first bytes of a file, [`HEAD`] at most.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if it cannot be read.
#[cfg(feature = "files")]
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::file("read", path))?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(Error::file("read", path))?;
    Ok(head)
}

/// `a text file that begins with "…"`, if that is what it is.
pub(crate) fn describe_text(file: &[u8]) -> Option<String> {
    const SHOWN: usize = 40;
    let text = text(&file[..file.len().min(HEAD)])?.trim_start();
    let line: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    Some(format!("a text file that begins with {line:?}"))
}

/// Whether these are the length of a header, and the beginning of it in JSON.
fn is_safetensors(head: &[u8]) -> bool {
    /// More than this the format does not allow.
    const LONGEST_HEADER: u64 = 100_000_000;
    let length = head.first_chunk().map(|&length| u64::from_le_bytes(length));
    head.get(8) == Some(&b'{') && length.is_some_and(|length| length <= LONGEST_HEADER)
}

/// Whether PyTorch's magic number comes first, perhaps behind the length of a frame.
fn is_old_torch(behind_protocol: &[u8]) -> bool {
    const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const FRAME: usize = 9;
    [0, FRAME].iter().any(|&skipped| behind_protocol.get(skipped..).is_some_and(|rest| rest.starts_with(MAGIC)))
}

/// The name of a zip archive's first file.
fn first_of_zip(head: &[u8]) -> Option<&[u8]> {
    let length = head.get(26..28)?.first_chunk().map(|&length| usize::from(u16::from_le_bytes(length)))?;
    head.get(30..30 + length)
}

/// The text that the bytes are; the last character may be cut off.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let printed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    let text = text.trim_start_matches('\u{feff}');
    (!text.is_empty() && text.chars().all(printed)).then_some(text)
}

/// What kind of text it is; others than these may be anything to somebody.
fn of_text(text: &str) -> Content {
    let lower = text.trim_start().to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        PAGE
    } else if lower.starts_with("<?xml") {
        if lower.contains("<html") { PAGE } else { XML }
    } else if lower.starts_with(['{', '[']) && lower.contains("\"weight_map\"") {
        INDEX
    } else if lower.starts_with("{\"")
        || lower.starts_with("{\n")
        || lower.starts_with("{\r")
        || lower.starts_with("{ ")
    {
        JSON
    } else {
        Content::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginning() {
        let what = |head: &[u8]| Content::of(head).describe().map(|(what, _)| what);
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
        let index = br#"{"metadata": {"total_size": 1}, "weight_map": {"conv1.weight": "model-1.safetensors"}}"#;
        let xhtml = b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC>\n<html>";
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let zip =
            |name: &str| [b"PK\x03\x04".as_slice(), &[0; 22], &[name.len() as u8, 0, 0, 0], name.as_bytes()].concat();
        let mut oldest_torch = tar.clone();
        oldest_torch[..9].copy_from_slice(b"sys_info\0");
        let cases: [(&[u8], Option<&str>); 27] = [
            (b"", Some("an empty file")),
            (lfs, Some("a text file (a pointer of Git LFS)")),
            (b"\n <!DOCTYPE HTML><title>403</title>", Some("an HTML page")),
            ("\u{feff}<html>".as_bytes(), Some("an HTML page")),
            (xhtml, Some("an HTML page")),
            (b"<?xml version=\"1.0\"?><Error/>", Some("a text file of XML")),
            (index, Some("an index of several files")),
            (b"{\"a\": 1}", Some("a text file of JSON")),
            (b"\x1f\x8b\x08\0", Some("a gzip archive")),
            (&tar, Some("a tar archive")),
            (&oldest_torch, Some("a tar archive of torch.save, as PyTorch 0.1 wrote it")),
            (b"PK\x03\x04", Some("a zip archive")),
            (&zip("clip.npy"), Some("a zip archive of numpy arrays (numpy.savez)")),
            (&zip("archive/data.pkl"), Some("a zip archive")),
            (b"\x10\0\0\0\0\0\0\0{", Some("a safetensors file")),
            (b"\x80\x02\0\0\0\0\0\0{", Some("a safetensors file")),
            (b"\x80\x02}q\0.", Some("a pickle of Python's")),
            (b"\x80\x02\0\0\0\0", None),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", Some("an archive of torch.save")),
            (
                b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                Some("an archive of torch.save"),
            ),
            (b"\x93NUMPY\x01\0", Some("an array of numpy's (.npy)")),
            (b"\0\0\0\x20ftypisom", Some("an MP4 or MOV video")),
            (b"\x89HDF\r\n\x1a\n", Some("an HDF5 file")),
            (b"this is a poem", None),
            (b"(dp0\nS'conv1_w'\n", Some("a pickle of Python's")),
            (b"(dpa\n", None),
            (b"YUV4MPEG2 W64 H48\nFRAME\n", None),
        ];
        for (head, wanted) in cases {
            assert_eq!(what(head), wanted, "{head:?}");
        }
    }

    #[test]
    fn text_is_text_to_its_last_whole_character() {
        assert_eq!(describe_text(b"\n  roses are\nred").unwrap(), "a text file that begins with \"roses are\"");
        assert_eq!(
            describe_text("é".repeat(HEAD).as_bytes()).unwrap(),
            format!("a text file that begins with {:?}", "é".repeat(40))
        );
        let cut = &"aé".as_bytes()[..2];
        assert!(describe_text(cut).is_some());
        for other in [b"".as_slice(), b"a\0b", b"\xff\xfe", b"a\x1bb"] {
            assert_eq!(describe_text(other), None, "{other:?}");
        }
    }
}
