//! The contents of errors, one variant for each kind.
//!
//! Every variant names the thing at fault, and says what was wanted and what was given. No variant contains a type of a
//! dependency, so that dependencies can change without breaking callers.

use std::path::PathBuf;

/// The contents of an [`Error`]. [`ErrorKind`] says when each variant occurs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorRepr {
    /// A configuration that describes no network, or is no configuration at all.
    #[error("config: {field} must be {wanted}, got {given}")]
    Config {
        /// The key, or the pair of keys, at fault.
        field: String,
        /// What would have been valid.
        wanted: String,
        /// What was given.
        given: String,
    },

    /// A parameter that the network needs is not among the weights.
    #[error("weights: blob {blob:?} is missing, wanted shape {wanted}{hint}")]
    MissingBlob {
        /// Blob name as in Caffe2, for example `res3_0_branch2b_w`.
        blob: String,
        /// The shape it must have.
        wanted: String,
        /// What was there instead: empty, or a parenthesis that begins with a space.
        hint: String,
    },

    /// A 2-D weight for a layer that spans frames, without an option for how to inflate it.
    #[error(
        "weights: blob {blob:?} is 2-D, {given}, and wanted is {wanted}: say how to inflate it over time ({})",
        either(modes)
    )]
    NeedsInflation {
        /// Blob name.
        blob: String,
        /// The shape it must have.
        wanted: String,
        /// The shape it has.
        given: String,
        /// The names of the modes.
        modes: Vec<String>,
    },

    /// A tensor of the wrong rank or size.
    #[error("{what}: wanted shape {wanted}, got {given}")]
    Shape {
        /// The blob or input at fault.
        what: String,
        /// The shape wanted.
        wanted: String,
        /// The shape given.
        given: String,
    },

    /// A tensor whose element type cannot be used.
    #[error("{what}: wanted {wanted}, got element type {given}")]
    ElementType {
        /// The tensor at fault, with its file where it has one.
        what: String,
        /// The element types that would do.
        wanted: &'static str,
        /// The element type given.
        given: String,
    },

    /// A weight that is NaN or infinite.
    #[error("weights: blob {blob:?} must be finite, got {value} at flat index {index}")]
    NonFinite {
        /// Blob name.
        blob: String,
        /// Row-major index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },

    /// A tap that names no blob of the network.
    #[error("tap {name:?} is not a blob of this network; wanted {}", blobs(known, note))]
    UnknownTap {
        /// The name asked for.
        name: String,
        /// The taps of stages; none where any blob of the graph would do.
        known: Vec<String>,
        /// More about the name: empty, or text that begins with a space.
        note: &'static str,
    },

    /// A name that is no value of its type.
    #[error("{what}: wanted {}, got {given:?}", either(known))]
    UnknownName {
        /// What the name stands for, for example `backend`.
        what: &'static str,
        /// The name given.
        given: String,
        /// The valid names.
        known: Vec<String>,
    },

    /// A weight file that may come from one of several projects.
    #[error(
        "the network of {file} is not supported: it may be one of several: {why}. Say whose it is: {}",
        either(families)
    )]
    AmbiguousFamily {
        /// The file.
        file: String,
        /// The reason why its contents do not decide.
        why: &'static str,
        /// The projects that it may come from.
        families: Vec<String>,
    },

    /// A file that could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read`, `write`, `list`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file whose contents do not have the format that its name or its use requires.
    #[error("{}: wanted {wanted}, got {given}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the file should have held.
        wanted: String,
        /// What it held, or what its reader said.
        given: String,
        /// A hint, if more is known than that the file is damaged or of another kind.
        hint: Option<&'static str>,
    },

    /// A video in which a wanted frame is damaged or missing.
    #[error("{}: wanted a whole video, got {given}", path.display())]
    #[cfg_attr(not(feature = "files"), expect(dead_code))]
    Damaged {
        /// The video.
        path: PathBuf,
        /// How many of its frames are intact, and which are not.
        given: String,
    },

    /// An invalid clip: no frames, frames of different sizes, and the like.
    #[error("clip: wanted {wanted}, got {given}")]
    Clip {
        /// What would have been valid.
        wanted: String,
        /// What was given.
        given: String,
    },

    /// A size that does not fit the address range, or leaves nothing to compute.
    #[error("{what}: {reason}")]
    Size {
        /// The blob or quantity.
        what: String,
        /// The reason why the size is invalid.
        reason: String,
    },

    /// A blob or weight larger than one binding or buffer of the adapter.
    #[error("{what} needs {needed} bytes in one {limit_name}, but the adapter allows {limit}")]
    Limit {
        /// The blob, weight or workspace.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
        /// `binding`, `buffer` or `texture`.
        limit_name: &'static str,
    },

    /// A limit on the memory of a run that no plan keeps to.
    #[error(
        "{what} needs {least} bytes of device memory for activations and workspaces at least, but the limit is {limit}"
    )]
    MemoryLimit {
        /// The clip.
        what: String,
        /// The fewest bytes of any plan that was found.
        least: u64,
        /// Bytes allowed.
        limit: u64,
    },

    /// A kernel that cannot compute an operator: it was asked for by name and does not support the operator, or the
    /// operator needs more workgroups than the adapter allows.
    #[error("operator {operator}: kernel {kernel} cannot do it: {reason}")]
    Kernel {
        /// Operator name.
        operator: String,
        /// Kernel variant.
        kernel: String,
        /// Why it cannot compute the operator.
        reason: String,
    },

    /// No adapter fits the request.
    #[error("no adapter {wanted}; found: {found}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The available adapters.
        found: String,
    },

    /// The device or its driver ran out of memory. Existing objects are unaffected.
    #[error("device {adapter} is out of memory: {reason}")]
    OutOfMemory {
        /// Name of the adapter.
        adapter: String,
        /// What wgpu was creating, and the message of the driver.
        reason: String,
    },

    /// The device is lost and will not come back: a fault or a reset of the driver, a removed card, or a caller that
    /// has destroyed it. Nothing that was created on it can be used again; a new [`GpuContext`](crate::GpuContext) may
    /// work.
    #[error("device {adapter} is lost: {reason}")]
    DeviceLost {
        /// Name of the adapter.
        adapter: String,
        /// The message of the driver or of wgpu, if there was one.
        reason: String,
    },

    /// The device refused or failed.
    #[error("device {adapter}: {reason}")]
    Device {
        /// Name of the adapter.
        adapter: String,
        /// The message of the driver or of wgpu.
        reason: String,
    },

    /// Another program that is needed is missing or does not work.
    #[error("cannot use the program {program}: {reason}")]
    #[cfg_attr(not(feature = "files"), expect(dead_code))]
    Program {
        /// Its name.
        program: &'static str,
        /// What went wrong.
        reason: String,
    },

    /// Something that this version does not support.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// The reason, and what to do instead.
        reason: String,
    },
}

/// `a, b or c`.
fn either(names: &[String]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        names => names.concat(),
    }
}

/// The taps that are valid.
fn blobs(known: &[String], note: &str) -> String {
    match known {
        [] => "a blob of this graph".to_owned(),
        known => format!("one of: {}{note}, or another blob of its graph", known.join(", ")),
    }
}
