//! The pure stages joined: [`Frame`] → [`Inspection`].

use crate::bundle::Bundle;
use crate::capture::{CaptureError, Frame, Region};
use crate::decide::{Verdict, decide};
use crate::infer::{Engine, InferError, LevelScores, Scorer, TractScorer};
use crate::map::{AnomalyMap, Bounds, ImageScore, Judged, MapError, Mask, Scoring, Zones};
use crate::preprocess::{ModelInput, Preprocess, PreprocessError};
use std::borrow::Cow;
use std::sync::Arc;

/// A bundle made ready: preprocess → infer → map → decide.
pub struct Inspector {
    preprocess: Preprocess,
    scoring: Scoring,
    scorer: Box<dyn Scorer>,
    threshold: f32,
    region: Option<Region>,
    mask: Option<Mask>,
    zones: Option<Zones>,
    cascade: bool,
}

/// What one frame showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Smoothed anomaly map of [`Inspector::view`] at the size of the network's input, zones moved as in [`Zones`].
    pub map: AnomalyMap,
    /// Its maximum.
    pub score: ImageScore,
    /// Score against threshold; a score that is not a finite number is a fault.
    pub verdict: Verdict,
    /// With zones, the largest score of what is in none of them and of each zone, on the map's own scale; else none.
    pub areas: Vec<f32>,
    /// The zone that the maximum lies in.
    pub zone: Option<Arc<str>>,
}

/// A frame that could not be inspected; the part is to be rejected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The region is not on the frame.
    #[error(transparent)]
    Region(#[from] CaptureError),
    /// The frame does not fit the network.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The network failed.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The scores do not fit the bundle's scoring.
    #[error(transparent)]
    Map(#[from] MapError),
}

impl Inspector {
    /// Prepares `bundle` on tract, with the bundle's own threshold.
    ///
    /// # Errors
    /// [`InspectError::Infer`] where the graph cannot be prepared.
    pub fn new<'a>(bundle: impl Into<Cow<'a, Bundle>>) -> Result<Self, InspectError> {
        let bundle = bundle.into();
        let meta = bundle.meta().clone();
        let scorer = Box::new(TractScorer::new(bundle)?);
        Ok(Self::from_parts(meta.preprocess, meta.scoring, scorer, meta.threshold.value))
    }

    /// Like [`Inspector::new`], but leaves out the logical branch wherever the other branches settle the verdict: that is the
    /// same, while map and score of such a part are a bound of those of all branches, on the same side of the threshold. What
    /// would fail in the logical branch alone is not seen where that was left out.
    ///
    /// # Errors
    /// [`InspectError::Infer`] where the graph cannot be prepared.
    pub fn cascaded<'a>(bundle: impl Into<Cow<'a, Bundle>>) -> Result<Self, InspectError> {
        let bundle = bundle.into();
        let meta = bundle.meta().clone();
        let scorer = Box::new(TractScorer::cascaded(bundle, Engine::from_environment()?)?);
        let whole = Self::from_parts(meta.preprocess, meta.scoring, scorer, meta.threshold.value);
        Ok(Self { cascade: true, ..whole })
    }

    /// An inspector over any [`Scorer`].
    pub fn from_parts(preprocess: Preprocess, scoring: Scoring, scorer: Box<dyn Scorer>, threshold: f32) -> Self {
        Self { preprocess, scoring, scorer, threshold, region: None, mask: None, zones: None, cascade: false }
    }

    /// Replaces the threshold, on the scale of [`ImageScore`].
    #[must_use]
    pub fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Inspects only this part of each frame.
    #[must_use]
    pub fn with_region(mut self, region: Region) -> Self {
        self.region = Some(region);
        self
    }

    /// Is blind where `mask`, made for the network's input size, says so.
    #[must_use]
    pub fn with_mask(mut self, mask: Mask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Holds these parts of the picture against thresholds of their own.
    #[must_use]
    pub fn with_zones(mut self, zones: Zones) -> Self {
        self.zones = Some(zones);
        self
    }

    /// The parts of the picture with thresholds of their own.
    pub fn zones(&self) -> Option<&Zones> {
        self.zones.as_ref()
    }

    /// The part of `frame` that is inspected; `None` where that is all of it.
    ///
    /// # Errors
    /// [`InspectError::Region`] where the region is not on the frame.
    pub fn view(&self, frame: &Frame) -> Result<Option<Frame>, InspectError> {
        Ok(self.region.map(|region| frame.crop(region)).transpose()?)
    }

    /// The part of each frame that is inspected; `None` is all of it.
    pub fn region(&self) -> Option<Region> {
        self.region
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Inspects one frame.
    ///
    /// # Errors
    /// [`InspectError`]; the caller must treat the part as rejected.
    pub fn inspect(&mut self, frame: &Frame) -> Result<Inspection, InspectError> {
        let input = self.input(frame)?;
        let (height, width) = (self.preprocess.height, self.preprocess.width);
        let view = match self.region {
            Some(region) => region,
            None => Region::new(0, 0, frame.width(), frame.height())?,
        };
        let (scoring, zones, threshold) = (&self.scoring, self.zones.as_ref(), self.threshold);
        let judged = Judged { mask: self.mask.as_ref(), zones, view, threshold };
        let inspection = |(map, score, areas): (AnomalyMap, ImageScore, Vec<f32>)| {
            let at = (score.row, score.column);
            let zone = zones.and_then(|zones| zones.at((height, width), view, at)).map(|zone| Arc::clone(&zone.name));
            Inspection { map, score, verdict: decide(&score, threshold), areas, zone }
        };
        let mut settled = None;
        let scores = if self.cascade {
            self.scorer.score_until(&input, &mut |scores| {
                // Scores that do not fit the scoring settle nothing; the whole run then says what is wrong with them.
                let bounds = scoring.bounds(scores, height, width, Some(&judged));
                settled = bounds.ok().and_then(|bounds| settled_by(bounds, threshold));
                settled.is_some()
            })?
        } else {
            self.scorer.score(&input)?
        };
        Ok(inspection(match settled {
            Some(bound) => bound,
            None => scoring.apply_judged(&scores, height, width, Some(&judged))?,
        }))
    }

    /// The networks' scores for one frame, before the map.
    ///
    /// # Errors
    /// [`InspectError::Preprocess`] or [`InspectError::Infer`].
    pub fn level_scores(&mut self, frame: &Frame) -> Result<LevelScores, InspectError> {
        let input = self.input(frame)?;
        Ok(self.scorer.score(&input)?)
    }

    fn input(&self, frame: &Frame) -> Result<ModelInput, InspectError> {
        let view = self.view(frame)?;
        Ok(self.preprocess.apply(view.as_ref().unwrap_or(frame))?)
    }
}

/// The bound that lies on one side of the threshold with everything that it bounds.
fn settled_by(Bounds { lower, upper }: Bounds, threshold: f32) -> Option<(AnomalyMap, ImageScore, Vec<f32>)> {
    // A mean of pixels may round either way. A bound that is not a finite number is a fault, and settles nothing.
    let rounding = 1e-5 * threshold.abs();
    if decide(&lower.1, threshold + rounding) == Verdict::Reject {
        return Some(lower);
    }
    upper.filter(|upper| decide(&upper.1, threshold - rounding) == Verdict::Accept)
}
