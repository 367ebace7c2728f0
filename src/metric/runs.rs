//! Sorted runs of pixel records: an exact sort of more pixels than fit in memory.
//!
//! A record is the key of a score in descending order (upper half) and a tag that says what the pixel is (lower half).
//! Each image gives one run, delta-coded; once the runs in memory outgrow the budget they move to an unnamed temporary
//! file (in `TMPDIR`). [`super::merge`] hands them out again in order.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

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

/// One image's records, packed.
#[derive(Debug)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// Keys of records that lie evenly in the run, from anywhere on.
    samples: Vec<u32>,
}

/// Sorts `records` and packs them into a run, with the key of one in `sample` of them.
pub(super) fn pack(mut records: Vec<u64>, sample: usize) -> Packed {
    records.sort_unstable();
    let mut bytes = Vec::with_capacity(3 * records.len());
    let mut last = 0;
    for equal in records.chunk_by(|a, b| a == b) {
        let (key, tag) = ((equal[0] >> 32) as u32, equal[0] as u32);
        put(&mut bytes, u64::from(key - last));
        put(&mut bytes, u64::from(folded(tag)) << 1 | u64::from(equal.len() > 1));
        if equal.len() > 1 {
            put(&mut bytes, equal.len() as u64);
        }
        last = key;
    }
    bytes.shrink_to_fit();
    let samples = records.iter().skip(phase(&records, sample)).step_by(sample).map(|record| (record >> 32) as u32);
    Packed { bytes, samples: samples.collect() }
}

/// Where a run's samples begin, 0 to `sample` − 1: a number that scatters from run to run. Samples at the same ranks of every
/// run would lie close together, where the runs are alike, and leave wide gaps between.
fn phase(records: &[u64], sample: usize) -> usize {
    let few = records.iter().step_by((records.len() / 64).max(1));
    let mixed = few.fold(0_u64, |mixed, record| (mixed ^ record >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    ((mixed >> 32) % sample as u64) as usize
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
    pub(super) memory: Vec<Vec<u8>>,
    /// Offset and length.
    pub(super) disk: Vec<(u64, u64)>,
    pub(super) samples: Vec<u32>,
    pub(super) file: Option<File>,
}

impl Runs {
    /// Keeps up to `budget` bytes in memory.
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, held: 0, memory: vec![], disk: vec![], samples: vec![], file: None }
    }

    /// Adds a run.
    pub(super) fn push(&mut self, run: Packed) -> io::Result<()> {
        self.held += run.bytes.len();
        self.memory.push(run.bytes);
        self.samples.extend(run.samples);
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
}

/// A place in a run from which its groups can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mark {
    /// Bytes from the run's beginning.
    at: u64,
    /// Key of the group before.
    key: u32,
}

/// Where a run lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Memory(&'a [u8]),
    Disk { file: &'a File, offset: u64, length: u64 },
}

/// Most bytes of one packed group: three numbers of up to ten bytes.
const LONGEST: usize = 30;

/// Reads a run's groups in order.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    place: Place<'a>,
    chunk: usize,
    /// Bytes read ahead of a run on disk, and how many of them are used up.
    buffer: Vec<u8>,
    used: usize,
    /// Bytes of the run before the buffer; of a run in memory, all that are used up.
    before: u64,
    key: u32,
}

impl<'a> Cursor<'a> {
    /// From `mark` on, reading `chunk` bytes of a run on disk at a time.
    pub(super) fn new(place: Place<'a>, mark: Mark, chunk: usize) -> Self {
        Self { place, chunk: chunk.max(LONGEST), buffer: vec![], used: 0, before: mark.at, key: mark.key }
    }

    /// Where the next group begins.
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.before + self.used as u64, key: self.key }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Group>> {
        match self.place {
            Place::Memory(bytes) => {
                let mut rest = bytes.get(self.before as usize..).unwrap_or_default();
                let whole = rest.len();
                let group = take(&mut rest, &mut self.key);
                self.before += (whole - rest.len()) as u64;
                Ok(group)
            }
            Place::Disk { file, offset, length } => {
                let at = self.before + self.buffer.len() as u64;
                if self.buffer.len() - self.used < LONGEST && at < length {
                    self.buffer.drain(..self.used);
                    self.before += self.used as u64;
                    self.used = 0;
                    let kept = self.buffer.len();
                    let more = (length - at).min(self.chunk as u64) as usize;
                    self.buffer.reserve_exact(more);
                    self.buffer.resize(kept + more, 0);
                    file.read_exact_at(&mut self.buffer[kept..], offset + at)?;
                }
                let mut rest = &self.buffer[self.used..];
                let whole = rest.len();
                let group = take(&mut rest, &mut self.key);
                self.used += whole - rest.len();
                Ok(group)
            }
        }
    }
}

fn take(bytes: &mut &[u8], key: &mut u32) -> Option<Group> {
    if bytes.is_empty() {
        return None;
    }
    *key += number(bytes) as u32;
    let tag = number(bytes);
    let count = if tag & 1 == 1 { number(bytes) } else { 1 };
    Some(Group { key: *key, tag: unfolded((tag >> 1) as u32), count })
}

/// Good pixels have the largest tags and are by far the most: both ends of the tags become small numbers.
fn folded(tag: u32) -> u32 {
    tag << 1 ^ if tag >> 31 == 1 { u32::MAX } else { 0 }
}

fn unfolded(folded: u32) -> u32 {
    folded >> 1 ^ if folded & 1 == 1 { u32::MAX } else { 0 }
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_pixel_takes_few_bytes() {
        let tags = [0, 1, 62, 1 << 30, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX - 3, u32::MAX];
        assert!(tags.into_iter().all(|tag| unfolded(folded(tag)) == tag));
        let good = (0..1000).map(|i| record(5 * i, u32::MAX - i % 30)).collect();
        assert_eq!(pack(good, 1000).bytes.len(), 2 * 1000);
    }

    #[test]
    fn keys_descend_with_the_score() {
        let scores = [f32::MAX, 2.5, 1.0, f32::MIN_POSITIVE, 1e-45, 0.0, -1e-45, -1.0, f32::MIN];
        assert!(scores.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert_eq!(key(0.0), key(-0.0));
    }
}
