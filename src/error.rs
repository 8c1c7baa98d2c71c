//! Errors: one opaque type with a kind to match on.

mod repr;

pub(crate) use repr::ErrorRepr;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
///
/// Its message names the thing at fault, and says what was wanted and what was given. [`Error::kind`] is the kind to
/// match on. The other methods return names and limits, for kinds that have them. An error is the size of a pointer; a
/// clone shares its contents.
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

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration that describes no network, or is no configuration at all. [`Error::subject`] is the key, or the
    /// pair of keys, at fault.
    Config,
    /// A parameter that the network needs is not among the weights. [`Error::blob`] names it.
    MissingBlob,
    /// A 2-D weight for a layer that spans frames, without an option for how to inflate it. [`Error::known_names`]
    /// lists the modes.
    NeedsInflation,
    /// A tensor of the wrong rank or size.
    Shape,
    /// A tensor whose element type cannot be used.
    ElementType,
    /// A weight that is NaN or infinite. [`Error::blob`] names it.
    NonFinite,
    /// A tap that names no blob of the network. [`Error::known_names`] lists the taps of stages.
    UnknownTap,
    /// A name that is no value of the type it was parsed as. [`Error::known_names`] lists the valid names.
    UnknownName,
    /// A weight file that may come from one of several projects, which compute differently. [`Error::known_names`]
    /// lists the projects, see [`Checkpoint::of_family`](crate::Checkpoint::of_family).
    AmbiguousFamily,
    /// A file that could not be read or written. [`Error::path`] names it, [`Error::io`] has the cause.
    File,
    /// A file whose contents do not have the format that its name or its use requires. [`Error::help`] may say what to
    /// do.
    Format,
    /// A video in which a wanted frame is damaged or missing.
    Damaged,
    /// An invalid clip: no frames, frames of different sizes, and the like.
    Clip,
    /// A size that does not fit the address range, or leaves nothing to compute.
    Size,
    /// A blob, a weight or a workspace larger than one binding, buffer or texture of the adapter.
    /// [`Error::needed_bytes`] and [`Error::limit_bytes`] say by how much.
    Limit,
    /// A limit on the memory of a run that no plan keeps to. [`Error::needed_bytes`] is the fewest bytes of any plan
    /// that was found.
    MemoryLimit,
    /// A kernel that cannot compute an operator: it was asked for by name and does not support the operator, or the
    /// operator needs more workgroups than the adapter allows.
    Kernel,
    /// No adapter fits the request. [`Error::given`] lists the available adapters.
    NoAdapter,
    /// The device or its driver ran out of memory. Existing objects are unaffected.
    OutOfMemory,
    /// The device is lost and will not come back: a fault or a reset of the driver, a removed card, or a caller that
    /// has destroyed it. Nothing that was created on it can be used again; a new [`GpuContext`](crate::GpuContext) may
    /// work.
    DeviceLost,
    /// The device refused or failed.
    Device,
    /// Another program that is needed is missing or does not work. [`Error::subject`] names it.
    Program,
    /// Something that this version does not support.
    Unsupported,
}

impl Error {
    /// The kind of this error.
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

    /// The thing at fault: a key of a configuration, a blob, an input, a tap, an operator, a program, or a request.
    /// [`Error::path`] has the file at fault, [`Error::adapter`] the device.
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

    /// The blob of the weights that is missing, 2-D, or not finite; named as in Caffe2, for example
    /// `res3_0_branch2b_w`.
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

    /// The action on [`Error::path`] that failed: `read`, `write`, `list`, …
    pub fn action(&self) -> Option<&'static str> {
        match self.repr() {
            ErrorRepr::File { action, .. } => Some(action),
            _ => None,
        }
    }

    /// The reason why a file could not be read or written. [`std::error::Error::source`] returns it too.
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

    /// A description of what would have been valid.
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

    /// A description of what was given or found.
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

    /// The reason, in words: the message of a driver or a program, or what a kernel or this version does not support.
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

    /// The names that would have been valid, if they are few: taps of stages, modes of inflation, projects, values.
    pub fn known_names(&self) -> &[String] {
        match self.repr() {
            ErrorRepr::NeedsInflation { modes: known, .. }
            | ErrorRepr::UnknownTap { known, .. }
            | ErrorRepr::UnknownName { known, .. }
            | ErrorRepr::AmbiguousFamily { families: known, .. } => known,
            _ => &[],
        }
    }

    /// The bytes that are needed, for an [`ErrorKind::Limit`], or the smallest limit that would do, for a
    /// [`ErrorKind::MemoryLimit`].
    pub fn needed_bytes(&self) -> Option<u64> {
        match *self.repr() {
            ErrorRepr::Limit { needed, .. } | ErrorRepr::MemoryLimit { least: needed, .. } => Some(needed),
            _ => None,
        }
    }

    /// The bytes that the adapter, or the limit on memory, allows.
    pub fn limit_bytes(&self) -> Option<u64> {
        match *self.repr() {
            ErrorRepr::Limit { limit, .. } | ErrorRepr::MemoryLimit { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// The name of the adapter's limit, for an [`ErrorKind::Limit`]: `binding`, `buffer` or `texture`.
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

    /// A hint for a file, if more is known than that it is damaged or of another kind.
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

    /// A closure for `map_err` on I/O errors: the action, and the path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| ErrorRepr::File { action, path, source }.into()
    }

    /// An [`ErrorKind::Format`]: what `path` should have held, and what it held.
    pub(crate) fn format(path: &Path, wanted: impl Into<String>, given: impl fmt::Display) -> Self {
        ErrorRepr::Format { path: path.to_owned(), wanted: wanted.into(), given: given.to_string(), hint: None }.into()
    }

    /// The same [`ErrorKind::Format`] with another `given`; any other error unchanged.
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
