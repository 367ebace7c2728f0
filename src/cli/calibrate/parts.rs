//! Where the scores of a calibration come from: pictures, or the record of a box.

use crate::cli::parallel;
use anyhow::{Context, Result, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{Look, decode};
use mudenet_edge::decide::Verdict;
use mudenet_edge::decide::drift::Baseline;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::record::journal::{Entry, Records, Selection};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What is known of the parts, each in one order.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) scores: Vec<f32>,
    brightness: Vec<f32>,
    sharpness: Vec<f32>,
}

impl Parts {
    /// Inspects pictures.
    pub(super) fn of_pictures(bundle: &Bundle, pictures: &[PathBuf], jobs: Option<NonZeroUsize>) -> Result<Self> {
        let found = Mutex::new(vec![None; pictures.len()]);
        let worker = || Ok(Inspector::new(bundle)?);
        parallel::for_each(pictures.len(), jobs, "inspecting", worker, |inspector, index| {
            let path = &pictures[index];
            let frame = decode(path)?;
            let inspection = inspector.inspect(&frame).with_context(|| path.display().to_string())?;
            if !inspection.score.value.is_finite() {
                bail!("{}: its score is not a finite number", path.display());
            }
            if let Ok(mut found) = found.lock() {
                found[index] = Some((inspection.score.value, Look::at(&frame)));
            }
            Ok(())
        })?;
        let mut parts = Self::default();
        for (score, look) in found.into_inner().unwrap_or_default().into_iter().flatten() {
            parts.scores.push(score);
            parts.brightness.push(look.mean);
            parts.sharpness.push(look.sharpness);
        }
        Ok(parts)
    }

    /// The newest `last` accepted parts that were inspected with this model file.
    pub(super) fn of_records(bundle: &Bundle, folder: &Path, last: usize) -> Result<Self> {
        let model = Some(bundle.sha256().to_owned());
        let selection = Selection { verdicts: vec![Verdict::Accept], model, ..Selection::default() };
        let entries = Records::open(folder)?.last(last, &selection)?;
        if entries.is_empty() {
            bail!("{}: holds no accepted part that was inspected with this very model file", folder.display());
        }
        Ok(Self {
            scores: entries.iter().filter_map(|e| e.score).collect(),
            brightness: entries.iter().filter_map(|e| e.brightness).collect(),
            sharpness: entries.iter().filter_map(|e| e.sharpness).collect(),
        })
    }

    /// What later parts are compared with.
    pub(super) fn baseline(&self) -> Baseline {
        Baseline::new(&self.scores, &self.brightness, &self.sharpness)
    }
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
    pub(super) fn of(bundle: &Bundle, folder: &Path, threshold: f32) -> Result<Self> {
        let mut changes = Self::default();
        let selection = Selection { model: Some(bundle.sha256().to_owned()), ..Selection::default() };
        Records::open(folder)?.each(&selection, |entry| {
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
