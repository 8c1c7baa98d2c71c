//! Detection of the kind of a file by its first bytes, independently of its name.
//!
//! Files often have wrong names, and downloads may give something else: an HTML page, a pointer file, a server's error
//! message. With the kind, an error can say what the file is; a reader alone knows only the byte at which it failed.

use crate::error::{Error, ErrorRepr, Result};
use std::path::Path;

/// How many bytes at the beginning of a file are examined.
pub(crate) const HEAD: usize = 4096;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Safetensors,
    /// A numpy array.
    Npy,
    /// A pickle of protocol 2 or later, or a dictionary in protocol 0.
    Pickle,
    /// A file that `torch.save` wrote before PyTorch 1.6: several pickles in a row.
    OldTorch,
    /// A zip archive. `arrays`: it holds arrays, as `numpy.savez` packs them. Other zip archives are mostly files of
    /// `torch.save`.
    Zip {
        arrays: bool,
    },
    Video(&'static str),
    Picture(&'static str),
    /// A kind that this crate does not read.
    Foreign {
        what: &'static str,
        hint: &'static str,
    },
    /// None of these kinds, for example text. Only a reader can decide.
    Unknown,
}

/// The magic numbers that identify a kind of file.
const MAGIC_NUMBERS: [(&[u8], Content); 18] = [
    (b"\x93NUMPY", Content::Npy),
    (b"\x89PNG\r\n\x1a\n", Content::Picture("a PNG picture")),
    (b"\xff\xd8\xff", Content::Picture("a JPEG picture")),
    (b"GIF8", Content::Picture("a GIF picture")),
    (b"\x1a\x45\xdf\xa3", Content::Video("a Matroska or WebM video")),
    (b"\x1f\x8b", foreign("a gzip archive", "unpack it first: gunzip, or tar -xzf for a .tar.gz")),
    (b"BZh", foreign("a bzip2 archive", "unpack it first: bunzip2")),
    (b"\xfd7zXZ\0", foreign("an xz archive", "unpack it first: unxz")),
    (b"\x28\xb5\x2f\xfd", foreign("a Zstandard archive", "unpack it first: unzstd")),
    (b"7z\xbc\xaf\x27\x1c", foreign("a 7z archive", "unpack it first: 7z x")),
    (b"Rar!\x1a\x07", foreign("a RAR archive", "unpack it first: unrar x")),
    (
        b"\x89HDF\r\n\x1a\n",
        foreign("an HDF5 file", "Keras's and Caffe's HDF5 are not read: save the arrays as safetensors"),
    ),
    (b"GGUF", foreign("a GGUF file", "GGUF is not read: save the tensors as safetensors")),
    (b"%PDF-", foreign("a PDF document", "download the file itself: this is a document")),
    (b"\x7fELF", foreign("a program", "check the path: this is not data")),
    (b"MATLAB 5.0 MAT-file", foreign("a MATLAB file", "MATLAB's files are not read: save the arrays as safetensors")),
    (
        b"version https://git-lfs.github.com/spec/",
        foreign("a text file (a pointer of Git LFS)", "fetch the file that the pointer refers to: git lfs pull"),
    ),
    (
        b"/annex/objects/",
        foreign("a text file (a pointer of git-annex)", "fetch the file that the pointer refers to: git annex get"),
    ),
];

const fn foreign(what: &'static str, hint: &'static str) -> Content {
    Content::Foreign { what, hint }
}

const EMPTY: Content = foreign("an empty file", "the file has no bytes: download, copy or export it again");

const PAGE: Content = foreign(
    "an HTML page",
    "a page was downloaded instead of the file: download the file itself (on many sites the link says raw or download)",
);

const XML: Content = foreign(
    "a text file of XML",
    "this is often the answer of a server that refused the download: read it, and download the file again",
);

const INDEX: Content = foreign(
    "an index of several files",
    "the tensors are in the files that the index names: join them in Python, with safetensors.torch.load_file for each \
     and save_file for all",
);

const OLDEST_TORCH: Content = foreign(
    "a tar archive of torch.save, as PyTorch 0.1 wrote it",
    "load it in Python with a later PyTorch and save it again: torch.save(torch.load(old), new)",
);

const JSON: Content = foreign("a text file of JSON", "check the path: the tensors are in another file");

impl Content {
    /// The kind of a file that begins with `head`, which is at least its first [`HEAD`] bytes or the whole file.
    pub fn of(head: &[u8]) -> Self {
        if head.is_empty() {
            return EMPTY;
        }
        if is_safetensors(head) {
            return Self::Safetensors;
        }
        if let Some((_, content)) = MAGIC_NUMBERS.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *content;
        }
        match head {
            [b'P', b'K', 3, 4, ..] => {
                Self::Zip { arrays: first_of_zip(head).is_some_and(|name| name.ends_with(b".npy")) }
            }
            [0x80, 1..=5, rest @ ..] if is_old_torch(rest) => Self::OldTorch,
            // 0 is not an instruction; a truncated safetensors file may have it here, in the length of its header.
            [0x80, 2..=5, next, ..] if *next != 0 => Self::Pickle,
            [b'(', b'd', b'p', b'0' | b'1', b'\n', ..] => Self::Pickle,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Picture("a WebP picture"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => Self::Video("an AVI video"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Self::Video("an MP4 or MOV video"),
            _ if head.get(257..262) == Some(b"ustar") => {
                if head.starts_with(b"sys_info\0") {
                    OLDEST_TORCH
                } else {
                    foreign("a tar archive", "unpack it first: tar -xf")
                }
            }
            _ => text(head).map_or(Self::Unknown, of_text),
        }
    }

    /// A description of the kind, and a hint for files of that kind; `None` if the kind is unknown.
    pub fn describe(self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match self {
            Self::Safetensors => ("a safetensors file", None),
            Self::Npy => ("a numpy array (.npy)", None),
            Self::Pickle => ("a Python pickle", None),
            Self::OldTorch => ("an archive of torch.save", None),
            Self::Zip { arrays: true } => (
                "a zip archive of numpy arrays (numpy.savez)",
                Some(
                    "unpack it in Python: numpy.load returns the arrays by name; save them with \
                     safetensors.numpy.save_file",
                ),
            ),
            Self::Zip { arrays: false } => ("a zip archive", Some("unpack it first: unzip")),
            Self::Video(what) | Self::Picture(what) => (what, Some("check the path: this is a picture or a video")),
            Self::Foreign { what, hint } => (what, Some(hint)),
            Self::Unknown => return None,
        })
    }

    /// The error for a file `path` of this kind instead of `wanted`; `None` if the kind is unknown.
    pub fn refusal(self, path: &Path, wanted: &str) -> Option<Error> {
        let (what, hint) = self.describe()?;
        Some(
            ErrorRepr::Format { path: path.to_owned(), wanted: wanted.to_owned(), given: what.to_owned(), hint }.into(),
        )
    }
}

/// Reads the text of a JSON file, without the byte order mark that some editors add.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read;
/// [`ErrorKind::Format`](crate::ErrorKind::Format) if it is of another kind or not text.
pub fn read_json(path: impl AsRef<Path>) -> Result<String> {
    const WANTED: &str = "a JSON file";
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let content = Content::of(&bytes);
    if let Some(error) = content.refusal(path, WANTED).filter(|_| content != JSON) {
        return Err(error);
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::format(path, WANTED, "bytes that are not text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads at most [`HEAD`] bytes from the beginning of a file.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be read.
#[cfg(feature = "files")]
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::file("read", path))?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(Error::file("read", path))?;
    Ok(head)
}

/// `a text file that begins with "…"`, or `None` if the file is not text.
pub(crate) fn describe_text(file: &[u8]) -> Option<String> {
    const SHOWN: usize = 40;
    let text = text(&file[..file.len().min(HEAD)])?.trim_start();
    let line: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    Some(format!("a text file that begins with {line:?}"))
}

/// Whether the bytes are the length of a header and the beginning of its JSON.
fn is_safetensors(head: &[u8]) -> bool {
    /// The maximum length that the format allows.
    const MAX_HEADER_LEN: u64 = 100_000_000;
    let length = head.first_chunk().map(|&length| u64::from_le_bytes(length));
    head.get(8) == Some(&b'{') && length.is_some_and(|length| length <= MAX_HEADER_LEN)
}

/// Whether PyTorch's magic number comes first, possibly after the length of a frame.
fn is_old_torch(after_protocol: &[u8]) -> bool {
    const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const FRAME: usize = 9;
    [0, FRAME].iter().any(|&skipped| after_protocol.get(skipped..).is_some_and(|rest| rest.starts_with(MAGIC)))
}

/// The name of the first file in a zip archive.
fn first_of_zip(head: &[u8]) -> Option<&[u8]> {
    let length = head.get(26..28)?.first_chunk().map(|&length| usize::from(u16::from_le_bytes(length)))?;
    head.get(30..30 + length)
}

/// The bytes as text, without a truncated last character; `None` if they are not text.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    let text = text.trim_start_matches('\u{feff}');
    (!text.is_empty() && text.chars().all(is_printable)).then_some(text)
}

/// The kind of a text file; [`Content::Unknown`] if it is not a refused kind.
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
    fn files_are_identified_by_their_first_bytes() {
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
            (b"\x80\x02}q\0.", Some("a Python pickle")),
            (b"\x80\x02\0\0\0\0", None),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", Some("an archive of torch.save")),
            (
                b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                Some("an archive of torch.save"),
            ),
            (b"\x93NUMPY\x01\0", Some("a numpy array (.npy)")),
            (b"\0\0\0\x20ftypisom", Some("an MP4 or MOV video")),
            (b"\x89HDF\r\n\x1a\n", Some("an HDF5 file")),
            (b"this is a poem", None),
            (b"(dp0\nS'conv1_w'\n", Some("a Python pickle")),
            (b"(dpa\n", None),
            (b"YUV4MPEG2 W64 H48\nFRAME\n", None),
        ];
        for (head, wanted) in cases {
            assert_eq!(what(head), wanted, "{head:?}");
        }
    }

    #[test]
    fn a_truncated_last_character_is_ignored() {
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
