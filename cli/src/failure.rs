//! Prints failures: the error, its causes, and a hint.
//!
//! The errors of the library do not know the options of the program. All advice about options is in this file.

use anyhow::Error as AnyError;
use resnet3d_wgpu::{Error, ErrorKind};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const CONFIG: &str = "--config takes a preset such as r18-conv4, a JSON file, or JSON; `resnet3d plan --clip \
                      1x3x8x224x224 --config …` shows the resulting network";
const READY_CLIP: &str = "a ready clip has five axes, batch x 3 channels x frames x height x width, and normalised \
                          values; pictures are uint8, frames x height x width x 3, and this program preprocesses them";
const CLIP: &str =
    "`resnet3d clip --help` lists the supported inputs, and how frames are resized and cropped (--size, --crop)";
const OTHER_NETWORK: &str = "if the weights belong to another network, name it with --config, for example \
                             --config '{\"transformation\": \"basic\"}'";

/// A failure that the program finds itself, worded like the errors of the library.
#[derive(Debug)]
pub struct Failure {
    message: String,
    source: Option<io::Error>,
    next_step: &'static str,
}

impl Failure {
    /// The value of an option does not describe a network.
    pub fn config(option: &str, wanted: &str, given: &str) -> Self {
        Self { message: format!("config: {option} must be {wanted}, got {given}"), source: None, next_step: CONFIG }
    }

    /// The network does not support the shape of the clip.
    pub fn clip_shape(wanted: &str, given: &str) -> Self {
        Self { message: format!("clip: wanted shape {wanted}, got {given}"), source: None, next_step: READY_CLIP }
    }

    /// An input is unsuitable.
    pub fn clip(wanted: &str, given: &str) -> Self {
        Self { message: format!("clip: wanted {wanted}, got {given}"), source: None, next_step: CLIP }
    }

    /// `action` failed on a file or directory.
    pub fn file(action: &str, path: &Path, source: io::Error) -> Self {
        let next_step = about_file(action, source.kind());
        Self { message: format!("cannot {action} {}", path.display()), source: Some(source), next_step }
    }

    /// A file has the wrong contents.
    pub fn format(path: &Path, wanted: &str, given: &str, next_step: &'static str) -> Self {
        Self { message: format!("{}: wanted {wanted}, got {given}", path.display()), source: None, next_step }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Prints `error` to standard error and returns the exit code for it.
pub fn report(error: &AnyError) -> ExitCode {
    // If standard error is closed, the failure cannot be reported.
    let _ = io::stderr().lock().write_all(message(error).as_bytes());
    ExitCode::FAILURE
}

/// A line for the error, one for each cause, and one for the hint.
fn message(error: &AnyError) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  because: {cause}");
    }
    let next_step = error.chain().find_map(|cause| {
        let of_program = cause.downcast_ref::<Failure>().map(|failure| failure.next_step.into());
        of_program.or_else(|| cause.downcast_ref::<Error>().map(next_step))
    });
    if let Some(next_step) = next_step {
        let _ = writeln!(text, "hint: {next_step}");
    }
    text
}

