//! Figures of pixels: one exact sweep of a threshold over every pixel of every image.

use super::MetricError;
use super::area::{Curve, Point};
use super::merge::{Merge, Sizes};
use super::regions::components;
use super::runs::{Group, Runs, key, pack, record};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// False-positive rate up to which PRO is integrated.
pub const PRO_LIMIT: f64 = 0.3;
/// False-positive rates up to which sPRO is integrated.
pub const SPRO_LIMITS: [f64; 5] = [0.01, 0.05, 0.1, 0.3, 1.0];

/// One defect of an image and the area from which on it counts as found.
#[derive(Clone, Debug, PartialEq)]
pub struct Defect {
    /// Its pixels, (H, W).
    pub mask: Vec<bool>,
    /// Pixels, ≥ 1.
    pub saturation: u64,
}

/// What is known about an image's pixels.
#[derive(Clone, Copy, Debug)]
pub enum Truth<'a> {
    /// Every pixel is good.
    Good,
    /// The defective pixels, (H, W); each connected component is a region of PRO.
    Mask(&'a [bool]),
    /// One mask a defect; their union is the mask.
    Defects(&'a [Defect]),
}

/// Collects the pixels of a labelled set, from any number of threads. Kind 0 is good, the others are types of defect.
#[derive(Debug)]
pub struct PixelSweep {
    kinds: usize,
    sizes: Sizes,
    collected: Mutex<Collected>,
}

#[derive(Debug)]
struct Collected {
    runs: Runs,
    /// What the tags of defective pixels mean.
    targets: Vec<Target>,
    /// Good pixels of each kind of image.
    negatives: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    kind: usize,
    role: Role,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    /// A connected component with its area.
    Region(u64),
    /// A defect with its saturation area.
    Defect(u64),
}

/// What the pixels of a group of images give; every figure 0–1, larger is better.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PixelFigures {
    /// Area under the pixels' ROC curve; `None` without good or without defective pixels.
    pub auroc: Option<f64>,
    /// Area under PRO up to [`PRO_LIMIT`], divided by it.
    pub pro: Option<f64>,
    /// Area under sPRO up to each of [`SPRO_LIMITS`], divided by it; `None` where defects were not given one by one.
    pub spro: Option<[f64; 5]>,
    /// The ROC curve.
    pub roc_curve: Vec<Point>,
    /// PRO over the false-positive rate.
    pub pro_curve: Vec<Point>,
    /// sPRO over the false-positive rate.
    pub spro_curve: Vec<Point>,
}

impl PixelSweep {
    /// A sweep over images of `kinds` kinds, the good ones included, with 256 MiB as in [`PixelSweep::with_memory`].
    pub fn new(kinds: usize) -> Self {
        Self::with_memory(kinds, 256 << 20)
    }

    /// Pixels that, packed, take more than `memory` bytes are sorted in a temporary file. The figures are the same.
    pub fn with_memory(kinds: usize, memory: usize) -> Self {
        Self::with_sizes(kinds, Sizes::of_memory(memory))
    }

    fn with_sizes(kinds: usize, sizes: Sizes) -> Self {
        let collected = Collected { runs: Runs::new(sizes.memory), targets: vec![], negatives: vec![0; kinds] };
        Self { kinds, sizes, collected: Mutex::new(collected) }
    }

