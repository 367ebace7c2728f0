//! Where the scores of a calibration come from: pictures, or the record of a box.

use super::product::Product;
use crate::cli::parallel;
use anyhow::{Context, Result, bail};
use mudenet_edge::capture::{Look, decode};
use mudenet_edge::decide::Verdict;
use mudenet_edge::decide::drift::Baseline;
use mudenet_edge::record::journal::{Entry, Records, Selection};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What is known of the parts, each in one order.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) scores: Vec<f32>,
    /// Scores of what is in no zone, and of each zone; nothing without zones.
    pub(super) zone_scores: Vec<Vec<f32>>,
    pub(super) brightness: Vec<f32>,
    pub(super) sharpness: Vec<f32>,
}

impl Parts {
    /// Inspects pictures.
    pub(super) fn of_pictures(product: &Product, pictures: &[PathBuf], jobs: Option<NonZeroUsize>) -> Result<Self> {
        let found = Mutex::new(vec![None; pictures.len()]);
        let worker = || product.pipeline();
        parallel::for_each(pictures.len(), jobs, "inspecting", worker, |pipeline, index| {
            let path = &pictures[index];
            let frame = decode(path)?;
            let inspection = pipeline.inspect(&frame).result.with_context(|| path.display().to_string())?;
            let look = Look::at(&pipeline.view(frame));
            if let Ok(mut found) = found.lock() {
                found[index] = Some((inspection.score.value, inspection.areas, look));
            }
            Ok(())
        })?;
        let zones = product.zones().len();
        let mut parts = Self::default();
        if zones > 0 {
            parts.zone_scores = vec![vec![]; zones + 1];
        }
        for (score, areas, look) in found.into_inner().unwrap_or_default().into_iter().flatten() {
            parts.scores.push(score);
            parts.zone_scores.iter_mut().zip(areas).for_each(|(scores, score)| scores.push(score));
            parts.brightness.push(look.mean);
            parts.sharpness.push(look.sharpness);
        }
        Ok(parts)
    }

    /// The newest `last` accepted parts that were inspected with this model file, and by the recipe where one is given.
    pub(super) fn of_records(product: &Product, folder: &Path, last: usize) -> Result<Self> {
        if !product.zones().is_empty() {
            bail!("a record knows one score a part: the thresholds of zones need pictures, --good DIR");
        }
        let selection = Selection { verdicts: vec![Verdict::Accept], ..selection(product) };
        let entries = Records::open(folder)?.last(last, &selection)?;
        if entries.is_empty() {
            let by = if product.recipe.is_some() { " by this recipe" } else { "" };
            bail!("{}: holds no accepted part that was inspected{by} with this very model file", folder.display());
        }
        Ok(Self {
            zone_scores: vec![],
            scores: entries.iter().filter_map(|e| e.score).collect(),
            brightness: entries.iter().filter_map(|e| e.brightness).collect(),
            sharpness: entries.iter().filter_map(|e| e.sharpness).collect(),
        })
    }

    /// What later parts are compared with; `scores` are those on the scale of the new thresholds.
    pub(super) fn baseline(&self, scores: &[f32]) -> Baseline {
        Baseline::new(scores, &self.brightness, &self.sharpness)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }
}

/// The parts that were inspected with this.
fn selection(product: &Product) -> Selection {
    let recipe = product.recipe.as_ref().map(|recipe| recipe.name.clone());
    Selection { model: Some(product.bundle.sha256().to_owned()), recipe, ..Selection::default() }
}

/// Recorded verdicts that another threshold would turn.
#[derive(Default)]
pub(super) struct Changes {
    /// Parts with a score.
    pub(super) parts: u64,
    pub(super) to_reject: u64,
    pub(super) to_accept: u64,
    /// The newest of them.
    pub(super) newest: std::collections::VecDeque<Entry>,
}

/// Parts that are listed one by one.
const LISTED: usize = 10;

impl Changes {
    /// What `threshold` would do to everything that was inspected with this model file.
    pub(super) fn of(product: &Product, folder: &Path, threshold: f32) -> Result<Self> {
        let mut changes = Self::default();
        Records::open(folder)?.each(&selection(product), |entry| {
            if let Some(score) = entry.score {
                changes.parts += 1;
                let turned = match (entry.verdict, score > threshold) {
                    (Verdict::Accept, true) => Some(&mut changes.to_reject),
                    (Verdict::Reject, false) => Some(&mut changes.to_accept),
                    _ => None,
                };
                if let Some(count) = turned {
                    *count += 1;
                    changes.newest.push_back(entry);
                    if changes.newest.len() > LISTED {
                        changes.newest.pop_front();
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(changes)
    }
}
