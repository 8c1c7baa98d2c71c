//! The stack machine that executes pickles, restricted to what weight files need.

use super::input::{Input, Refusal, Result};
use super::numpy;
use super::opcodes as op;
use super::tensors::{self, MAX_ARGUMENTS, PersistentIdError};
use super::value::{Dialect, Global, Heap, Value};
use crate::weights::raw::{Encoding, Payload};
use std::collections::BTreeMap;

/// The maximum number of instructions in a file. The checkpoint of an R-152 with batch norms and momentum has about a
/// quarter of this number. Every instruction makes at most one value, so this also bounds the memory that a hostile
/// file can use.
const MAX_INSTRUCTIONS: usize = 1 << 18;

/// How many characters of a class name are kept for messages.
const MAX_CLASS_NAME: usize = 80;

/// The hint for files with classes and functions.
pub const PLAIN_ARRAYS: &str = "the file holds other objects than numpy arrays by name: load it in Python where it was \
     made and write only the arrays, with pickle.dump({name: numpy.asarray(blob), …}, file, protocol=2) or \
     safetensors.numpy.save_file";

/// The hint for files with whole models and other PyTorch objects.
pub const STATE_DICT: &str = "the file holds other objects than tensors by name: load it in Python where it was made \
     and save only the tensors, with torch.save(model.state_dict(), 'weights.pth')";

/// The result of a program.
pub struct Outcome {
    pub root: Value,
    pub heap: Heap,
    /// The byte after the program.
    pub end: usize,
}

/// The state of the running machine.
pub struct Machine<'a> {
    input: Input<'a>,
    dialect: Dialect,
    stack: Vec<Value>,
    /// The height of the stack at each MARK.
    marks: Vec<usize>,
    // A tree, because a growing hash table temporarily needs three times the memory of its entries.
    memo: BTreeMap<u32, Value>,
    /// See [`numpy::call`].
    scan_budget: usize,
    heap: Heap,
}

