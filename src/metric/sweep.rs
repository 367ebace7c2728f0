//! Figures of pixels: one exact sweep of a threshold over every pixel of every image.

use super::MetricError;
use super::area::{Curve, Point};
use super::regions::components;
use super::runs::{Group, Runs, key, pack, record};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// False-positive rate up to which PRO is integrated.
pub const PRO_LIMIT: f64 = 0.3;
/// False-positive rates up to which sPRO is integrated.
pub const SPRO_LIMITS: [f64; 5] = [0.01, 0.05, 0.1, 0.3, 1.0];
/// Packed pixels kept in memory before they move to a temporary file, bytes.
const MEMORY: usize = 256 * 1024 * 1024;

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
    /// A sweep over images of `kinds` kinds, the good ones included.
    pub fn new(kinds: usize) -> Self {
        Self::with_memory(kinds, MEMORY)
    }

    fn with_memory(kinds: usize, memory: usize) -> Self {
        let collected = Collected { runs: Runs::new(memory), targets: vec![], negatives: vec![0; kinds] };
        Self { kinds, collected: Mutex::new(collected) }
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
        let run = pack(records);
        self.lock().runs.push(run).map_err(MetricError::Spill)
    }

    /// The figures of all images, and for each kind from 1 those of its images and the good ones.
    ///
    /// # Errors
    /// [`MetricError::Spill`] where the temporary file fails.
    pub fn finish(self) -> Result<(PixelFigures, Vec<PixelFigures>), MetricError> {
        let Collected { runs, targets, negatives } =
            self.collected.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::new(&targets, &negatives);
        runs.merge(|group| state.take(group)).map_err(MetricError::Spill)?;
        Ok(state.finish())
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

/// The sweep at one threshold. Set 0 is all images, set k those of kind k and the good ones.
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
    fn new(targets: &'a [Target], negatives: &[u64]) -> Self {
        let set = |kind: usize| {
            let of_set = |k: usize| kind == 0 || k == 0 || k == kind;
            let mut set = Set {
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
        };
        Self {
            targets,
            found: vec![0; targets.len()],
            false_positives: vec![0; negatives.len()],
            sets: (0..negatives.len()).map(set).collect(),
            touched: vec![],
            key: 0,
        }
    }

    /// Takes the next pixels. At each key the defective ones come before the good ones, whose tags are larger: points are
    /// needed only just before and just after a key with defective pixels, between them the curves are flat.
    fn take(&mut self, group: Group) {
        if group.key != self.key {
            self.close();
            self.key = group.key;
        }
        let Some(target) = self.targets.get(group.tag as usize).copied() else {
            self.false_positives[(u32::MAX - group.tag) as usize] += group.count;
            return;
        };
        self.touch(0);
        if target.kind != 0 {
            self.touch(target.kind);
        }
        let before = self.found[group.tag as usize];
        let after = before + group.count;
        self.found[group.tag as usize] = after;
        for kind in [0, target.kind].into_iter().take(1 + usize::from(target.kind != 0)) {
            let set = &mut self.sets[kind];
            match target.role {
                Role::Region(area) => {
                    set.true_positives += group.count;
                    set.overlap += group.count as f64 / area as f64;
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
        let fp: u64 = match kind {
            0 => self.false_positives.iter().sum(),
            kind => self.false_positives[0] + self.false_positives[kind],
        };
        let set = &mut self.sets[kind];
        let x = fp as f64 / set.negatives as f64;
        set.roc.push(x, set.true_positives as f64 / set.positives as f64);
        set.pro.push(x, set.overlap / set.regions as f64);
        if set.defects > 0 {
            set.spro.push(x, set.saturated / set.defects as f64);
        }
    }

    fn finish(mut self) -> (PixelFigures, Vec<PixelFigures>) {
        self.close();
        let mut figures = self.sets.into_iter().map(Set::finish);
        let total = figures.next().unwrap_or_default();
        (total, figures.collect())
    }
}

impl Set {
    fn finish(mut self) -> PixelFigures {
        if self.negatives == 0 || self.positives == 0 {
            return PixelFigures::default();
        }
        for curve in [&mut self.roc, &mut self.pro, &mut self.spro] {
            curve.push(1.0, 1.0);
        }
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
