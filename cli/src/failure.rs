//! What a failure prints: the error, its causes, and what to do next.
//!
//! The library's errors know nothing of the program's options. What is said of options stands here.

use anyhow::Error as AnyError;
use resnet3d_wgpu::{Error, ErrorKind};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const CONFIG: &str = "--config takes a preset such as r18-conv4, a JSON file, or JSON; `resnet3d plan --clip 1x3x8x224x224 \
                      --config …` shows the network it makes";
const READY_CLIP: &str = "a ready clip has five axes, batch x 3 channels x frames x height x width, and normalised values; \
                          pictures are uint8, frames x height x width x 3, and preprocessed here";
const CLIP: &str =
    "`resnet3d clip --help` says what an input may be, and how frames are resized and cut (--size, --crop)";
const OTHER_NETWORK: &str = "if the weights belong to another network, say which with --config, for example \
                             --config '{\"transformation\": \"basic\"}'";

/// A failure that the program finds by itself, in the words of the library's.
#[derive(Debug)]
pub struct Failure {
    message: String,
    source: Option<io::Error>,
    next_step: &'static str,
}

impl Failure {
    /// A value of an option that describes no network.
    pub fn config(option: &str, wanted: &str, given: &str) -> Self {
        Self { message: format!("config: {option} must be {wanted}, got {given}"), source: None, next_step: CONFIG }
    }

    /// A clip's shape that the network does not take.
    pub fn clip_shape(wanted: &str, given: &str) -> Self {
        Self { message: format!("clip: wanted shape {wanted}, got {given}"), source: None, next_step: READY_CLIP }
    }

    /// An input that does not do.
    pub fn clip(wanted: &str, given: &str) -> Self {
        Self { message: format!("clip: wanted {wanted}, got {given}"), source: None, next_step: CLIP }
    }

    /// A file or directory that could not be read, or used otherwise.
    pub fn file(action: &str, path: &Path, source: io::Error) -> Self {
        let next_step = about_file(action, source.kind());
        Self { message: format!("cannot {action} {}", path.display()), source: Some(source), next_step }
    }

    /// A file whose contents are not what its use promises.
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
    // If standard error is gone there is nobody left to tell.
    let _ = io::stderr().lock().write_all(message(error).as_bytes());
    ExitCode::FAILURE
}

/// One line for the error, one for each cause, one for the next step.
fn message(error: &AnyError) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  because: {cause}");
    }
    let next_step = error.chain().find_map(|cause| {
        let own = cause.downcast_ref::<Failure>().map(|failure| failure.next_step.into());
        own.or_else(|| cause.downcast_ref::<Error>().map(next_step))
    });
    if let Some(next_step) = next_step {
        let _ = writeln!(text, "hint: {next_step}");
    }
    text
}

/// What may help.
fn next_step(error: &Error) -> Cow<'static, str> {
    let about_weights = error.subject().is_some_and(|subject| subject.starts_with("weights"));
    let text = match error.kind() {
        ErrorKind::Config => CONFIG,
        ErrorKind::MissingBlob => OTHER_NETWORK,
        ErrorKind::Shape if about_weights => OTHER_NETWORK,
        ErrorKind::Shape => READY_CLIP,
        ErrorKind::NeedsInflation => {
            "--inflate center-only leaves an image network what it was on every frame; or run it frame by frame, with \
             --config '{…, \"time_kernel_dim\": 1}'"
        }
        ErrorKind::AmbiguousFamily => {
            return format!("--family says whose it is: --family {}", error.known_names().join("|")).into();
        }
        ErrorKind::ElementType if about_weights => "store the tensor as float32 and try again",
        ErrorKind::ElementType => {
            "store pictures as uint8, frames x height x width x 3, which are then preprocessed (--channel-order says in \
             which order their channels are); only a ready clip, of values that are normalised already, is float32"
        }
        ErrorKind::NonFinite => "the file is damaged, or the training diverged: export the weights again",
        ErrorKind::UnknownTap => {
            "`resnet3d plan --no-fusion --clip 1x3x8x224x224` lists every blob that can be tapped (give it the same \
             --config)"
        }
        ErrorKind::File => {
            about_file(error.action().unwrap_or_default(), error.io().map_or(io::ErrorKind::Other, io::Error::kind))
        }
        ErrorKind::Format => {
            error.help().unwrap_or("the file is damaged, incomplete, or of another kind: fetch or export it again")
        }
        ErrorKind::Damaged => {
            "fetch or export the video again; or --damaged keep takes the damaged frames as they are, --damaged drop leaves \
             them out, and --start and --frames choose whole ones"
        }
        ErrorKind::Clip => CLIP,
        ErrorKind::Size => "choose a clip with at least one frame and pixel on every axis, and not too many of them",
        ErrorKind::Limit => {
            "clips and frames are split, but not a few rows, or the weights of a few channels: use an adapter with higher \
             limits; `resnet3d adapters` lists them"
        }
        ErrorKind::MemoryLimit => {
            "raise --memory-limit, or run fewer frames at once (--frames) or smaller ones (--size, --max-size); `resnet3d \
             plan --memory-limit …` tells what can be done without doing it"
        }
        ErrorKind::Kernel => "this is a defect of the program: please report it with the command and the --config",
        ErrorKind::NoAdapter if error.wanted().is_some_and(|wanted| wanted.contains("WGPU_BACKEND")) => {
            "unset the variable WGPU_BACKEND, which hides the other backends; or choose one with --backend, which goes \
             before it"
        }
        ErrorKind::NoAdapter if error.given() == Some("none") => {
            "install a driver; without a GPU, a software one does: apt-get install mesa-vulkan-drivers libegl1 \
             libgl1-mesa-dri"
        }
        ErrorKind::NoAdapter => "`resnet3d adapters` lists what there is; choose with --adapter and --backend",
        ErrorKind::OutOfMemory => {
            "choose a smaller clip or fewer of them at once; `resnet3d plan` shows what one needs, `resnet3d adapters` what \
             else there is to run on"
        }
        ErrorKind::DeviceLost => {
            "run it again; if it happens again, update the driver, or take another adapter or backend (`resnet3d adapters`), \
             and please report it with what `resnet3d verify --all-adapters --report OUT.json` writes"
        }
        ErrorKind::Device => "try another adapter or backend (`resnet3d adapters`), a smaller clip, or a newer driver",
        ErrorKind::Program => {
            "videos are decoded by ffmpeg and ffprobe, which have to be on the PATH and to work (try `ffmpeg -version` and \
             `ffprobe -version`): apt-get install ffmpeg; or use a directory of frames"
        }
        ErrorKind::Unsupported => "`resnet3d help` says what this version does, docs/weights.md which weights it reads",
        _ => "run again with -vv to see more",
    };
    text.into()
}

/// What may help where `action` on a file fails.
fn about_file(action: &str, kind: io::ErrorKind) -> &'static str {
    match (action, kind) {
        ("write" | "create" | "keep caches in", kind) => about_writing(kind),
        (_, io::ErrorKind::NotFound) => "check the path; relative ones start in the current directory",
        _ => "check the path and its permissions",
    }
}

/// What may help where a file cannot be written.
fn about_writing(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room there, or choose a file on another disk; nothing is left of this one, and an older file is as it was"
        }
        io::ErrorKind::PermissionDenied => {
            "choose a file that you may write to, in a directory that you may write to: a result is written beside the old \
             one, and then takes its place"
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
