//! The part of the pickle format that state dicts use, as data: an opcode or a name outside of it is refused.
//!
//! Source: CPython's `pickletools` (protocol 2) and PyTorch's `torch/serialization.py`.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use tch::Kind;

/// Where a tensor's values are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageRef {
    pub(super) key: String,
    pub(super) kind: Kind,
    /// Number of values.
    pub(super) count: u64,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: Rc<StorageRef>,
    pub(super) offset: i64,
    pub(super) size: Vec<i64>,
    pub(super) stride: Vec<i64>,
}

impl TensorRef {
    /// Index of the last value that it reaches, −1 for none; `None` where sizes and strides do not make sense.
    pub(super) fn last(&self) -> Option<i64> {
        let sound = self.size.len() == self.stride.len() && self.offset >= 0;
        if !sound || self.size.iter().chain(&self.stride).any(|n| *n < 0) {
            return None;
        }
        if self.size.contains(&0) {
            return Some(-1);
        }
        let mut steps = self.size.iter().zip(&self.stride);
        steps.try_fold(self.offset, |last, (size, stride)| last.checked_add((size - 1).checked_mul(*stride)?))
    }
}

/// The tensors of the state dict that `bytes` begin with, and the bytes that it takes.
pub(super) fn state_dict(bytes: &[u8]) -> Result<(Vec<(String, TensorRef)>, usize), String> {
    let (value, used) = load(bytes)?;
    let Value::Dict(entries) = value else { return Err("it holds no dictionary".into()) };
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for (name, value) in entries.borrow().iter() {
        match (name, value) {
            (Value::Text(name), Value::Tensor(_)) if !names.insert(name.clone()) => {
                return Err(format!("it has two tensors named {name}"));
            }
            (Value::Text(name), Value::Tensor(tensor)) => tensors.push((name.to_string(), (**tensor).clone())),
            (Value::Text(name), _) => return Err(format!("{name} is not a tensor, so it is not a plain state dict")),
            _ => return Err("a key of its dictionary is not a name".into()),
        }
    }
    Ok((tensors, used))
}

/// The whole number that `bytes` begin with.
pub(super) fn number(bytes: &[u8]) -> Result<(i128, usize), String> {
    match load(bytes)? {
        (Value::Int(n), used) => Ok((n, used)),
        _ => Err("expected a number".into()),
    }
}

/// The list of names that `bytes` begin with.
pub(super) fn strings(bytes: &[u8]) -> Result<(Vec<String>, usize), String> {
    let (value, used) = load(bytes)?;
    let Value::List(items) = value else { return Err("expected a list of storage keys".into()) };
    let text = |item: &Value| match item {
        Value::Text(text) => Ok(text.to_string()),
        _ => Err("a storage key is not a name"),
    };
    let texts = items.borrow().iter().map(text).collect::<Result<_, _>>()?;
    Ok((texts, used))
}

/// The bytes of the pickle that `bytes` begin with.
pub(super) fn skip(bytes: &[u8]) -> Result<usize, String> {
    load(bytes).map(|(_, used)| used)
}

#[derive(Clone, Debug)]
enum Value {
    None,
    Bool,
    Int(i128),
    Float,
    Text(Rc<str>),
    /// Items, and how deep tuples are nested in it.
    Tuple(Rc<[Value]>, u8),
    List(Rc<RefCell<Vec<Value>>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    Name(Name),
    Storage(Rc<StorageRef>),
    Tensor(Rc<TensorRef>),
    Mark,
}

/// The names that a state dict may use.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

fn name(module: &str, name: &str) -> Result<Name, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Name::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Name::RebuildParameter,
        ("torch", "FloatStorage") => Name::Storage(Kind::Float),
        ("torch", "DoubleStorage") => Name::Storage(Kind::Double),
        ("torch", "HalfStorage") => Name::Storage(Kind::Half),
        ("torch", "BFloat16Storage") => Name::Storage(Kind::BFloat16),
        ("torch", "LongStorage") => Name::Storage(Kind::Int64),
        ("torch", "IntStorage") => Name::Storage(Kind::Int),
        ("torch", "ByteStorage") => Name::Storage(Kind::Uint8),
        ("torch", "BoolStorage") => Name::Storage(Kind::Bool),
        _ => {
            return Err(format!(
                "it names `{module}.{name}`, which no state dict of weights needs; nothing was executed"
            ));
        }
    })
}

/// What the first pickle in `bytes` holds, and its length.
fn load(bytes: &[u8]) -> Result<(Value, usize), String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: HashMap::new() };
    loop {
        let at = machine.at;
        let opcode = machine.take(1)?[0];
        if opcode == b'.' {
            return Ok((machine.pop()?, machine.at));
        }
        machine.step(opcode).map_err(|reason| format!("byte {at} of a pickle: {reason}"))?;
    }
}

/// Deeper tuples than a state dict has would only serve to exhaust the stack.
const MAX_DEPTH: u8 = 8;

/// Longer keys and more axes than PyTorch writes would only serve to exhaust memory, many tensors sharing them.
const MAX_KEY: usize = 256;
const MAX_AXES: usize = 64;

fn tuple(items: Vec<Value>) -> Result<Value, String> {
    let depth = items.iter().map(|item| if let Value::Tuple(_, depth) = item { *depth } else { 0 }).max();
    match depth.unwrap_or(0) + 1 {
        MAX_DEPTH.. => Err("tuples nested too deeply".into()),
        depth => Ok(Value::Tuple(items.into_iter().map(leaf).collect(), depth)),
    }
}

