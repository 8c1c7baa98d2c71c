//! The stack machine that a pickle is a program for, restricted to what weight files are made of.

use super::input::{Input, Refusal, Result};
use super::numpy;
use super::opcodes as op;
use super::tensors::{self, MAX_ARGUMENTS, NoStorage};
use super::value::{Dialect, Global, Heap, Value};
use crate::weights::raw::{Encoding, Payload};
use std::collections::BTreeMap;

/// Most instructions that a file may have. The checkpoint of an R-152 with batch norms and momentum has about a quarter
/// of that. Every instruction makes at most one value, so this also bounds the memory that a hostile file can take.
const MAX_INSTRUCTIONS: usize = 1 << 18;

/// How much of the name of a class is kept for messages.
const KEPT: usize = 80;

/// What helps against classes and functions in a file.
pub const PLAIN_ARRAYS: &str = "the file holds other objects than numpy arrays by name: load it in Python where it came from, and write the arrays \
     alone, as pickle.dump({name: numpy.asarray(blob), …}, file, protocol=2) or safetensors.numpy.save_file";

/// What helps against whole models and other objects of PyTorch's.
pub const STATE_DICT: &str = "the file holds other things than tensors by name: load it in Python where it came from, and save the tensors alone, as \
     torch.save(model.state_dict(), 'weights.pth')";

/// What a program leaves.
pub struct Outcome {
    pub root: Value,
    pub heap: Heap,
    /// The byte behind it.
    pub end: usize,
}

/// The machine while it runs.
pub struct Machine<'a> {
    input: Input<'a>,
    dialect: Dialect,
    stack: Vec<Value>,
    /// The heights of the stack at which MARK was seen.
    marks: Vec<usize>,
    // A tree, as a table takes three times its entries while it grows.
    memo: BTreeMap<u32, Value>,
    /// See [`numpy::call`].
    to_scan: usize,
    heap: Heap,
}

impl<'a> Machine<'a> {
    /// Carries out the program that begins at the byte `at` of `file`.
    pub fn run(file: &'a [u8], at: usize, dialect: Dialect) -> Result<Outcome> {
        let mut machine = Self {
            input: Input::new(file, at),
            dialect,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            to_scan: 2 * file.len(),
            heap: Heap::default(),
        };
        for _ in 0..MAX_INSTRUCTIONS {
            let code = machine.input.instruction()?;
            if code == op::STOP {
                let root = machine.pop()?;
                return Ok(Outcome { root, heap: machine.heap, end: machine.input.at });
            }
            machine.step(code)?;
        }
        Err(machine.refuse(format!("more than {MAX_INSTRUCTIONS} instructions")))
    }

    fn refuse(&self, what: impl Into<String>) -> Refusal {
        self.input.refuse(what)
    }

    /// A refusal of what is whole, but no weight file.
    fn refuse_foreign(&self, what: impl Into<String>) -> Refusal {
        let hint = match self.dialect {
            Dialect::Arrays => PLAIN_ARRAYS,
            Dialect::Torch => STATE_DICT,
        };
        Refusal { hint: Some(hint), ..self.refuse(what) }
    }

    fn is_torch(&self) -> bool {
        self.dialect == Dialect::Torch
    }

    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            op::PROTO => {
                let [version] = self.input.array()?;
                if version > 5 {
                    return Err(self.refuse(format!("protocol {version}, and 5 is the latest known")));
                }
            }
            op::FRAME => drop(self.input.array::<8>()?),

            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => self.number(i32::from_le_bytes)?,
            op::BININT1 => self.number(u8::from_le_bytes)?,
            op::BININT2 => self.number(u16::from_le_bytes)?,
            op::LONG1 => self.long(u8::from_le_bytes)?,
            op::LONG4 if self.is_torch() => self.long(i32::from_le_bytes)?,
            op::INT => self.int()?,
            op::LONG => {
                let digits = self.input.word("a whole number of no digits")?;
                let value = digits.strip_suffix('L').unwrap_or(digits).parse();
                self.push(value.map_or(Value::Number, Value::Int));
            }
            op::FLOAT => {
                self.input.word("a number of no digits")?;
                self.push(Value::Number);
            }
            op::BINFLOAT => {
                self.input.array::<8>()?;
                self.push(Value::Number);
            }