/// The hint for an error of the library.
fn next_step(error: &Error) -> Cow<'static, str> {
    let about_weights = error.subject().is_some_and(|subject| subject.starts_with("weights"));
    let text = match error.kind() {
        ErrorKind::Config => CONFIG,
        ErrorKind::MissingBlob => OTHER_NETWORK,
        ErrorKind::Shape if about_weights => OTHER_NETWORK,
        ErrorKind::Shape => READY_CLIP,
        ErrorKind::NeedsInflation => {
            "--inflate center-only keeps the results of an image network on every frame; or run it frame by frame with \
             --config '{…, \"time_kernel_dim\": 1}'"
        }
        ErrorKind::AmbiguousFamily => {
            return format!("name the project with --family {}", error.known_names().join("|")).into();
        }
        ErrorKind::ElementType if about_weights => "store the tensor as float32 and try again",
        ErrorKind::ElementType => {
            "store pictures as uint8, frames x height x width x 3, which are then preprocessed (--channel-order states \
             the order of their channels); only a ready clip, whose values are already normalised, is float32"
        }
        ErrorKind::NonFinite => "the file is damaged, or the training diverged: export the weights again",
        ErrorKind::UnknownTap => {
            "`resnet3d plan --no-fusion --clip 1x3x8x224x224` lists every blob that can be tapped (with the same \
             --config)"
        }
        ErrorKind::File => {
            about_file(error.action().unwrap_or_default(), error.io().map_or(io::ErrorKind::Other, io::Error::kind))
        }
        ErrorKind::Format => {
            error.help().unwrap_or("the file is damaged, incomplete, or of another kind: download or export it again")
        }
        ErrorKind::Damaged => {
            "download or export the video again; or use --damaged keep to take the damaged frames as they are, \
             --damaged drop to leave them out, or --start and --frames to choose other frames"
        }
        ErrorKind::Clip => CLIP,
        ErrorKind::Size => "choose a clip with at least one frame and one pixel on every axis, and not too many",
        ErrorKind::Limit => {
            "clips and frames can be split, but not further than a few rows, and weights not further than a few \
             channels: use an adapter with higher limits; `resnet3d adapters` lists the adapters"
        }
        ErrorKind::MemoryLimit => {
            "raise --memory-limit, or run fewer frames at once (--frames) or smaller ones (--size, --max-size); \
             `resnet3d plan --memory-limit …` checks a limit without a run"
        }
        ErrorKind::Kernel => "this is a bug in the program: please report it with the command and the --config",
        ErrorKind::NoAdapter if error.wanted().is_some_and(|wanted| wanted.contains("WGPU_BACKEND")) => {
            "unset the variable WGPU_BACKEND, which hides the other backends; or choose one with --backend, which \
             overrides the variable"
        }
        ErrorKind::NoAdapter if error.given() == Some("none") => {
            "install a driver; without a GPU, a software driver works: apt-get install mesa-vulkan-drivers libegl1 \
             libgl1-mesa-dri"
        }
        ErrorKind::NoAdapter => "`resnet3d adapters` lists the adapters; choose one with --adapter and --backend",
        ErrorKind::OutOfMemory => {
            "choose a smaller clip or a smaller batch; `resnet3d plan` shows the memory that a clip needs, `resnet3d \
             adapters` lists the other adapters"
        }
        ErrorKind::DeviceLost => {
            "run it again; if it happens again, update the driver, or choose another adapter or backend (`resnet3d \
             adapters`), and please report it with the file of `resnet3d verify --all-adapters --report OUT.json`"
        }
        ErrorKind::Device => "try another adapter or backend (`resnet3d adapters`), a smaller clip, or a newer driver",
        ErrorKind::Program => {
            "videos are decoded by ffmpeg and ffprobe, which must be on the PATH and must work (try `ffmpeg -version` \
             and `ffprobe -version`): apt-get install ffmpeg; or use a directory of frames"
        }
        ErrorKind::Unsupported => {
            "`resnet3d help` lists the commands of this version, docs/weights.md the weights that it reads"
        }
        _ => "run it again with -vv for more messages",
    };
    text.into()
}

/// The hint for a failed `action` on a file.
fn about_file(action: &str, kind: io::ErrorKind) -> &'static str {
    match (action, kind) {
        ("write" | "create" | "keep caches in", kind) => about_writing(kind),
        (_, io::ErrorKind::NotFound) => "check the path; relative ones start in the current directory",
        _ => "check the path and its permissions",
    }
}

/// The hint for a file that cannot be written.
fn about_writing(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room there, or choose a file on another disk; the partial file is removed, and an older file is \
             unchanged"
        }
        io::ErrorKind::PermissionDenied => {
            "choose a file that you may write to, in a directory that you may write to: a result is written next to \
             the old file, and then replaces it"
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose a file on a disk that can be written to",
        io::ErrorKind::NotFound => "create the directory first, or choose a file in one that exists",
        io::ErrorKind::IsADirectory => "choose a name for a file in that directory",
        io::ErrorKind::NotADirectory => {
            "a part of the path, or all of it, is a file where a directory is needed: choose another"
        }
        _ => "choose a file in a directory that exists and that you may write to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_printed_line_by_line() {
        let source = io::Error::new(io::ErrorKind::StorageFull, "no space");
        let error = Failure::file("write", Path::new("out.safetensors"), source);
        let text = message(&AnyError::from(error).context("cannot save"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["error: cannot save", "  because: cannot write out.safetensors", "  because: no space"]
        );
        assert!(lines[3].starts_with("hint: ") && lines.len() == 4, "{text}");
    }
}
