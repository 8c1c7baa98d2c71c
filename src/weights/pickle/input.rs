//! The bytes of a pickle as the machine reads them: instructions and their operands, with bounds checks.

use super::numpy::MAX_NAME;
use std::ops::Range;

/// Why a pickle is refused, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub at: usize,
    pub what: String,
    /// What to do if the file is intact but holds more than weights.
    pub hint: Option<&'static str>,
    /// Whether the input was too short. Then a longer part of the file may be accepted.
    pub ended: bool,
}

pub type Result<T> = std::result::Result<T, Refusal>;

/// A pickle that is being read.
pub struct Input<'a> {
    pub file: &'a [u8],
    /// The next byte.
    pub at: usize,
    /// The byte at which the current instruction begins.
    start: usize,
}

impl<'a> Input<'a> {
    /// The pickle that begins at byte `at` of `file`.
    pub fn new(file: &'a [u8], at: usize) -> Self {
        Self { file, at, start: at }
    }

    /// Reads the next instruction.
    pub fn instruction(&mut self) -> Result<u8> {
        self.start = self.at;
        self.array().map(|[code]| code)
    }

    pub fn refuse(&self, what: impl Into<String>) -> Refusal {
        Refusal { at: self.start, what: what.into(), hint: None, ended: false }
    }

    fn ended(&self, what: impl Into<String>) -> Refusal {
        Refusal { ended: true, ..self.refuse(what) }
    }

    /// Reads the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let range = self.take(N as u64)?;
        let bytes = self.file.get(range).and_then(|bytes| bytes.first_chunk().copied());
        bytes.ok_or_else(|| self.ended("the end of the file within an instruction"))
    }

    /// Skips the next `len` bytes and returns their range.
    pub fn take(&mut self, len: u64) -> Result<Range<usize>> {
        let left = self.file.len().saturating_sub(self.at);
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= left) else {
            return Err(self.ended(match left {
                0 => "the end of the file before STOP".to_owned(),
                _ => format!("an operand of {len} bytes with {left} left"),
            }));
        };
        self.at += len;
        Ok(self.at - len..self.at)
    }

    /// Reads a length and skips that many bytes. Returns their range.
    pub fn counted<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<Range<usize>> {
        let len = len(self.array()?).try_into().map_err(|_| self.refuse("a string of negative length"))?;
        self.take(len)
    }

    /// Skips the rest of the line. Returns its range without the line break.
    pub fn line(&mut self) -> Result<Range<usize>> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.ended("an unterminated line"));
        };
        let start = self.at;
        self.at += len + 1;
        Ok(start..start + len)
    }

    /// Reads the rest of the line as a name or a number, which must be short text; `what` is the error otherwise.
    pub fn word(&mut self, what: &str) -> Result<&'a str> {
        let file = self.file;
        let rest = file.get(self.at..).unwrap_or_default();
        if !rest.iter().take(MAX_NAME).any(|&byte| byte == b'\n') && rest.len() >= MAX_NAME {
            return Err(self.refuse(what));
        }
        let range = self.line()?;
        std::str::from_utf8(&file[range]).map_err(|_| self.refuse(what))
    }
}
