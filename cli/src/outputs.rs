//! Files to be written, which are checked before the work is done: whether they can be, and that they are nothing that is
//! read.

use crate::output::{json, note, print, wrong_usage};
use crate::place::{Harm, Place};
use anyhow::{Context as _, Result};
use resnet3d_wgpu::low_level::atomic_file::{Contents, Staged, check_writable};
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

/// Files to be written, staged after the work and committed together. One of them may be standard output, which then
/// holds that file and nothing else.
#[derive(Debug)]
pub struct Outputs<'a> {
    outputs: Vec<Output<'a>>,
}

#[derive(Debug)]
struct Output<'a> {
    /// The option that names it.
    option: &'static str,
    path: &'a Path,
    is_standard_output: bool,
}

impl<'a> Outputs<'a> {
    /// Checks that the paths of all options of `outputs` that are given can be written. Two of one path, and what would
    /// change a file that one of `inputs` reads, are wrong usage.
    pub fn new(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Result<Self> {
        let own = Self::distinct(outputs, inputs);
        for output in own.files() {
            check_writable(output.path)?;
        }
        Ok(own)
    }

    /// As [`Outputs::new`], where the directories of the files are made before they are written.
    pub fn in_new_directories(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Result<Self> {
        let own = Self::distinct(outputs, inputs);
        for output in own.files() {
            check_creatable(output.path)?;
        }
        Ok(own)
    }

    fn distinct(
        outputs: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
        inputs: &[(&'static str, &Path)],
    ) -> Self {
        let given = outputs.into_iter().filter_map(|(option, path)| {
            path.map(|path| Output { option, path, is_standard_output: is_standard_output(path) })
        });
        let own = Self { outputs: given.collect() };
        for (index, output) in own.outputs.iter().enumerate() {
            if let Some(other) = own.outputs[..index].iter().find(|other| other.is(output)) {
                let (first, second, path) = (other.option, output.option, output.path.display());
                wrong_usage(&format!("{first} and {second} name the same file, {path}"));
            }
        }
        for (output, (input, path)) in own.files().flat_map(|output| inputs.iter().map(move |input| (output, input))) {
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
        own
    }

    /// All but standard output.
    fn files(&self) -> impl Iterator<Item = &Output<'a>> {
        self.outputs.iter().filter(|output| !output.is_standard_output)
    }

    /// Writes the files, all or none, in the order in which they were given.
    pub fn write(&self, contents: &[&dyn Contents]) -> Result<()> {
        let mut staged = Vec::new();
        let mut streamed = None;
        for (output, contents) in self.outputs.iter().zip(contents) {
            if output.is_standard_output {
                streamed = Some(contents);
            } else {
                staged.push(Staged::new(output.path, *contents)?);
            }
        }
        for file in staged {
            file.commit()?;
        }
        if let Some(contents) = streamed {
            let mut stdout = std::io::stdout().lock();
            let written = contents.write_to(&mut stdout).and_then(|()| stdout.flush());
            written.context("cannot write to standard output")?;
        }
        Ok(())
    }

    /// Prints what was done: to standard error where standard output is one of the files.
    pub fn print(&self, text: &str) -> Result<()> {
        if self.outputs.iter().any(|output| output.is_standard_output) {
            note(text.trim_end());
            return Ok(());
        }
        print(text)
    }

    /// Prints `value` as JSON, as [`Outputs::print`].
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

/// Whether a path means the program's standard output: `-`, the system's names for it, or the very file or pipe that it
/// leads to.
fn is_standard_output(path: &Path) -> bool {
    let names: &[&str] = if cfg!(unix) { &["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] } else { &["-"] };
    names.iter().any(|name| path == Path::new(name)) || is_redirected_to(path).unwrap_or(false)
}

/// Whether standard output goes into the file or pipe `path`.
#[cfg(unix)]
fn is_redirected_to(path: &Path) -> std::io::Result<bool> {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let there = path.metadata()?;
    let stdout = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
    // Of terminals and of /dev/null there is no one reader, to be confused by two writers.
    let holds = there.is_file() || there.file_type().is_fifo();
    Ok(holds && (there.dev(), there.ino()) == (stdout.dev(), stdout.ino()))
}

#[cfg(not(unix))]
fn is_redirected_to(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

/// Checks that `path` can be written once the directories on the way to it have been made.
pub fn check_creatable(path: &Path) -> Result<()> {
    let is_there = |parent: &&Path| parent.as_os_str().is_empty() || parent.exists();
    // The last on the way up whose own directory is there.
    let first = path.ancestors().find(|ancestor| ancestor.parent().as_ref().is_none_or(is_there));
    Ok(check_writable(first.unwrap_or(path))?)
}
