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
        if product.recipe.as_ref().is_some_and(|recipe| recipe.cascade) {
            bail!(
                "a recipe with a cascade records bounds of scores, which say nothing of the scores themselves: calibrate \
                 from pictures, --good DIR"
            );
        }
        let selection = Selection { verdicts: vec![Verdict::Accept], ..selection(product) };
        let mut entries = Records::open(folder)?.last(last, &selection)?;
        if entries.is_empty() {
            let by = if product.recipe.is_some() { " by this recipe" } else { "" };
            bail!("{}: holds no accepted part that was inspected{by} with this very model file", folder.display());
        }
        let zones = product.zones();
        let mut zone_scores = vec![];
        if !zones.is_empty() {
            let areas: Vec<Option<Vec<f32>>> = entries.iter().map(|entry| area_scores(entry, &zones)).collect();
            let mut known = areas.iter().map(Option::is_some);
            entries.retain(|_| known.next().unwrap_or(false));
            if entries.is_empty() {
                bail!(
                    "{}: holds no accepted part with scores of these very zones: {}",
                    folder.display(),
                    zones.join(", ")
                );
            }
            zone_scores = vec![vec![]; zones.len() + 1];
            for scores in areas.iter().flatten() {
                zone_scores.iter_mut().zip(scores).for_each(|(of, score)| of.push(*score));
            }
        }
        Ok(Self {
            zone_scores,
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

/// Scores of what is in no zone and of each zone, on the map's own scale; `None` where the part was inspected with others.
pub(super) fn area_scores(entry: &Entry, zones: &[String]) -> Option<Vec<f32>> {
    let of_zones: Vec<f32> = zones.iter().map(|zone| entry.zones.get(zone).copied()).collect::<Option<_>>()?;
    (entry.zones.len() == zones.len()).then(|| {
        let rest = entry.rest.unwrap_or(f32::NEG_INFINITY);
        [rest].into_iter().chain(of_zones).collect()
    })
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
    /// What new thresholds would do to everything that was inspected with this model file; `rejects` tells it of a part, where
    /// that can be told.
    pub(super) fn of(product: &Product, folder: &Path, rejects: impl Fn(&Entry) -> Option<bool>) -> Result<Self> {
        let mut changes = Self::default();
        Records::open(folder)?.each(&selection(product), |entry| {
            if let Some(rejects) = rejects(&entry) {
                changes.parts += 1;
                let turned = match (entry.verdict, rejects) {
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
