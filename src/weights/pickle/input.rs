//! The bytes of a pickle as the machine takes them: operands of instructions, each checked to be there.

use super::numpy::MAX_NAME;
use std::ops::Range;

/// Why a pickle is refused, and the byte at which.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub at: usize,
    pub what: String,
    /// What may help where the file is not damaged, but holds more than weights.
    pub hint: Option<&'static str>,
    /// Whether the bytes came to an end, so that more of them might help.
    pub ended: bool,
}

pub type Result<T> = std::result::Result<T, Refusal>;

/// A pickle while it is read.
pub struct Input<'a> {
    pub file: &'a [u8],
    /// The next byte.
    pub at: usize,
    /// The instruction that is being carried out.
    start: usize,
}

impl<'a> Input<'a> {
    /// The pickle that begins at the byte `at` of `file`.
    pub fn new(file: &'a [u8], at: usize) -> Self {
        Self { file, at, start: at }
    }

    /// The next instruction.
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

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let range = self.take(N as u64)?;
        let bytes = self.file.get(range).and_then(|bytes| bytes.first_chunk().copied());
        bytes.ok_or_else(|| self.ended("an end within an instruction"))
    }

    /// Where the next `len` bytes are.
    pub fn take(&mut self, len: u64) -> Result<Range<usize>> {
        let left = self.file.len().saturating_sub(self.at);
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= left) else {
            let what = if left == 0 { "an end before STOP".to_owned() } else { format!("{len} bytes of {left} left") };
            return Err(self.ended(what));
        };
        self.at += len;
        Ok(self.at - len..self.at)
    }

    /// Where the bytes are whose number comes first.
    pub fn counted<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<Range<usize>> {
        let len = len(self.array()?).try_into().map_err(|_| self.refuse("a string of negative length"))?;
        self.take(len)
    }

    /// Where the rest of the line is, without its end.
    pub fn line(&mut self) -> Result<Range<usize>> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.ended("a line without an end"));
        };
        let start = self.at;
        self.at += len + 1;
        Ok(start..start + len)
    }

    /// The rest of the line, as a name or a number of any file is: short, and text.
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
