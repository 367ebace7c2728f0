//! The part of the pickle format that state dicts use, as data: an opcode or a name outside of it is refused.
//!
//! Source: CPython's `pickletools` (protocol 2) and PyTorch's `torch/serialization.py`.

mod machine;

use machine::Machine;
use std::cell::RefCell;
use std::collections::HashSet;
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
    let mut machine = Machine::new(bytes);
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
