//! Sorted runs of pixel records, merged again in order: an exact sort of more pixels than fit in memory.
//!
//! A record is the key of a score in descending order (upper half) and a tag that says what the pixel is (lower half).
//! Each image gives one run, delta-coded; once the runs in memory outgrow the budget they move to an unnamed temporary
//! file (in `TMPDIR`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Key of a finite score: ascending keys are descending scores; −0 and 0 are the same.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

pub(super) fn record(key: u32, tag: u32) -> u64 {
    u64::from(key) << 32 | u64::from(tag)
}

/// Equal records of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) key: u32,
    pub(super) tag: u32,
    pub(super) count: u64,
}

/// Sorts `records` and packs them into a run.
pub(super) fn pack(mut records: Vec<u64>) -> Vec<u8> {
    records.sort_unstable();
    let mut bytes = Vec::with_capacity(3 * records.len());
    let mut last = 0;
    for equal in records.chunk_by(|a, b| a == b) {
        let (key, tag) = ((equal[0] >> 32) as u32, equal[0] as u32);
        put(&mut bytes, u64::from(key - last));
        put(&mut bytes, u64::from(tag) << 1 | u64::from(equal.len() > 1));
        if equal.len() > 1 {
            put(&mut bytes, equal.len() as u64);
        }
        last = key;
    }
    bytes
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// All runs of an evaluation.
#[derive(Debug)]
pub(super) struct Runs {
    budget: usize,
    held: usize,
    memory: Vec<Vec<u8>>,
    disk: Vec<(u64, u64)>,
    file: Option<File>,
}

impl Runs {
    /// Keeps up to `budget` bytes in memory.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, held: 0, memory: vec![], disk: vec![], file: None }
    }

    /// Adds a run made by [`pack`].
    pub(super) fn push(&mut self, run: Vec<u8>) -> io::Result<()> {
        self.held += run.len();
        self.memory.push(run);
        if self.held > self.budget { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let mut offset = file.seek(SeekFrom::End(0))?;
        for run in self.memory.drain(..) {
            file.write_all(&run)?;
            self.disk.push((offset, run.len() as u64));
            offset += run.len() as u64;
        }
        self.held = 0;
        Ok(())
    }

    /// Hands out every group in the order of its records.
    pub(super) fn merge(self, mut each: impl FnMut(Group)) -> io::Result<()> {
        let mut file = self.file;
        let memory = self.memory.into_iter().map(|bytes| Cursor::new(bytes, 0, 0));
        let disk = self.disk.into_iter().map(|(offset, length)| Cursor::new(vec![], offset, length));
        let mut cursors: Vec<Cursor> = memory.chain(disk).collect();
        let mut heap = BinaryHeap::with_capacity(cursors.len());
        for (i, cursor) in cursors.iter_mut().enumerate() {
            if let Some(group) = cursor.next(&mut file)? {
                heap.push(Reverse((record(group.key, group.tag), i, group.count)));
            }
        }
        while let Some(mut top) = heap.peek_mut() {
            let Reverse((record, i, count)) = *top;
            each(Group { key: (record >> 32) as u32, tag: record as u32, count });
            match cursors[i].next(&mut file)? {
                Some(group) => *top = Reverse((self::record(group.key, group.tag), i, group.count)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        Ok(())
    }
}

/// Bytes read from a run on disk at a time.
const CHUNK: usize = 32 * 1024;
/// Most bytes of one packed group: three numbers of up to ten bytes.
const LONGEST: usize = 30;

/// A position in one run.
struct Cursor {
    bytes: Vec<u8>,
    position: usize,
    offset: u64,
    remaining: u64,
    key: u32,
}

impl Cursor {
    fn new(bytes: Vec<u8>, offset: u64, remaining: u64) -> Self {
        Self { bytes, position: 0, offset, remaining, key: 0 }
    }

    fn next(&mut self, file: &mut Option<File>) -> io::Result<Option<Group>> {
        if self.bytes.len() - self.position < LONGEST && self.remaining > 0 {
            self.refill(file)?;
        }
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        self.key += self.number() as u32;
        let tag = self.number();
        let count = if tag & 1 == 1 { self.number() } else { 1 };
        Ok(Some(Group { key: self.key, tag: (tag >> 1) as u32, count }))
    }

    fn refill(&mut self, file: &mut Option<File>) -> io::Result<()> {
        let Some(file) = file else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        self.bytes.drain(..self.position);
        self.position = 0;
        let kept = self.bytes.len();
        let chunk = self.remaining.min(CHUNK as u64);
        self.bytes.resize(kept + chunk as usize, 0);
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut self.bytes[kept..])?;
        self.offset += chunk;
        self.remaining -= chunk;
        Ok(())
    }

    fn number(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let Some(byte) = self.bytes.get(self.position) {
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_descend_with_the_score() {
        let scores = [f32::MAX, 2.5, 1.0, f32::MIN_POSITIVE, 1e-45, 0.0, -1e-45, -1.0, f32::MIN];
        assert!(scores.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert_eq!(key(0.0), key(-0.0));
    }

    #[test]
    fn runs_on_disk_and_in_memory_merge_into_the_sorted_whole() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let images: Vec<Vec<u64>> = (0..40)
            .map(|_| (0..20_000).map(|_| record(next() as u32 >> 13, u32::MAX - next() as u32 % 3)).collect())
            .collect();
        let mut expected: Vec<u64> = images.concat();
        expected.sort_unstable();
        for budget in [0, 300_000, usize::MAX] {
            let mut runs = Runs::new(budget);
            for image in &images {
                runs.push(pack(image.clone())).unwrap();
            }
            assert_eq!(runs.file.is_some(), budget != usize::MAX);
            let mut merged = vec![];
            runs.merge(|g| merged.extend(std::iter::repeat_n(record(g.key, g.tag), g.count as usize))).unwrap();
            assert!(merged == expected, "budget {budget}");
        }
    }
}
