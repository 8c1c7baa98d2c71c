//! Standard output and standard error. Files are in `outputs`.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use serde::Serialize;
use std::io::Write as _;

/// Prints `text` to standard output. A closed pipe, as with `| head`, is not a failure.
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
    // If standard error is closed, the text is lost.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints `value` as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&json(value)?)
}

/// `value` as indented JSON with a line end.
pub fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).context("the result cannot be written as JSON")? + "\n")
}

/// Ends the program as clap does for conflicting arguments.
pub fn wrong_usage(message: &str) -> ! {
    crate::cli::Cli::command().error(ErrorKind::ArgumentConflict, message).exit()
}
