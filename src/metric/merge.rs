//! All runs' records in order, swept by several threads.
//!
//! The keys are cut into ranges. A first pass over the runs counts what lies before each range, so that every range can be
//! swept on its own from the right counts. A range is read in parts small enough to be sorted in memory. Ranges and parts
//! depend on the records alone, so that the figures do not depend on the number of threads.

use super::runs::{Cursor, Group, Mark, Place, Runs, record};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::io;

/// Sizes of the sort.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Packed pixels kept in memory before they move to a temporary file, bytes.
    pub(super) memory: usize,
    /// One key in so many is sampled, to cut the keys evenly.
    pub(super) sample: usize,
    /// Records of a part.
    pub(super) part: usize,
}

impl Sizes {
    /// So that `memory` bytes hold the packed pixels; each thread's part to sort takes a 16th of it.
    pub(super) fn of_memory(memory: usize) -> Self {
        let sample = 4096;
        Self { memory, sample, part: (memory >> 8).max(sample) }
    }
}

/// Ranges of keys.
const RANGES: usize = 16;
/// Bytes read at a time of a run that is read alone.
const CHUNK: usize = 256 * 1024;
/// Bytes read at a time of each of many runs at most, and of all of them by all threads.
const CHUNKS: [usize; 2] = [8 * 1024, 64 << 20];

/// The runs and how their keys are cut.
pub(super) struct Merge {
    runs: Runs,
    /// First key of each part but the first, strictly ascending.
    cuts: Vec<u32>,
    /// For each run the beginning of each range.
    marks: Vec<Vec<Mark>>,
    /// For each range, how many records of each tag come before it.
    before: Vec<BTreeMap<u32, u64>>,
}

impl Merge {
    /// Cuts the keys and counts.
    pub(super) fn new(mut runs: Runs, sizes: Sizes) -> io::Result<Self> {
        let mut samples = std::mem::take(&mut runs.samples);
        samples.par_sort_unstable();
        let step = (sizes.part / sizes.sample).max(1);
        let mut cuts: Vec<u32> = samples.into_iter().skip(step).step_by(step).collect();
        cuts.dedup();
        let mut merge = Self { runs, cuts, marks: vec![], before: vec![] };
        let surveys: Vec<Survey> = merge.places().into_par_iter().map(|p| merge.survey(p)).collect::<Result<_, _>>()?;
        let mut before = BTreeMap::new();
        for range in 0..RANGES {
            merge.before.push(before.clone());
            for (tag, count) in surveys.iter().flat_map(|survey| &survey.counts[range]) {
                *before.entry(*tag).or_default() += count;
            }
        }
        merge.marks = surveys.into_iter().map(|survey| survey.marks).collect();
        Ok(merge)
    }

    /// Sweeps every range: `start` makes a sweep from the counts of all records before it, `take` is given its groups in
    /// the order of their records. The sweeps come back in the order of the ranges.
    pub(super) fn sweep<S: Send>(
        &self,
        start: impl Fn(&BTreeMap<u32, u64>) -> S + Sync,
        take: impl Fn(&mut S, Group) + Sync,
    ) -> io::Result<Vec<S>> {
        let sweep = |range: usize| {
            let mut state = start(&self.before[range]);
            self.groups(range, |group| take(&mut state, group))?;
            Ok(state)
        };
        (0..RANGES).into_par_iter().map(sweep).collect()
    }

