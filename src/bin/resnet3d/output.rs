//! Where results go: standard output, and files that are written whole or not at all.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use resnet3d_wgpu::atomic_file::{Staged, check_writable};
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

/// Prints `text` to standard output. A reader that has gone away, as in `| head`, wanted no more: that is no failure.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a line to standard error.
pub fn note(text: &str) {
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints `value` as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value).context("the result has no JSON")?;
    print(&(json + "\n"))
}

/// Files to be written: checked before the work is done, staged after it, committed together.
#[derive(Debug, Default)]
pub struct Outputs<'a> {
    paths: Vec<(&'static str, &'a Path)>,
}

impl<'a> Outputs<'a> {
    /// Checks that `path`, the value of `option`, can be written. Two options with one path are wrong usage.
    pub fn add(&mut self, option: &'static str, path: &'a Path) -> Result<()> {
        for (other, taken) in &self.paths {
            if same_file(path, taken) {
                wrong_usage(&format!("{other} and {option} name the same file, {}", path.display()));
            }
        }
        check_writable(path)?;
        self.paths.push((option, path));
        Ok(())
    }

    /// Refuses to write over `path`, which `option` reads from.
    pub fn keep(&self, option: &'static str, path: &Path) {
        for (output, written) in &self.paths {
            if same_file(path, written) {
                wrong_usage(&format!("{output} would overwrite what {option} reads, {}", path.display()));
            }
        }
    }

    /// Writes the files, all or none, in the order in which they were added.
    pub fn write(&self, contents: &[Vec<u8>]) -> Result<()> {
        let staged = self.paths.iter().zip(contents).map(|((_, path), bytes)| Staged::new(path, bytes));
        let staged = staged.collect::<resnet3d_wgpu::Result<Vec<_>>>()?;
        for file in staged {
            file.commit()?;
        }
        Ok(())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    let canonical = |path: &Path| match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), _, _) => Some(path),
        // Not there yet, but its directory may be.
        (_, Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
            parent.canonicalize().ok().map(|parent| parent.join(name))
        }
        (_, _, Some(name)) => std::env::current_dir().ok().map(|here| here.join(name)),
        _ => None,
    };
    let is_regular = |path: &Path| path.metadata().map_or(true, |metadata| metadata.is_file());
    a == b || (is_regular(a) && canonical(a).is_some() && canonical(a) == canonical(b))
}

/// Ends the program as clap does for arguments that contradict one another.
pub fn wrong_usage(message: &str) -> ! {
    crate::cli::Cli::command().error(ErrorKind::ArgumentConflict, message).exit()
}
