//! What a failure prints: the error, its causes, and what to do next.

use anyhow::Error as AnyError;
use resnet3d_wgpu::Error;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// Prints `error` to standard error and returns the exit code for it.
pub fn report(error: &AnyError) -> ExitCode {
    // If standard error is gone there is nobody left to tell.
    let _ = std::io::stderr().lock().write_all(message(error).as_bytes());
    ExitCode::FAILURE
}

/// One line for the error, one for each cause, one for the next step.
fn message(error: &AnyError) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  because: {cause}");
    }
    if let Some(own) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        let _ = writeln!(text, "hint: {}", next_step(own));
    }
    text
}

/// What may help.
fn next_step(error: &Error) -> &'static str {
    const OTHER_NETWORK: &str = "if the weights belong to another network, say which with --config, for example \
                                 --config '{\"transformation\": \"basic\"}'";
    match error {
        Error::Config { .. } => {
            "--config takes a preset such as r18-conv4, a JSON file, or JSON; `resnet3d plan --clip 1x3x8x224x224 \
             --config …` shows the network it makes"
        }
        Error::MissingBlob { .. } => OTHER_NETWORK,
        Error::Shape { what, .. } if what.starts_with("weights") => OTHER_NETWORK,
        Error::Shape { .. } => {
            "a ready clip has five axes, batch x 3 channels x frames x height x width, and normalised values; pictures are \
             uint8, frames x height x width x 3, and preprocessed here"
        }
        Error::NeedsInflation { .. } => {
            "--inflate center-only leaves an image network what it was on every frame; or run it frame by frame, with \
             --config '{…, \"time_kernel_dim\": 1}'"
        }
        Error::ElementType { what, .. } if what.starts_with("weights") => "store the tensor as float32 and try again",
        Error::ElementType { .. } => {
            "store pictures as uint8, frames x height x width x 3, which are then preprocessed (--channel-order says in \
             which order their channels are); only a ready clip, of values that are normalised already, is float32"
        }
        Error::NonFinite { .. } => "the file is damaged, or the training diverged: export the weights again",
        Error::UnknownTap { .. } => {
            "`resnet3d plan --no-fusion --clip 1x3x8x224x224` lists every blob that can be tapped (give it the same \
             --config)"
        }
        Error::File { action, source, .. } => match (*action, source.kind()) {
            ("write" | "create" | "keep caches in", kind) => about_writing(kind),
            (_, ErrorKind::NotFound) => "check the path; relative ones start in the current directory",
            _ => "check the path and its permissions",
        },
        Error::Format { hint: Some(hint), .. } => hint,
        Error::Format { .. } => "the file is damaged, incomplete, or of another kind: fetch or export it again",
        Error::Damaged { .. } => {
            "fetch or export the video again; or --damaged keep takes the damaged frames as they are, --damaged drop leaves \
             them out, and --start and --frames choose whole ones"
        }
        Error::Clip { .. } => "`resnet3d clip --help` says what an input may be",
        Error::Size { .. } => "choose a clip with at least one frame and pixel on every axis, and not too many of them",
        Error::Limit { .. } => {
            "clips and frames are split, but not a few rows, or the weights of a few channels: use an adapter with higher \
             limits; `resnet3d adapters` lists them"
        }
        Error::MemoryLimit { .. } => {
            "raise --memory-limit, or run fewer frames at once (--frames) or smaller ones (--size, --max-size); `resnet3d \
             plan --memory-limit …` tells what can be done without doing it"
        }
        Error::Kernel { .. } => "this is a defect of the program: please report it with the command and the --config",
        Error::NoAdapter { wanted, .. } if wanted.contains("WGPU_BACKEND") => {
            "unset the variable WGPU_BACKEND, which hides the other backends; or choose one with --backend, which goes \
             before it"
        }
        Error::NoAdapter { found, .. } if found == "none" => {
            "install a driver; without a GPU, a software one does: apt-get install mesa-vulkan-drivers libegl1 \
             libgl1-mesa-dri"
        }
        Error::NoAdapter { .. } => "`resnet3d adapters` lists what there is; choose with --adapter and --backend",
        Error::OutOfMemory { .. } => {
            "choose a smaller clip or fewer of them at once; `resnet3d plan` shows what one needs, `resnet3d adapters` what \
             else there is to run on"
        }
        Error::DeviceLost { .. } => {
            "run it again; if it happens again, update the driver, or take another adapter or backend (`resnet3d adapters`), \
             and please report it with what `resnet3d verify --all-adapters --report OUT.json` writes"
        }
        Error::Device { .. } => {
            "try another adapter or backend (`resnet3d adapters`), a smaller clip, or a newer driver"
        }
        Error::Program { .. } => {
            "videos are decoded by ffmpeg and ffprobe, which have to be on the PATH and to work (try `ffmpeg -version` and \
             `ffprobe -version`): apt-get install ffmpeg; or use a directory of frames"
        }
        Error::Unsupported { .. } => {
            "`resnet3d help` says what this version does, docs/weights.md which weights it reads"
        }
        _ => "run again with -vv to see more",
    }
}

/// What may help where a file cannot be written.
fn about_writing(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room there, or choose a file on another disk; nothing is left of this one, and an older file is as it was"
        }
        ErrorKind::PermissionDenied => {
            "choose a file that you may write to, in a directory that you may write to: a result is written beside the old \
             one, and then takes its place"
        }
        ErrorKind::ReadOnlyFilesystem => "choose a file on a disk that can be written to",
        ErrorKind::NotFound => "create the directory first, or choose a file in one that exists",
        ErrorKind::IsADirectory => "choose a name for a file in that directory",
        ErrorKind::NotADirectory => {
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
        let error = Error::File {
            action: "write",
            path: "out.safetensors".into(),
            source: std::io::Error::new(ErrorKind::StorageFull, "no space"),
        };
        let text = message(&AnyError::from(error).context("cannot save"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["error: cannot save", "  because: cannot write out.safetensors", "  because: no space"]
        );
        assert!(lines[3].starts_with("hint: ") && lines.len() == 4, "{text}");
    }
}