            op::SHORT_BINUNICODE => self.text(u8::from_le_bytes)?,
            op::BINUNICODE => self.text(u32::from_le_bytes)?,
            op::BINUNICODE8 => self.text(u64::from_le_bytes)?,
            op::UNICODE => self.raw_unicode()?,
            op::STRING => self.literal()?,
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
            op::EMPTY_LIST => {
                let list = self.heap.new_list(Vec::new());
                self.push(list);
            }
            op::LIST => {
                let items = self.marked()?;
                let list = self.stack.drain(items..).collect();
                let list = self.heap.new_list(list);
                self.push(list);
            }
            op::APPEND => {
                let items = self.stack.len().saturating_sub(1).max(self.floor());
                self.append(items)?;
            }
            op::APPENDS => {
                let items = self.marked()?;
                self.append(items)?;
            }
            op::EMPTY_DICT => {
                let dict = self.heap.new_dict();
                self.push(dict);
            }
            op::DICT => {
                let items = self.marked()?;
                let dict = self.heap.new_dict();
                self.stack.insert(items, dict);
                self.set_items(items + 1)?;
            }
            op::SETITEM => {
                let items = self.stack.len().saturating_sub(2).max(self.floor());
                self.set_items(items)?;
            }
            op::SETITEMS => {
                let items = self.marked()?;
                self.set_items(items)?;
            }
            op::EMPTY_SET if self.is_torch() => self.push(Value::Set),
            op::ADDITEMS if self.is_torch() => {
                let items = self.marked()?;
                self.stack.truncate(items);
                if !matches!(self.top()?, Value::Set | Value::Opaque(_)) {
                    return Err(self.refuse("items for what is no set"));
                }
            }
            op::FROZENSET if self.is_torch() => {
                let items = self.marked()?;
                self.stack.truncate(items);
                self.push(Value::Set);
            }

            op::PUT => {
                let index = self.index()?;
                self.put(index)?;
            }
            op::BINPUT => {
                let [index] = self.input.array()?;
                self.put(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.put(index)?;
            }
            // The memo has at most as many entries as there were instructions.
            op::MEMOIZE => self.put(self.memo.len() as u32)?,
            op::GET => {
                let index = self.index()?;
                self.get(index)?;
            }
            op::BINGET => {
                let [index] = self.input.array()?;
                self.get(index.into())?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.get(index)?;
            }

            op::GLOBAL => {
                let module = self.input.word("a global without a name")?;
                let name = self.input.word("a global without a name")?;
                self.global(module, name)?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let file = self.input.file;
                match (numpy::name(file, &module), numpy::name(file, &name)) {
                    (Some(module), Some(name)) => self.global(module, name)?,
                    _ => return Err(self.refuse("a global whose name is no text")),
                }
            }
            op::REDUCE => self.reduce()?,
            op::NEWOBJ if self.is_torch() => {
                let (_, class) = (self.pop()?, self.pop()?);
                self.push_opaque(&class)?;
            }
            op::NEWOBJ_EX if self.is_torch() => {
                let (_, _, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.push_opaque(&class)?;
            }
            op::BUILD => self.build()?,
            op::BINPERSID if self.is_torch() => {
                let id = self.pop()?;
                let storage = tensors::persistent(self.input.file, &mut self.heap, &id).map_err(|what| match what {
                    NoStorage::Module => self.refuse_foreign("a whole model, as torch.save(model) writes it"),
                    NoStorage::Other(what) => self.refuse(what),
                })?;
                self.push(storage);
            }

            _ => {
                return Err(match op::name(code) {
                    None => self.refuse(format!("the instruction {code:#04x}, which is refused")),
                    Some(name) => self.refuse_foreign(format!("the instruction {name}, which is refused")),
                });
            }
        }
        Ok(())
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
        let value = value(self.input.array()?).into();
        self.push(Value::Int(value));
        Ok(())
    }

    /// A whole number, little-endian in two's complement. Only one of up to eight bytes is of use.
    fn long<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.input.counted(len)?;
        let bytes = &self.input.file[range];
        if bytes.len() > 8 {
            if self.dialect == Dialect::Arrays {
                return Err(self.refuse(format!("a whole number of {} bytes", bytes.len())));
            }
            self.push(Value::Number);
            return Ok(());
        }
        let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    /// A whole number in digits; those of two are truth values.
    fn int(&mut self) -> Result<()> {
        let value = match self.input.word("a whole number of no digits")? {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            digits => Value::Int(digits.parse().map_err(|_| self.refuse("a whole number of no digits"))?),
        };
        self.push(value);
        Ok(())
    }

    /// The index of a remembered value in digits.
    fn index(&mut self) -> Result<u32> {
        let digits = self.input.word("an index of no digits")?;
        digits.parse().map_err(|_| self.refuse("an index of no digits"))
    }