impl<'a> Machine<'a> {
    /// Executes the program that begins at byte `at` of `file`.
    pub fn run(file: &'a [u8], at: usize, dialect: Dialect) -> Result<Outcome> {
        let mut machine = Self {
            input: Input::new(file, at),
            dialect,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            scan_budget: 2 * file.len(),
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

    /// The refusal of an intact file that is not a weight file.
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
                    return Err(self.refuse(format!("protocol {version}, while 5 is the latest supported")));
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
                let digits = self.input.word("an invalid integer")?;
                let value = digits.strip_suffix('L').unwrap_or(digits).parse();
                self.push(value.map_or(Value::Number, Value::Int));
            }
            op::FLOAT => {
                self.input.word("an invalid number")?;
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
                let items = items.ok_or_else(|| self.refuse("a tuple with too few values on the stack"))?;
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
                    return Err(self.refuse("items added to a value that is not a set"));
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
            // The memo cannot have more entries than there were instructions.
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
                    _ => return Err(self.refuse("a global whose name is not text")),
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
                    PersistentIdError::Module => self.refuse_foreign("a whole model, as torch.save(model) writes it"),
                    PersistentIdError::Other(what) => self.refuse(what),
                })?;
                self.push(storage);
            }

            _ => {
                return Err(match op::name(code) {
                    None => self.refuse(format!("the unknown instruction {code:#04x}")),
                    Some(name) => self.refuse_foreign(format!("the disallowed instruction {name}")),
                });
            }
        }
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// The height of the stack at the last MARK. Values below it cannot be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value> {
        let popped = if self.stack.len() > self.floor() { self.stack.pop() } else { None };
        popped.ok_or_else(|| self.refuse("an instruction that needs a value on an empty stack"))
    }

    fn top(&self) -> Result<&Value> {
        self.stack.last().ok_or_else(|| self.refuse("an instruction that needs a value on an empty stack"))
    }

    /// Removes the last MARK and returns its height on the stack.
    fn marked(&mut self) -> Result<usize> {
        self.marks.pop().ok_or_else(|| self.refuse("an instruction that needs a MARK on the stack"))
    }

    fn number<const N: usize, L: Into<i64>>(&mut self, value: fn([u8; N]) -> L) -> Result<()> {
        let value = value(self.input.array()?).into();
        self.push(Value::Int(value));
        Ok(())
    }

    /// Reads an integer, little-endian in two's complement. The value of an integer of more than eight bytes is not
    /// kept; in an array such an integer is refused.
    fn long<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.input.counted(len)?;
        let bytes = &self.input.file[range];
        if bytes.len() > 8 {
            if self.dialect == Dialect::Arrays {
                return Err(self.refuse(format!("an integer of {} bytes", bytes.len())));
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

    /// Reads a decimal integer; `00` and `01` are booleans.
    fn int(&mut self) -> Result<()> {
        let value = match self.input.word("an invalid integer")? {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            digits => Value::Int(digits.parse().map_err(|_| self.refuse("an invalid integer"))?),
        };
        self.push(value);
        Ok(())
    }

    /// Reads a decimal memo index.
    fn index(&mut self) -> Result<u32> {
        let digits = self.input.word("an invalid memo index")?;
        digits.parse().map_err(|_| self.refuse("an invalid memo index"))
    }

    fn text<const N: usize, L: TryInto<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<()> {
        let range = self.input.counted(len)?;
        self.push(Value::Text(range));
        Ok(())
    }

    /// Reads text up to the end of the line.
    fn raw_unicode(&mut self) -> Result<()> {
        let range = self.input.line()?;
        let plain = self.input.file[range.clone()].iter().all(|&byte| byte.is_ascii() && byte != b'\\');
        self.push(if plain { Value::Text(range) } else { Value::Escaped(range) });
        Ok(())
    }

    /// Reads a quoted string up to the end of the line.
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

    /// Makes a tuple of the values from height `items` on.
    fn tuple(&mut self, items: usize) {
        let start = self.heap.items.len();
        self.heap.items.extend(self.stack.drain(items..));
        let end = self.heap.items.len();
        self.push(Value::Tuple(start..end));
    }

    /// The container of the items from height `items` on: the value below them.
    fn below(&self, items: usize) -> Option<&Value> {
        let below = items.checked_sub(1).filter(|&below| below >= self.floor())?;
        self.stack.get(below).filter(|_| items <= self.stack.len())
    }

    /// Appends the values from height `items` on to the list below them.
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
            Some(other) => Err(self.refuse(format!("items appended to {}", other.kind()))),
            None => Err(self.refuse("items without a list on the stack")),
        }
    }

    /// Adds the keys and values from height `items` on to the dictionary below them.
    fn set_items(&mut self, items: usize) -> Result<()> {
        let dict = match self.below(items) {
            Some(Value::Dict(dict)) => Some(*dict),
            Some(Value::Opaque(_)) => None,
            _ => return Err(self.refuse("items added to a value that is not a dictionary")),
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
        let value = value.ok_or_else(|| self.refuse(format!("the empty memo index {index}")))?;
        self.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let known = Global::by_name(self.dialect, module, name);
        let global = match known {
            Some(global) => global,
            None => {
                let name: String = format!("{module}.{name}").chars().take(MAX_CLASS_NAME).collect();
                if self.dialect == Dialect::Arrays {
                    return Err(self.refuse_foreign(format!("the disallowed global {name:?}")));
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
                let value = numpy::call(self.input.file, &mut self.heap, &mut self.scan_budget, function, &arguments);
                match value {
                    // A numpy object other than a plain array or number is opaque too.
                    Err(_) if self.is_torch() => Value::Opaque(None),
                    value => value.map_err(|what| self.refuse(what))?,
                }
            }
        };
        self.push(value);
        Ok(())
    }

    /// Pushes an opaque object of `class`.
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
            // The state of an opaque object and the attributes of a tensor are ignored.
            Err(_) if self.is_torch() => Ok(()),
            built => built.map_err(|what| self.refuse(what)),
        }
    }
}
