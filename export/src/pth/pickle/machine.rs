//! Opcodes.

use super::{Value, leaf, name, reduce, storage, tuple};
use std::collections::HashMap;
use std::rc::Rc;

/// Pickle's stack machine on `bytes`.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// Bytes taken.
    pub(super) at: usize,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, stack: Vec::new(), memo: HashMap::new() }
    }

    /// Does what `opcode` says.
    pub(super) fn step(&mut self, opcode: u8) -> Result<(), String> {
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

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
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

    pub(super) fn pop(&mut self) -> Result<Value, String> {
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
