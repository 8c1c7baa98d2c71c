//! Output files. Before the work starts, the program checks that they can be written and that they do not overwrite an
//! input.

use crate::output::{json, note, print, wrong_usage};
use crate::place::{Harm, Place};
use anyhow::{Context as _, Result};
use resnet3d_wgpu::low_level::atomic_file::{Contents, Staged, check_writable};
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

/// Output files, which are staged after the work and committed together. One of them may be standard output, which then
/// gets nothing else.
#[derive(Debug)]
pub struct Outputs<'a> {
    outputs: Vec<Output<'a>>,
}

#[derive(Debug)]
struct Output<'a> {
    /// The option that names the file.
    option: &'static str,
    path: &'a Path,
    is_standard_output: bool,
}

impl<'a> Outputs<'a> {
    /// Checks that the paths in `outputs` can be written. Two outputs with one path, and an output that would change a
    /// file of `inputs`, are wrong usage.
    pub fn new(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Result<Self> {
        let outputs = Self::distinct(outputs, inputs);
        for output in outputs.files() {
            check_writable(output.path)?;
        }
        Ok(outputs)
    }

    /// As [`Outputs::new`], for files whose directories are created later.
    pub fn in_new_directories(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Result<Self> {
        let outputs = Self::distinct(outputs, inputs);
        for output in outputs.files() {
            check_creatable(output.path)?;
        }
        Ok(outputs)
    }

    fn distinct(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Self {
        let given = outputs.into_iter().filter_map(|(option, path)| {
            path.map(|path| Output { option, path, is_standard_output: is_standard_output(path) })
        });
        let distinct = Self { outputs: given.collect() };
        for (index, output) in distinct.outputs.iter().enumerate() {
            if let Some(other) = distinct.outputs[..index].iter().find(|other| other.is(output)) {
                let (first, second, path) = (other.option, output.option, output.path.display());
                wrong_usage(&format!("{first} and {second} name the same file, {path}"));
            }
        }
        for (output, (input, path)) in
            distinct.files().flat_map(|output| inputs.iter().map(move |input| (output, input)))
        {
            let option = output.option;
            match Harm::of(output.path, path) {
                None => {}
                Some(Harm::Overwrites(file)) => {
                    wrong_usage(&format!("{option} would overwrite what {input} reads, {}", file.display()))
                }
                Some(Harm::Adds(file)) => wrong_usage(&format!(
                    "{option} would add a frame to what {input} reads, {}: choose another directory",
                    file.display()
                )),
            }
        }
        distinct
    }

    /// All outputs except standard output.
    fn files(&self) -> impl Iterator<Item = &Output<'a>> {
        self.outputs.iter().filter(|output| !output.is_standard_output)
    }

    /// Writes all files or none. `contents` has the order of the outputs.
    pub fn write(&self, contents: &[&dyn Contents]) -> Result<()> {
        let mut staged = Vec::new();
        let mut to_stdout = None;
        for (output, contents) in self.outputs.iter().zip(contents) {
            if output.is_standard_output {
                to_stdout = Some(contents);
            } else {
                staged.push(Staged::new(output.path, *contents)?);
            }
        }
        for file in staged {
            file.commit()?;
        }
        if let Some(contents) = to_stdout {
            let mut stdout = std::io::stdout().lock();
            let written = contents.write_to(&mut stdout).and_then(|()| stdout.flush());
            written.context("cannot write to standard output")?;
        }
        Ok(())
    }

    /// Prints the report, to standard error if standard output is one of the files.
    pub fn print(&self, text: &str) -> Result<()> {
        if self.outputs.iter().any(|output| output.is_standard_output) {
            note(text.trim_end());
            return Ok(());
        }
        print(text)
    }

    /// Prints `value` as JSON in the same way as [`Outputs::print`].
    pub fn print_json(&self, value: &impl Serialize) -> Result<()> {
        self.print(&json(value)?)
    }
}

impl Output<'_> {
    fn is(&self, other: &Self) -> bool {
        let same = |a: &Path, b: &Path| Place::of(a).zip(Place::of(b)).is_some_and(|(a, b)| a.is(&b));
        (self.is_standard_output && other.is_standard_output) || same(self.path, other.path)
    }
}

/// Whether a path means standard output: `-`, a name that the system has for it, or the file or pipe that standard
/// output is redirected to.
fn is_standard_output(path: &Path) -> bool {
    let names: &[&str] = if cfg!(unix) { &["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] } else { &["-"] };
    names.iter().any(|name| path == Path::new(name)) || is_redirected_to(path).unwrap_or(false)
}

/// Whether standard output is redirected to the file or pipe `path`.
#[cfg(unix)]
fn is_redirected_to(path: &Path) -> std::io::Result<bool> {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let metadata = path.metadata()?;
    let stdout = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
    // On a terminal or /dev/null, two writers do no harm.
    let keeps_data = metadata.is_file() || metadata.file_type().is_fifo();
    Ok(keeps_data && (metadata.dev(), metadata.ino()) == (stdout.dev(), stdout.ino()))
}

#[cfg(not(unix))]
fn is_redirected_to(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

/// Checks that `path` can be written once its missing parent directories are created.
pub fn check_creatable(path: &Path) -> Result<()> {
    let exists = |parent: &&Path| parent.as_os_str().is_empty() || parent.exists();
    // The innermost ancestor whose parent directory exists.
    let first = path.ancestors().find(|ancestor| ancestor.parent().as_ref().is_none_or(exists));
    Ok(check_writable(first.unwrap_or(path))?)
}
