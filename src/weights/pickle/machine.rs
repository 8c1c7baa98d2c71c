//! The stack machine that a pickle is a program for, restricted to what weight files are made of.

use super::numpy::{self, MAX_NAME};
use super::opcodes as op;
use super::value::{Global, Heap, Value};
use crate::weights::raw::Payload;
use std::collections::HashMap;
use std::ops::Range;

/// Most instructions that a file may have. The checkpoint of an R-152 with batch norms and momentum has about a quarter
/// of that. Every instruction makes at most one value, so this also bounds the memory that a hostile file can take.
const MAX_INSTRUCTIONS: usize = 1 << 18;

/// Why a pickle is refused, and the byte at which.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub at: usize,
    pub what: String,
    /// What may help where the file is not damaged, but holds more than weights.
    pub hint: Option<&'static str>,
}

/// What helps against classes and functions in a file.
pub const PLAIN_ARRAYS: &str = "the file holds other objects than numpy arrays by name: load it in Python where it came from, and write the arrays \
     alone, as pickle.dump({name: numpy.asarray(blob), …}, file, protocol=2) or safetensors.numpy.save_file";

/// What helps against the instructions of old protocols.
const PROTOCOL_2: &str =
    "the file is of a protocol that is not read: in Python, pickle.dump(pickle.load(old), new, protocol=2)";

type Result<T> = std::result::Result<T, Refusal>;

/// The machine while it runs.
pub struct Machine<'a> {
    file: &'a [u8],
    /// The next byte.
    at: usize,
    /// The instruction that is being carried out.
    start: usize,
    stack: Vec<Value>,
    /// The heights of the stack at which MARK was seen.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// See [`numpy::call`].
    to_scan: usize,
    heap: Heap,
}

impl<'a> Machine<'a> {
    /// Carries out the program `file`; what it leaves, and what that refers to.
    pub fn run(file: &'a [u8]) -> Result<(Value, Heap)> {
        let mut machine = Self {
            file,
            at: 0,
            start: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            to_scan: 2 * file.len(),
            heap: Heap::default(),
        };
        for _ in 0..MAX_INSTRUCTIONS {
            machine.start = machine.at;
            let [code] = machine.array()?;
            if code == op::STOP {
                return Ok((machine.pop()?, machine.heap));
            }
            machine.step(code)?;
        }
        Err(machine.refuse(format!("more than {MAX_INSTRUCTIONS} instructions")))
    }

    fn refuse(&self, what: impl Into<String>) -> Refusal {
        Refusal { at: self.start, what: what.into(), hint: None }
    }

    /// A refusal of what is whole, but no weight file.
    fn refuse_foreign(&self, what: impl Into<String>, hint: &'static str) -> Refusal {
        Refusal { hint: Some(hint), ..self.refuse(what) }
    }

    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            op::PROTO => {
                let [version] = self.array()?;
                if version > 5 {
                    return Err(self.refuse(format!("protocol {version}, and 5 is the latest known")));
                }
            }
            op::FRAME => drop(self.array::<8>()?),

            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => self.number(i32::from_le_bytes)?,
            op::BININT1 => self.number(u8::from_le_bytes)?,
            op::BININT2 => self.number(u16::from_le_bytes)?,
            op::LONG1 => self.long()?,
            op::BINFLOAT => {
                self.array::<8>()?;
                self.push(Value::Float);
            }

            op::SHORT_BINUNICODE => self.text(u8::from_le_bytes)?,
            op::BINUNICODE => self.text(u32::from_le_bytes)?,
            op::BINUNICODE8 => self.text(u64::from_le_bytes)?,
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => self.bytes(u8::from_le_bytes)?,
            op::BINSTRING => self.bytes(i32::from_le_bytes)?,
            op::BINBYTES => self.bytes(u32::from_le_bytes)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(u64::from_le_bytes)?,