    /// Adds one image: `scores` of (H, W) pixels in rows of `width`.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`], [`MetricError::Size`] where a mask has another size, [`MetricError::Kind`],
    /// [`MetricError::Spill`] where the temporary file fails.
    pub fn add(&self, kind: usize, scores: &[f32], width: usize, truth: Truth<'_>) -> Result<(), MetricError> {
        if kind >= self.kinds {
            return Err(MetricError::Kind { kind, kinds: self.kinds });
        }
        if width == 0 || !scores.len().is_multiple_of(width) {
            return Err(MetricError::Size { expected: scores.len(), got: width });
        }
        if scores.iter().any(|s| !s.is_finite()) {
            return Err(MetricError::NotFinite);
        }
        let (union, defects) = match truth {
            Truth::Good => (vec![false; scores.len()], [].as_slice()),
            Truth::Mask(mask) => (mask.to_vec(), [].as_slice()),
            Truth::Defects(defects) => (union(defects, scores.len())?, defects),
        };
        if union.len() != scores.len() {
            return Err(MetricError::Size { expected: scores.len(), got: union.len() });
        }
        let (labels, areas) = components(&union, width);
        let first = {
            let mut collected = self.lock();
            let first = collected.targets.len() as u32;
            collected.targets.extend(areas.iter().map(|area| Target { kind, role: Role::Region(*area) }));
            let saturations = defects.iter().map(|d| Target { kind, role: Role::Defect(d.saturation.max(1)) });
            collected.targets.extend(saturations);
            collected.negatives[kind] += scores.len() as u64 - areas.iter().sum::<u64>();
            first
        };
        let mut records = Vec::with_capacity(scores.len());
        for (score, label) in scores.iter().zip(&labels) {
            let tag = if *label == 0 { u32::MAX - kind as u32 } else { first + label - 1 };
            records.push(record(key(*score), tag));
        }
        let first_defect = first + areas.len() as u32;
        for (tag, defect) in (first_defect..).zip(defects) {
            let pixels = scores.iter().zip(&defect.mask).filter(|(_, defective)| **defective);
            records.extend(pixels.map(|(score, _)| record(key(*score), tag)));
        }
        let run = pack(records, self.sizes.sample);
        self.lock().runs.push(run).map_err(MetricError::Spill)
    }

    /// The figures of all images, and for each kind from 1 those of its images and the good ones.
    ///
    /// # Errors
    /// [`MetricError::Spill`] where the temporary file fails.
    pub fn finish(self) -> Result<(PixelFigures, Vec<PixelFigures>), MetricError> {
        let Collected { runs, targets, negatives } =
            self.collected.into_inner().unwrap_or_else(PoisonError::into_inner);
        let merge = Merge::new(runs, self.sizes).map_err(MetricError::Spill)?;
        let start = |before: &BTreeMap<u32, u64>| State::new(&targets, &negatives, before);
        let ranges = merge.sweep(start, State::take).map_err(MetricError::Spill)?;
        let mut sets = ranges.into_iter().map(State::end);
        let mut whole = sets.next().unwrap_or_default();
        for range in sets {
            whole.iter_mut().zip(range).for_each(|(set, next)| set.append(next));
        }
        let mut figures = whole.into_iter().map(Set::finish);
        let total = figures.next().unwrap_or_default();
        Ok((total, figures.collect()))
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn union(defects: &[Defect], length: usize) -> Result<Vec<bool>, MetricError> {
    let mut union = vec![false; length];
    for defect in defects {
        if defect.mask.len() != length {
            return Err(MetricError::Size { expected: length, got: defect.mask.len() });
        }
        union.iter_mut().zip(&defect.mask).for_each(|(u, m)| *u |= m);
    }
    Ok(union)
}

/// The sweep of a range of thresholds. Set 0 is all images, set k those of kind k and the good ones.
struct State<'a> {
    targets: &'a [Target],
    /// Pixels of each target above the threshold.
    found: Vec<u64>,
    /// Good pixels above the threshold, by kind of image.
    false_positives: Vec<u64>,
    sets: Vec<Set>,
    /// Sets with defective pixels at the current key.
    touched: Vec<usize>,
    key: u32,
}

struct Set {
    negatives: u64,
    positives: u64,
    regions: u64,
    defects: u64,
    true_positives: u64,
    /// Sum over regions of the part above the threshold.
    overlap: f64,
    /// Sum over defects of the saturated part above the threshold.
    saturated: f64,
    roc: Curve,
    pro: Curve,
    spro: Curve,
}

impl<'a> State<'a> {
    /// At the threshold above which lie the pixels counted in `before`, by tag.
    fn new(targets: &'a [Target], negatives: &[u64], before: &BTreeMap<u32, u64>) -> Self {
        let sets = (0..negatives.len()).map(|kind| Set::new(kind, targets, negatives)).collect();
        let (found, false_positives) = (vec![0; targets.len()], vec![0; negatives.len()]);
        let mut state = Self { targets, found, false_positives, sets, touched: vec![], key: 0 };
        before.iter().for_each(|(tag, count)| state.count(*tag, *count));
        for kind in 0..state.sets.len() {
            let points = state.points(kind);
            let set = &mut state.sets[kind];
            set.curves().into_iter().zip(points).for_each(|(curve, (x, y))| curve.start(x, y));
        }
        state
    }