    fn text<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.input.counted(len)?;
        self.push(Value::Text(range));
        Ok(())
    }

    /// Text to the end of the line.
    fn raw_unicode(&mut self) -> Result<()> {
        let range = self.input.line()?;
        let plain = self.input.file[range.clone()].iter().all(|&byte| byte.is_ascii() && byte != b'\\');
        self.push(if plain { Value::Text(range) } else { Value::Escaped(range) });
        Ok(())
    }

    /// A string in quotes to the end of the line.
    fn literal(&mut self) -> Result<()> {
        let range = self.input.line()?;
        let line = &self.input.file[range.clone()];
        let inner = match line {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
            _ => return Err(self.refuse("a string without quotes")),
        };
        let encoding = if inner.contains(&b'\\') { Encoding::Literal } else { Encoding::Plain };
        let len = encoding.len(inner).ok_or_else(|| self.refuse("a string with an unknown escape"))?;
        self.push(Value::Bytes(Payload { range: range.start + 1..range.end - 1, encoding }, len));
        Ok(())
    }

    fn bytes<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.input.counted(len)?;
        let len = range.len();
        self.push(Value::Bytes(Payload::plain(range), len));
        Ok(())
    }

    /// Makes a tuple of everything from the height `items` on.
    fn tuple(&mut self, items: usize) {
        let start = self.heap.items.len();
        self.heap.items.extend(self.stack.drain(items..));
        let end = self.heap.items.len();
        self.push(Value::Tuple(start..end));
    }

    /// The value that the items from the height `items` on are for.
    fn below(&self, items: usize) -> Option<&Value> {
        let below = items.checked_sub(1).filter(|&below| below >= self.floor())?;
        self.stack.get(below).filter(|_| items <= self.stack.len())
    }

    /// Puts the values from the height `items` on into the list below them.
    fn append(&mut self, items: usize) -> Result<()> {
        match self.below(items) {
            Some(Value::List(list)) => {
                let list = *list;
                let drained = self.stack.drain(items..);
                if let Some(list) = self.heap.lists.get_mut(list) {
                    list.extend(drained);
                }
                Ok(())
            }
            Some(Value::Opaque(_)) => {
                self.stack.truncate(items);
                Ok(())
            }
            Some(other) => Err(self.refuse(format!("items for {}, which is no list", other.kind()))),
            None => Err(self.refuse("items for a list that is not there")),
        }
    }

    /// Puts the keys and values from the height `items` on into the dictionary below them.
    fn set_items(&mut self, items: usize) -> Result<()> {
        let dict = match self.below(items) {
            Some(Value::Dict(dict)) => Some(*dict),
            Some(Value::Opaque(_)) => None,
            _ => return Err(self.refuse("items for what is no dictionary")),
        };
        if !(self.stack.len() - items).is_multiple_of(2) {
            return Err(self.refuse("a key without a value"));
        }
        let mut drained = self.stack.drain(items..);
        while let (Some(dict), Some(key), Some(value)) = (dict, drained.next(), drained.next()) {
            self.heap.entries.push((dict, key, value));
        }
        Ok(())
    }

    fn put(&mut self, index: u32) -> Result<()> {
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<()> {
        let value = self.memo.get(&index).cloned();
        let value = value.ok_or_else(|| self.refuse(format!("the remembered value {index}, which is not there")))?;
        self.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let known = Global::by_name(self.dialect, module, name);
        let global = match known {
            Some(global) => global,
            None => {
                let name: String = format!("{module}.{name}").chars().take(KEPT).collect();
                if self.dialect == Dialect::Arrays {
                    return Err(self.refuse_foreign(format!("the global {name:?}, which is refused")));
                }
                self.heap.classes.push(name);
                Global::Unknown(self.heap.classes.len() - 1)
            }
        };
        self.push(Value::Global(global));
        Ok(())
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (function, range) = match (&function, arguments) {
            (Value::Global(Global::Unknown(_)) | Value::Opaque(_), _) => return self.push_opaque(&function),
            (Value::Global(function), Value::Tuple(range)) => (*function, range),
            _ => return Err(self.refuse(format!("a call of {}", function.kind()))),
        };
        let arguments = self.heap.items.get(range).unwrap_or_default().iter().take(MAX_ARGUMENTS);
        let arguments: Vec<Value> = arguments.cloned().collect();
        let value = match tensors::call(&mut self.heap, function, &arguments).map_err(|what| self.refuse(what))? {
            Some(value) => value,
            None => {
                let value = numpy::call(self.input.file, &mut self.heap, &mut self.to_scan, function, &arguments);
                match value {
                    // What of numpy's is no plain array or number is one more object.
                    Err(_) if self.is_torch() => Value::Opaque(None),
                    value => value.map_err(|what| self.refuse(what))?,
                }
            }
        };
        self.push(value);
        Ok(())
    }

    /// Pushes an object of `class`, of which nothing is known.
    fn push_opaque(&mut self, class: &Value) -> Result<()> {
        let class = match class {
            Value::Global(Global::Unknown(class)) => Some(*class),
            Value::Opaque(class) => *class,
            Value::Global(_) => None,
            other => return Err(self.refuse(format!("an object of {}", other.kind()))),
        };
        self.push(Value::Opaque(class));
        Ok(())
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?.clone();
        match numpy::build(self.input.file, &mut self.heap, &object, &state) {
            // Of an object whatever it knows of itself is passed over, as are the attributes of a tensor.
            Err(_) if self.is_torch() => Ok(()),
            built => built.map_err(|what| self.refuse(what)),
        }
    }
}
