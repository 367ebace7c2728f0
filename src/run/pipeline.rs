//! One frame inspected.

use crate::bundle::{Bundle, BundleError};
use crate::capture::{Frame, Region};
use crate::guard::{Panicked, guarded};
use crate::inspector::{InspectError, Inspection, Inspector};
use crate::map::Zones;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// An [`Inspector`] whose every failure, panics included, is a [`Fault`], and that times what it does.
pub struct Pipeline {
    inspector: Inspector,
}

/// What became of one frame.
#[derive(Debug)]
pub struct Outcome {
    /// What it showed; its verdict is accept or reject.
    pub result: Result<Inspection, Fault>,
    /// From the decoded frame to the verdict: preprocess, infer, map and decide. Reading, decoding and recording are
    /// not in it.
    pub elapsed: Duration,
}

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not a usable bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its networks cannot be prepared.
    #[error("{}: {source}", path.display())]
    Prepare {
        /// The model file.
        path: PathBuf,
        /// Why.
        source: InspectError,
    },
    /// Preparing it panicked.
    #[error("{}: cannot be prepared: {source}", path.display())]
    Panicked {
        /// The model file.
        path: PathBuf,
        /// The panic's message.
        source: Panicked,
    },
}

/// A frame without a verdict; its part is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A stage failed.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The score or the threshold is not a finite number.
    #[error("the score {score} cannot be compared with the threshold {threshold}")]
    NotFinite {
        /// The frame's score.
        score: f32,
        /// The threshold in use.
        threshold: f32,
    },
    /// A stage panicked.
    #[error("the inspection failed: {0}")]
    Panicked(#[from] Panicked),
}

/// Today's date in UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

/// Now, for records and logs; never for control.
#[expect(clippy::disallowed_methods, reason = "this module is the home of the clock")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

impl Pipeline {
    /// Reads and prepares a model file; `threshold` replaces the model's own.
    ///
    /// # Errors
    /// [`LoadError`], naming the file.
    pub fn load(model: &Path, threshold: Option<f32>) -> Result<Self, LoadError> {
        let load = || {
            let bundle = Bundle::load(model)?;
            Inspector::new(bundle).map_err(|source| LoadError::Prepare { path: model.to_owned(), source })
        };
        let inspector = guarded(load).map_err(|source| LoadError::Panicked { path: model.to_owned(), source })??;
        Ok(Self::new(match threshold {
            Some(threshold) => inspector.with_threshold(threshold),
            None => inspector,
        }))
    }

    /// A pipeline over a prepared inspector.
    pub fn new(inspector: Inspector) -> Self {
        Self { inspector }
    }

    /// The threshold in use.
    pub fn threshold(&self) -> f32 {
        self.inspector.threshold()
    }

    /// The part of each frame that is inspected; `None` is all of it.
    pub fn region(&self) -> Option<Region> {
        self.inspector.region()
    }

    /// The parts of the picture with thresholds of their own.
    pub fn zones(&self) -> Option<&Zones> {
        self.inspector.zones()
    }

    /// The part of `frame` that is inspected and that maps are of.
    pub fn view(&self, frame: Frame) -> Frame {
        match self.inspector.view(&frame) {
            Ok(Some(view)) => view,
            Ok(None) | Err(_) => frame,
        }
    }

    /// Inspects one frame and takes the time.
    #[expect(clippy::disallowed_methods, reason = "this module is the home of the clock")]
    pub fn inspect(&mut self, frame: &Frame) -> Outcome {
        let start = Instant::now();
        let result = self.result(frame);
        Outcome { result, elapsed: start.elapsed() }
    }

    fn result(&mut self, frame: &Frame) -> Result<Inspection, Fault> {
        let inspection = guarded(|| self.inspector.inspect(frame))??;
        if inspection.verdict == crate::decide::Verdict::Fault {
            return Err(Fault::NotFinite { score: inspection.score.value, threshold: self.threshold() });
        }
        Ok(inspection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Samples;
    use crate::decide::Verdict;
    use crate::infer::{InferError, LevelScores, Scorer};
    use crate::map::{Gaussian, Range, Ranges, Scoring, Upsample, Weights};
    use crate::preprocess::{ModelInput, Preprocess};

    /// Gives its value everywhere, or panics without one.
    struct Constant(Option<f32>);

    impl Scorer for Constant {
        fn score(&mut self, _input: &ModelInput) -> Result<LevelScores, InferError> {
            let Some(value) = self.0 else { panic!("no value") };
            LevelScores::new(1, 8, 8, vec![value; 64], vec![0.0; 64])
        }
    }

    fn outcome(value: Option<f32>) -> Outcome {
        let unit = vec![Range { min: 0.0, max: 1.0 }];
        let scoring = Scoring {
            ranges: Ranges { structural: unit.clone(), logical: unit, ..Ranges::default() },
            epsilon: 0.0,
            clamp: false,
            margin: 0,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(0.0),
            top: std::num::NonZeroUsize::MIN,
        };
        let inspector = Inspector::from_parts(Preprocess::imagenet(64), scoring, Box::new(Constant(value)), 2.0);
        Pipeline::new(inspector).inspect(&Frame::new(16, 16, Samples::Rgb8(vec![9; 768])).unwrap())
    }

    #[test]
    fn scores_become_verdicts_and_everything_else_a_fault() {
        assert_eq!(outcome(Some(1.5)).result.unwrap().verdict, Verdict::Accept);
        assert_eq!(outcome(Some(2.5)).result.unwrap().verdict, Verdict::Reject);
        assert!(matches!(outcome(Some(f32::NAN)).result, Err(Fault::NotFinite { .. })));
        let fault = outcome(None).result.unwrap_err();
        assert_eq!(fault.to_string(), "the inspection failed: an internal error: no value");
    }
}