    /// Takes the next pixels. At each key the defective ones come before the good ones, whose tags are larger: points are
    /// needed only just before and just after a key with defective pixels, between them the curves are flat.
    fn take(&mut self, group: Group) {
        if group.key != self.key {
            self.close();
            self.key = group.key;
        }
        if let Some(target) = self.targets.get(group.tag as usize) {
            let kind = target.kind;
            self.touch(0);
            if kind != 0 {
                self.touch(kind);
            }
        }
        self.count(group.tag, group.count);
    }

    /// Moves `count` pixels above the threshold.
    fn count(&mut self, tag: u32, count: u64) {
        let Some(target) = self.targets.get(tag as usize).copied() else {
            self.false_positives[(u32::MAX - tag) as usize] += count;
            return;
        };
        let before = self.found[tag as usize];
        let after = before + count;
        self.found[tag as usize] = after;
        for kind in [0, target.kind].into_iter().take(1 + usize::from(target.kind != 0)) {
            let set = &mut self.sets[kind];
            match target.role {
                Role::Region(area) => {
                    set.true_positives += count;
                    set.overlap += count as f64 / area as f64;
                }
                Role::Defect(saturation) => {
                    let gained = after.min(saturation) - before.min(saturation);
                    set.saturated += gained as f64 / saturation as f64;
                }
            }
        }
    }

    fn touch(&mut self, kind: usize) {
        if !self.touched.contains(&kind) {
            self.push(kind);
            self.touched.push(kind);
        }
    }

    fn close(&mut self) {
        while let Some(kind) = self.touched.pop() {
            self.push(kind);
        }
    }

    fn push(&mut self, kind: usize) {
        let points = self.points(kind);
        let set = &mut self.sets[kind];
        set.curves().into_iter().zip(points).for_each(|(curve, (x, y))| curve.push(x, y));
    }

    /// ROC, PRO and sPRO of a set at the threshold.
    fn points(&self, kind: usize) -> [(f64, f64); 3] {
        let fp: u64 = match kind {
            0 => self.false_positives.iter().sum(),
            kind => self.false_positives[0] + self.false_positives[kind],
        };
        let set = &self.sets[kind];
        let share = |part: f64, of: u64| if of == 0 { 0.0 } else { part / of as f64 };
        let x = share(fp as f64, set.negatives);
        [
            (x, share(set.true_positives as f64, set.positives)),
            (x, share(set.overlap, set.regions)),
            (x, share(set.saturated, set.defects)),
        ]
    }

    /// The curves up to the end of the range.
    fn end(mut self) -> Vec<Set> {
        self.close();
        (0..self.sets.len()).for_each(|kind| self.push(kind));
        self.sets
    }
}

impl Set {
    fn new(kind: usize, targets: &[Target], negatives: &[u64]) -> Self {
        let of_set = |k: usize| kind == 0 || k == 0 || k == kind;
        let mut set = Self {
            negatives: negatives.iter().enumerate().filter(|(k, _)| of_set(*k)).map(|(_, n)| n).sum(),
            positives: 0,
            regions: 0,
            defects: 0,
            true_positives: 0,
            overlap: 0.0,
            saturated: 0.0,
            roc: Curve::new(&[1.0]),
            pro: Curve::new(&[PRO_LIMIT]),
            spro: Curve::new(&SPRO_LIMITS),
        };
        for target in targets.iter().filter(|t| of_set(t.kind)) {
            match target.role {
                Role::Region(area) => {
                    set.regions += 1;
                    set.positives += area;
                }
                Role::Defect(_) => set.defects += 1,
            }
        }
        set
    }

    fn curves(&mut self) -> [&mut Curve; 3] {
        [&mut self.roc, &mut self.pro, &mut self.spro]
    }

    /// Goes on with the next range.
    fn append(&mut self, next: Set) {
        self.roc.append(next.roc);
        self.pro.append(next.pro);
        self.spro.append(next.spro);
    }

    fn finish(mut self) -> PixelFigures {
        if self.negatives == 0 || self.positives == 0 {
            return PixelFigures::default();
        }
        self.curves().into_iter().for_each(|curve| curve.push(1.0, 1.0));
        let (auroc, roc_curve) = self.roc.finish();
        let (pro, pro_curve) = self.pro.finish();
        let (spro, spro_curve) = self.spro.finish();
        let spro = if self.defects > 0 { spro.try_into().ok() } else { None };
        PixelFigures {
            auroc: auroc.first().copied(),
            pro: pro.first().copied(),
            spro_curve: if spro.is_some() { spro_curve } else { vec![] },
            spro,
            roc_curve,
            pro_curve,
        }
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