            op::MARK => self.marks.push(self.stack.len()),
            op::POP => {
                self.pop()?;
            }
            op::POP_MARK => {
                let items = self.marked()?;
                self.stack.truncate(items);
            }
            op::EMPTY_TUPLE => self.push(Value::Tuple(0..0)),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let len = usize::from(code - op::TUPLE1) + 1;
                let items = self.stack.len().checked_sub(len).filter(|&items| items >= self.floor());
                let items = items.ok_or_else(|| self.refuse("a tuple of values that are not there"))?;
                self.tuple(items);
            }
            op::TUPLE => {
                let items = self.marked()?;
                self.tuple(items);
            }
            op::EMPTY_LIST => self.push(Value::List),
            op::APPEND => {
                self.pop()?;
                self.is_list()?;
            }
            op::APPENDS => {
                let items = self.marked()?;
                self.stack.truncate(items);
                self.is_list()?;
            }
            op::EMPTY_DICT => {
                let dict = self.heap.new_dict();
                self.push(dict);
            }
            op::SETITEM => {
                let items = self.stack.len().saturating_sub(2).max(self.floor());
                self.set_items(items)?;
            }
            op::SETITEMS => {
                let items = self.marked()?;
                self.set_items(items)?;
            }

            op::BINPUT => self.put(u8::from_le_bytes)?,
            op::LONG_BINPUT => self.put(u32::from_le_bytes)?,
            op::MEMOIZE => {
                let value = self.top()?.clone();
                // The memo has at most as many entries as there were instructions.
                self.memo.insert(self.memo.len() as u32, value);
            }
            op::BINGET => self.get(u8::from_le_bytes)?,
            op::LONG_BINGET => self.get(u32::from_le_bytes)?,

            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let file = self.file;
                match (numpy::name(file, &module), numpy::name(file, &name)) {
                    (Some(module), Some(name)) => self.global(module, name)?,
                    _ => return Err(self.refuse("a global whose name is no text")),
                }
            }
            op::REDUCE => self.reduce()?,
            op::BUILD => {
                let state = self.pop()?;
                let object = self.top()?.clone();
                numpy::build(self.file, &mut self.heap, &object, &state).map_err(|what| self.refuse(what))?;
            }

            _ => {
                let refused = |name: &str, way: &str| format!("the instruction {name}, which is refused{way}");
                return Err(match op::name(code) {
                    None => self.refuse(refused(&format!("{code:#04x}"), "")),
                    Some(name) if op::is_text(code) => {
                        self.refuse_foreign(refused(name, " (pickle the file again, by protocol 2)"), PROTOCOL_2)
                    }
                    Some(name) => self.refuse_foreign(refused(name, ""), PLAIN_ARRAYS),
                });
            }
        }
        Ok(())
    }

    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let range = self.take(N as u64)?;
        let bytes = self.file.get(range).and_then(|bytes| bytes.first_chunk().copied());
        bytes.ok_or_else(|| self.refuse("an end within an instruction"))
    }

    /// Where the next `len` bytes are.
    fn take(&mut self, len: u64) -> Result<Range<usize>> {
        let left = self.file.len() - self.at;
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= left) else {
            let what = if left == 0 { "an end before STOP".to_owned() } else { format!("{len} bytes of {left} left") };
            return Err(self.refuse(what));
        };
        self.at += len;
        Ok(self.at - len..self.at)
    }

    /// Where the bytes are whose number comes first.
    fn counted<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<Range<usize>> {
        let len = len(self.array()?).try_into().map_err(|_| self.refuse("a string of negative length"))?;
        self.take(len)
    }

    /// The text up to the next end of a line.
    fn line(&mut self) -> Result<&'a str> {
        let file = self.file;
        let rest = &file[self.at..];
        let end = rest.iter().take(MAX_NAME).position(|&byte| byte == b'\n');
        let line = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        let line = line.ok_or_else(|| self.refuse("a global without a name"))?;
        self.at += line.len() + 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// The height below which the stack belongs to an earlier MARK.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value> {
        let popped = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        popped.ok_or_else(|| self.refuse("a value that is not there"))
    }

    fn top(&self) -> Result<&Value> {
        self.stack.last().ok_or_else(|| self.refuse("a value that is not there"))
    }

    /// Takes the last MARK away; the height of the stack there.
    fn marked(&mut self) -> Result<usize> {
        self.marks.pop().ok_or_else(|| self.refuse("the items after a MARK that is not there"))
    }

    fn number<const N: usize, L: Into<i64>>(&mut self, value: fn([u8; N]) -> L) -> Result<()> {
        let value = value(self.array()?).into();
        self.push(Value::Int(value));
        Ok(())
    }

    /// A whole number of up to eight bytes, little-endian in two's complement.
    fn long(&mut self) -> Result<()> {
        let range = self.counted(u8::from_le_bytes)?;
        let bytes = &self.file[range];
        if bytes.len() > 8 {
            return Err(self.refuse(format!("a whole number of {} bytes", bytes.len())));
        }
        let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.counted(len)?;
        self.push(Value::Text(range));
        Ok(())
    }

    fn bytes<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.counted(len)?;
        let len = range.len();
        self.push(Value::Bytes(Payload { range, latin1: false }, len));
        Ok(())
    }

    /// Makes a tuple of everything from the height `items` on.
    fn tuple(&mut self, items: usize) {
        let start = self.heap.items.len();
        self.heap.items.extend(self.stack.drain(items..));
        let end = self.heap.items.len();
        self.push(Value::Tuple(start..end));
    }

    fn is_list(&self) -> Result<()> {
        match self.top()? {
            Value::List => Ok(()),
            other => Err(self.refuse(format!("items for {}, which is no list", other.kind()))),
        }
    }

    /// Puts the keys and values from the height `items` on into the dictionary below them.
    fn set_items(&mut self, items: usize) -> Result<()> {
        let dict = match items.checked_sub(1).and_then(|below| self.stack.get(below)) {
            Some(Value::Dict(dict)) if items > self.floor() => *dict,
            _ => return Err(self.refuse("items for what is no dictionary")),
        };
        if !(self.stack.len() - items).is_multiple_of(2) {
            return Err(self.refuse("a key without a value"));
        }
        let mut drained = self.stack.drain(items..);
        while let (Some(key), Some(value)) = (drained.next(), drained.next()) {
            self.heap.entries.push((dict, key, value));
        }
        Ok(())
    }

    fn put<const N: usize, L: Into<u32>>(&mut self, index: fn([u8; N]) -> L) -> Result<()> {
        let index = index(self.array()?).into();
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn get<const N: usize, L: Into<u32>>(&mut self, index: fn([u8; N]) -> L) -> Result<()> {
        let index = index(self.array()?).into();
        let value = self.memo.get(&index).cloned();
        let value = value.ok_or_else(|| self.refuse(format!("the remembered value {index}, which is not there")))?;
        self.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let Some(global) = Global::by_name(module, name) else {
            let name: String = format!("{module}.{name}").chars().take(80).collect();
            return Err(self.refuse_foreign(format!("the global {name:?}, which is refused"), PLAIN_ARRAYS));
        };
        self.push(Value::Global(global));
        Ok(())
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Global(function), Value::Tuple(range)) = (&function, arguments) else {
            return Err(self.refuse(format!("a call of {}", function.kind())));
        };
        // No call that is known takes more than a few.
        let arguments: Vec<Value> = self.heap.items.get(range).unwrap_or_default().iter().take(8).cloned().collect();
        let value = numpy::call(self.file, &mut self.heap, &mut self.to_scan, *function, &arguments);
        let value = value.map_err(|what| self.refuse(what))?;
        self.push(value);
        Ok(())
    }
}