/// A value as part of another: lists and dictionaries inside of others are not needed, and left out so that none can
/// hold itself.
fn leaf(value: Value) -> Value {
    if let Value::List(_) | Value::Dict(_) = value { Value::None } else { value }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.take(1)?),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let four = self.take(4)?.try_into().unwrap_or_default();
                self.stack.push(Value::Int(i32::from_le_bytes(four).into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Float);
            }
            b'X' | b'T' => {
                let length = self.u32()?;
                self.text(length as usize)?;
            }
            b'U' => {
                let length = self.take(1)?[0];
                self.text(length.into())?;
            }
            b'(' => self.stack.push(Value::Mark),
            b')' => self.stack.push(tuple(vec![])?),
            b't' => {
                let items = self.since_mark()?;
                self.stack.push(tuple(items)?);
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or("the stack is empty")?;
                let items = self.stack.split_off(from);
                self.stack.push(tuple(items)?);
            }
            b']' => self.stack.push(Value::List(Rc::default())),
            b'}' => self.stack.push(Value::Dict(Rc::default())),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)?;
            }
            b'q' => {
                let slot = self.take(1)?[0];
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = self.u32()?;
                self.remember(slot)?;
            }
            b'h' => {
                let slot = self.take(1)?[0];
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = self.u32()?;
                self.recall(slot)?;
            }
            b'c' => {
                let (module, named) = (self.line()?, self.line()?);
                self.stack.push(Value::Name(name(module, named)?));
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(Value::Storage(Rc::new(storage(id)?)));
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.stack.push(reduce(callee, arguments)?);
            }
            // What a dictionary has beside its entries (`_metadata`) is not needed.
            b'b' => {
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Dict(_))) {
                    return Err("a state is given to what is no dictionary".into());
                }
            }
            other => return Err(format!("opcode {other:#04x}, which no state dict of weights needs")),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).ok_or("a length that cannot be")?;
        let taken = self.bytes.get(self.at..end).ok_or("it ends in the middle")?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn integer(&mut self, bytes: usize) -> Result<(), String> {
        let number = self.take(bytes)?.iter().rev().fold(0, |sum, byte| sum << 8 | i128::from(*byte));
        self.stack.push(Value::Int(number));
        Ok(())
    }

    /// A little-endian two's complement of up to 15 bytes.
    fn long(&mut self) -> Result<(), String> {
        let count = self.take(1)?[0];
        if count > 15 {
            return Err(format!("a number of {count} bytes"));
        }
        let bytes = self.take(count.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let number =
            bytes.iter().rev().fold(if negative { -1 } else { 0 }, |sum: i128, byte| sum << 8 | i128::from(*byte));
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "text that is not UTF-8")?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a name without an end")?;
        let line = std::str::from_utf8(self.take(end)?).map_err(|_| "a name that is not UTF-8")?;
        self.take(1)?;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or("there is no mark")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::List(list)) = self.stack.last() else { return Err("items for what is no list".into()) };
        list.borrow_mut().extend(items.into_iter().map(leaf));
        Ok(())
    }

    fn set(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last() else { return Err("entries for what is no dictionary".into()) };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.borrow_mut().push((leaf(key), leaf(value)));
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        let value = self.stack.last().cloned().ok_or("the stack is empty")?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let value = self.memo.get(&slot).cloned().ok_or_else(|| format!("nothing is remembered under {slot}"))?;
        self.stack.push(value);
        Ok(())
    }
}

/// `('storage', kind, key, device, count)`; the older form adds a view, which weights do not have.
fn storage(id: Value) -> Result<StorageRef, String> {
    let Value::Tuple(parts, _) = id else { return Err("a reference that is no storage".into()) };
    match &*parts {
        [
            Value::Text(tag),
            Value::Name(Name::Storage(kind)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(count),
            rest @ ..,
        ] if &**tag == "storage" && matches!(rest, [] | [Value::None]) => {
            let count = u64::try_from(*count).map_err(|_| format!("a storage of {count} values"))?;
            if key.len() > MAX_KEY {
                return Err(format!("a storage key of {} bytes", key.len()));
            }
            Ok(StorageRef { key: key.to_string(), kind: *kind, count })
        }
        _ => Err("a reference that is no storage of numbers".into()),
    }
}

fn reduce(callee: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Name(callee), Value::Tuple(arguments, _)) = (callee, arguments) else {
        return Err("a call of what has no name".into());
    };
    match (callee, &*arguments) {
        (Name::OrderedDict, []) => Ok(Value::Dict(Rc::default())),
        (
            Name::RebuildTensor,
            [Value::Storage(storage), Value::Int(offset), Value::Tuple(size, _), Value::Tuple(stride, _), ..],
        ) => {
            let offset = i64::try_from(*offset).map_err(|_| "an offset that cannot be")?;
            Ok(Value::Tensor(Rc::new(TensorRef {
                storage: storage.clone(),
                offset,
                size: numbers(size)?,
                stride: numbers(stride)?,
            })))
        }
        (Name::RebuildParameter, [Value::Tensor(tensor), ..]) => Ok(Value::Tensor(tensor.clone())),
        (callee, _) => Err(format!("a call of {callee:?} that no state dict of weights makes")),
    }
}

fn numbers(values: &[Value]) -> Result<Vec<i64>, String> {
    if values.len() > MAX_AXES {
        return Err(format!("a tensor of {} axes", values.len()));
    }
    let number = |value: &Value| match value {
        Value::Int(n) => i64::try_from(*n).map_err(|_| format!("a size of {n}")),
        _ => Err("a size that is no number".into()),
    };
    values.iter().map(number).collect()
}
