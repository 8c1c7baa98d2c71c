//! What can go wrong: one opaque error with a kind to match on.

mod repr;

pub(crate) use repr::ErrorRepr;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
///
/// Its message names the thing it is about, and says what was wanted and what was given. [`Error::kind`] is there to match
/// on, the other methods give names and limits where a kind has them. An error is the size of a pointer; a clone shares
/// what it points to.
///
/// ```
/// use resnet3d_wgpu::{Clip, ErrorKind};
///
/// let error = Clip::from_dims(&[1, 3, 1, 4, 4], vec![0.0; 47]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// assert_eq!(error.given(), Some("47 values"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<ErrorRepr>);

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration that describes no network, or is no configuration at all. [`Error::subject`] is the key, or the
    /// pair of keys, at fault.
    Config,
    /// A parameter that the network needs is not among the weights. [`Error::blob`] names it.
    MissingBlob,
    /// A 2-D weight where the network wants one that spans frames, and no word on how to make one of the other.
    /// [`Error::known_names`] gives the modes.
    NeedsInflation,
    /// A tensor of the wrong rank or size.
    Shape,
    /// A tensor whose element type cannot be used.
    ElementType,
    /// A weight that is NaN or infinite. [`Error::blob`] names it.
    NonFinite,
    /// A tap that names no blob of the network. [`Error::known_names`] gives the taps of stages.
    UnknownTap,
    /// A name that stands for no value of the type it was parsed as. [`Error::known_names`] gives those that do.
    UnknownName,
    /// A weight file that may be one of several projects', which compute differently. [`Error::known_names`] gives the
    /// projects, see [`Checkpoint::of_family`](crate::Checkpoint::of_family).
    AmbiguousFamily,
    /// A file that could not be read or written. [`Error::path`] names it, [`Error::io`] says why.
    File,
    /// A file whose contents are not what its name or its use promises. [`Error::help`] may say what to do.
    Format,
    /// A video of which something that is wanted is damaged or missing.
    Damaged,
    /// A clip without a body to look at: no frames, frames of different sizes, and the like.
    Clip,
    /// A size that does not fit the address range, or leaves nothing to compute.
    Size,
    /// A blob or weight larger than one binding or buffer of the adapter. [`Error::needed_bytes`] and
    /// [`Error::limit_bytes`] say by how much.
    Limit,
    /// A limit on the memory of a run that not even its smallest parts are within. [`Error::needed_bytes`] is the fewest
    /// bytes that a plan was found for.
    MemoryLimit,
    /// A kernel was asked for by name for an operator that it cannot do.
    Kernel,
    /// No adapter fits what was asked for. [`Error::given`] lists those there are.
    NoAdapter,
    /// The device, or the driver behind it, ran out of memory. What was there before is as it was.
    OutOfMemory,
    /// The device is lost and will not come back: a fault or a reset of the driver, a card taken away, or a caller that
    /// has destroyed it. Everything made on it is of no use any more; a new [`GpuContext`](crate::GpuContext) may work.
    DeviceLost,
    /// The device refused or failed.
    Device,
    /// Another program that is needed is not there, or does not do what it should. [`Error::subject`] names it.
    Program,
    /// Something this version does not do.
    Unsupported,
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self.repr() {
            ErrorRepr::Config { .. } => ErrorKind::Config,
            ErrorRepr::MissingBlob { .. } => ErrorKind::MissingBlob,
            ErrorRepr::NeedsInflation { .. } => ErrorKind::NeedsInflation,
            ErrorRepr::Shape { .. } => ErrorKind::Shape,
            ErrorRepr::ElementType { .. } => ErrorKind::ElementType,
            ErrorRepr::NonFinite { .. } => ErrorKind::NonFinite,
            ErrorRepr::UnknownTap { .. } => ErrorKind::UnknownTap,
            ErrorRepr::UnknownName { .. } => ErrorKind::UnknownName,
            ErrorRepr::AmbiguousFamily { .. } => ErrorKind::AmbiguousFamily,
            ErrorRepr::File { .. } => ErrorKind::File,
            ErrorRepr::Format { .. } => ErrorKind::Format,
            ErrorRepr::Damaged { .. } => ErrorKind::Damaged,
            ErrorRepr::Clip { .. } => ErrorKind::Clip,
            ErrorRepr::Size { .. } => ErrorKind::Size,
            ErrorRepr::Limit { .. } => ErrorKind::Limit,
            ErrorRepr::MemoryLimit { .. } => ErrorKind::MemoryLimit,
            ErrorRepr::Kernel { .. } => ErrorKind::Kernel,
            ErrorRepr::NoAdapter { .. } => ErrorKind::NoAdapter,
            ErrorRepr::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            ErrorRepr::DeviceLost { .. } => ErrorKind::DeviceLost,
            ErrorRepr::Device { .. } => ErrorKind::Device,
            ErrorRepr::Program { .. } => ErrorKind::Program,
            ErrorRepr::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// The thing at fault: a key of a configuration, a blob, an input, a tap, an operator, a program, or what was asked
    /// for. A file is [`Error::path`], a device [`Error::adapter`].
    pub fn subject(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::Config { field: subject, .. }
            | ErrorRepr::MissingBlob { blob: subject, .. }
            | ErrorRepr::NeedsInflation { blob: subject, .. }
            | ErrorRepr::NonFinite { blob: subject, .. }
            | ErrorRepr::UnknownTap { name: subject, .. }
            | ErrorRepr::AmbiguousFamily { file: subject, .. }
            | ErrorRepr::Kernel { operator: subject, .. }
            | ErrorRepr::Shape { what: subject, .. }
            | ErrorRepr::ElementType { what: subject, .. }
            | ErrorRepr::Size { what: subject, .. }
            | ErrorRepr::Limit { what: subject, .. }
            | ErrorRepr::MemoryLimit { what: subject, .. }
            | ErrorRepr::Unsupported { what: subject, .. } => Some(subject),
            ErrorRepr::UnknownName { what: subject, .. } | ErrorRepr::Program { program: subject, .. } => Some(subject),
            ErrorRepr::File { .. }
            | ErrorRepr::Format { .. }
            | ErrorRepr::Damaged { .. }
            | ErrorRepr::Clip { .. }
            | ErrorRepr::NoAdapter { .. }
            | ErrorRepr::OutOfMemory { .. }
            | ErrorRepr::DeviceLost { .. }
            | ErrorRepr::Device { .. } => None,
        }
    }

    /// The blob of the weights that is missing, 2-D, or not finite; named as in Caffe2, for example `res3_0_branch2b_w`.
    pub fn blob(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::MissingBlob { blob, .. }
            | ErrorRepr::NeedsInflation { blob, .. }
            | ErrorRepr::NonFinite { blob, .. } => Some(blob),
            _ => None,
        }
    }

    /// The file or directory at fault.
    pub fn path(&self) -> Option<&Path> {
        match self.repr() {
            ErrorRepr::File { path, .. } | ErrorRepr::Format { path, .. } | ErrorRepr::Damaged { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }

    /// What could not be done to [`Error::path`]: `read`, `write`, `list`, …
    pub fn action(&self) -> Option<&'static str> {
        match self.repr() {
            ErrorRepr::File { action, .. } => Some(action),
            _ => None,
        }
    }

    /// Why a file could not be read or written. It is [`std::error::Error::source`] too.
    pub fn io(&self) -> Option<&std::io::Error> {
        match self.repr() {
            ErrorRepr::File { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The name of the adapter whose device failed.
    pub fn adapter(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::OutOfMemory { adapter, .. }
            | ErrorRepr::DeviceLost { adapter, .. }
            | ErrorRepr::Device { adapter, .. } => Some(adapter),
            _ => None,
        }
    }

    /// What would have been valid, in words.
    pub fn wanted(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::Config { wanted, .. }
            | ErrorRepr::MissingBlob { wanted, .. }
            | ErrorRepr::NeedsInflation { wanted, .. }
            | ErrorRepr::Shape { wanted, .. }
            | ErrorRepr::Format { wanted, .. }
            | ErrorRepr::Clip { wanted, .. }
            | ErrorRepr::NoAdapter { wanted, .. } => Some(wanted),
            ErrorRepr::ElementType { wanted, .. } => Some(wanted),
            _ => None,
        }
    }

    /// What was given, or found, in words.
    pub fn given(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::Config { given, .. }
            | ErrorRepr::NeedsInflation { given, .. }
            | ErrorRepr::Shape { given, .. }
            | ErrorRepr::ElementType { given, .. }
            | ErrorRepr::UnknownTap { name: given, .. }
            | ErrorRepr::UnknownName { given, .. }
            | ErrorRepr::Format { given, .. }
            | ErrorRepr::Damaged { given, .. }
            | ErrorRepr::Clip { given, .. }
            | ErrorRepr::NoAdapter { found: given, .. } => Some(given),
            _ => None,
        }
    }

    /// Why it cannot be, in words: what a driver or a program said, or what a kernel or this version does not do.
    pub fn reason(&self) -> Option<&str> {
        match self.repr() {
            ErrorRepr::Size { reason, .. }
            | ErrorRepr::Kernel { reason, .. }
            | ErrorRepr::OutOfMemory { reason, .. }
            | ErrorRepr::DeviceLost { reason, .. }
            | ErrorRepr::Device { reason, .. }
            | ErrorRepr::Program { reason, .. }
            | ErrorRepr::Unsupported { reason, .. } => Some(reason),
            ErrorRepr::AmbiguousFamily { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The names that would have been valid, where they are few: taps of stages, modes of inflation, projects, values.
    pub fn known_names(&self) -> &[String] {
        match self.repr() {
            ErrorRepr::NeedsInflation { modes: known, .. }
            | ErrorRepr::UnknownTap { known, .. }
            | ErrorRepr::UnknownName { known, .. }
            | ErrorRepr::AmbiguousFamily { families: known, .. } => known,
            _ => &[],
        }
    }

    /// Bytes that are needed, of a [`ErrorKind::Limit`], or that would do at least, of a [`ErrorKind::MemoryLimit`].
    pub fn needed_bytes(&self) -> Option<u64> {
        match *self.repr() {
            ErrorRepr::Limit { needed, .. } | ErrorRepr::MemoryLimit { least: needed, .. } => Some(needed),
            _ => None,
        }
    }

    /// Bytes that the adapter, or the limit on memory, allows.
    pub fn limit_bytes(&self) -> Option<u64> {
        match *self.repr() {
            ErrorRepr::Limit { limit, .. } | ErrorRepr::MemoryLimit { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// What the adapter limits, of a [`ErrorKind::Limit`]: `binding` or `buffer`.
    pub fn limit_name(&self) -> Option<&'static str> {
        match self.repr() {
            ErrorRepr::Limit { limit_name, .. } => Some(limit_name),
            _ => None,
        }
    }

    /// The row-major index of the first value of [`Error::blob`] that is not finite.
    pub fn index(&self) -> Option<usize> {
        match self.repr() {
            ErrorRepr::NonFinite { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// What may help with a file, where more is known than that it is damaged or of another kind.
    pub fn help(&self) -> Option<&'static str> {
        match self.repr() {
            ErrorRepr::Format { hint, .. } => *hint,
            _ => None,
        }
    }

    pub(crate) fn repr(&self) -> &ErrorRepr {
        &self.0
    }

    /// An [`ErrorKind::Config`] from anything printable.
    pub(crate) fn config(field: impl Into<String>, wanted: impl Into<String>, given: impl fmt::Display) -> Self {
        ErrorRepr::Config { field: field.into(), wanted: wanted.into(), given: given.to_string() }.into()
    }

    /// A closure for `map_err` on I/O: what was being done, and to which path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| ErrorRepr::File { action, path, source }.into()
    }

    /// An [`ErrorKind::Format`]: what `path` should have held and what it did.
    pub(crate) fn format(path: &Path, wanted: impl Into<String>, given: impl fmt::Display) -> Self {
        ErrorRepr::Format { path: path.to_owned(), wanted: wanted.into(), given: given.to_string(), hint: None }.into()
    }

    /// The same [`ErrorKind::Format`] with other words for what was `given`; any other error as it is.
    pub(crate) fn format_given(self, given: String) -> Self {
        match self.repr() {
            ErrorRepr::Format { path, wanted, hint, .. } => {
                ErrorRepr::Format { path: path.clone(), wanted: wanted.clone(), given, hint: *hint }.into()
            }
            _ => self,
        }
    }
}

impl From<ErrorRepr> for Error {
    fn from(repr: ErrorRepr) -> Self {
        Self(Arc::new(repr))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.repr(), f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.repr(), f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.repr())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "invalid configuration",
            Self::MissingBlob => "missing weight",
            Self::NeedsInflation => "weight without time",
            Self::Shape => "wrong shape",
            Self::ElementType => "wrong element type",
            Self::NonFinite => "weight that is not finite",
            Self::UnknownTap => "unknown tap",
            Self::UnknownName => "unknown name",
            Self::AmbiguousFamily => "weights of one of several projects",
            Self::File => "file that cannot be used",
            Self::Format => "wrong file format",
            Self::Damaged => "damaged video",
            Self::Clip => "invalid clip",
            Self::Size => "impossible size",
            Self::Limit => "limit of the adapter exceeded",
            Self::MemoryLimit => "memory limit exceeded",
            Self::Kernel => "unsuitable kernel",
            Self::NoAdapter => "no adapter",
            Self::OutOfMemory => "out of device memory",
            Self::DeviceLost => "lost device",
            Self::Device => "device failure",
            Self::Program => "unusable program",
            Self::Unsupported => "unsupported",
        })
    }
}