    fn places(&self) -> Vec<Place<'_>> {
        let memory = self.runs.memory.iter().map(|bytes| Place::Memory(bytes));
        let disk = self.runs.file.iter().flat_map(|file| {
            self.runs.disk.iter().map(move |(offset, length)| Place::Disk { file, offset: *offset, length: *length })
        });
        memory.chain(disk).collect()
    }

    /// The parts of a range.
    fn parts(&self, range: usize) -> std::ops::Range<usize> {
        let parts = self.cuts.len() + 1;
        range * parts / RANGES..(range + 1) * parts / RANGES
    }

    /// First key after a part; `None` after the last.
    fn end(&self, part: usize) -> Option<u32> {
        self.cuts.get(part).copied()
    }

    fn survey(&self, place: Place<'_>) -> io::Result<Survey> {
        let mut survey = Survey { marks: vec![Mark::default()], counts: vec![BTreeMap::new(); RANGES] };
        let mut cursor = Cursor::new(place, Mark::default(), CHUNK);
        let begins: Vec<Option<u32>> = (1..RANGES).map(|range| self.first_key(range)).collect();
        let (mut last, mut counted) = (None, 0);
        loop {
            let mark = cursor.mark();
            let group = cursor.next()?;
            let reached = |begin: &Option<u32>| group.is_none_or(|g| begin.is_some_and(|begin| g.key >= begin));
            let range = survey.marks.len() - 1;
            let moved = begins.get(range).is_some_and(reached);
            let tag = group.map(|g| g.tag);
            if (moved || tag != last) && counted > 0 {
                *survey.counts[range].entry(last.unwrap_or_default()).or_default() += counted;
                counted = 0;
            }
            while begins.get(survey.marks.len() - 1).is_some_and(reached) {
                survey.marks.push(mark);
            }
            let Some(group) = group else { return Ok(survey) };
            (last, counted) = (Some(group.tag), counted + group.count);
        }
    }

    /// First key of a range; `None` where nothing is in it or any after it.
    fn first_key(&self, range: usize) -> Option<u32> {
        match self.parts(range).start {
            0 => Some(0),
            part => self.end(part - 1),
        }
    }

    fn groups(&self, range: usize, mut each: impl FnMut(Group)) -> io::Result<()> {
        let parts = self.parts(range);
        if parts.is_empty() {
            return Ok(());
        }
        let readers = self.runs.disk.len().max(1) * rayon::current_num_threads().min(RANGES);
        let chunk = CHUNKS[0].min(CHUNKS[1] / readers);
        let cursors = self.places().into_iter().zip(&self.marks);
        let mut cursors: Vec<(Cursor<'_>, Option<Group>)> = cursors
            .map(|(place, marks)| {
                let mut cursor = Cursor::new(place, marks[range], chunk);
                let ahead = cursor.next()?;
                Ok((cursor, ahead))
            })
            .collect::<io::Result<_>>()?;
        let (mut single, mut several) = (vec![], vec![]);
        for part in parts {
            let end = self.end(part);
            for (cursor, ahead) in &mut cursors {
                while let Some(group) = ahead.filter(|g| end.is_none_or(|end| g.key < end)) {
                    let record = record(group.key, group.tag);
                    if group.count == 1 {
                        single.push(record)
                    } else {
                        several.push((record, group.count))
                    }
                    *ahead = cursor.next()?;
                }
            }
            single.sort_unstable();
            several.sort_unstable();
            let mut several_in_order = several.drain(..).peekable();
            let mut hand_out =
                |record: u64, count| each(Group { key: (record >> 32) as u32, tag: record as u32, count });
            for record in single.drain(..) {
                while let Some((earlier, count)) = several_in_order.next_if(|(r, _)| *r <= record) {
                    hand_out(earlier, count);
                }
                hand_out(record, 1);
            }
            several_in_order.for_each(|(record, count)| hand_out(record, count));
        }
        Ok(())
    }
}

/// One run, range by range.
struct Survey {
    marks: Vec<Mark>,
    counts: Vec<BTreeMap<u32, u64>>,
}

#[cfg(test)]
mod tests {
    use super::super::runs::pack;
    use super::*;

    fn images(distinct: u32) -> Vec<Vec<u64>> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let mut image = |length: usize| -> Vec<u64> {
            (0..length).map(|_| record(next() as u32 % distinct * 977, u32::MAX - next() as u32 % 3)).collect()
        };
        [20_000, 1, 0, 777, 20_000, 3, 20_000].map(&mut image).into()
    }

    #[test]
    fn runs_on_disk_and_in_memory_come_out_as_the_sorted_whole() {
        for distinct in [1, 2, 40, 1 << 20] {
            let images = images(distinct);
            let mut expected: Vec<u64> = images.concat();
            expected.sort_unstable();
            for (memory, sample, part) in [(0, 64, 256), (60_000, 7, 5_000), (usize::MAX, 4096, 1 << 20), (0, 1, 1)] {
                let mut runs = Runs::new(memory);
                for image in &images {
                    runs.push(pack(image.clone(), sample)).unwrap();
                }
                assert!(runs.file.is_some() || memory != 0);
                let merge = Merge::new(runs, Sizes { memory, sample, part }).unwrap();
                let start = |before: &BTreeMap<u32, u64>| (before.clone(), vec![]);
                let take = |(_, taken): &mut (_, Vec<u64>), g: Group| {
                    taken.extend(std::iter::repeat_n(record(g.key, g.tag), g.count as usize));
                };
                let mut got = vec![];
                for (before, taken) in merge.sweep(start, take).unwrap() {
                    let mut counted = BTreeMap::<u32, u64>::new();
                    got.iter().for_each(|record: &u64| *counted.entry(*record as u32).or_default() += 1);
                    assert_eq!(before, counted);
                    got.extend(taken);
                }
                assert!(got == expected, "distinct {distinct}, memory {memory}, sample {sample}, part {part}");
            }
        }
    }
}
