//! Golden samples: known parts that must be judged right before a recipe may be used.

use crate::capture::{CaptureError, decode, pictures_below};
use crate::decide::Verdict;
use crate::guard::guarded;
use crate::run::Pipeline;
use std::path::{Path, PathBuf};

/// Pictures of parts that are known to be good or bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenSet {
    good: Vec<PathBuf>,
    bad: Vec<PathBuf>,
}

/// What became of one golden sample.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenResult {
    /// Its picture.
    pub picture: PathBuf,
    /// [`Verdict::Accept`] or [`Verdict::Reject`].
    pub expected: Verdict,
    /// Its verdict; [`Verdict::Fault`] where it could not be inspected.
    pub got: Verdict,
    /// Its score; `None` for a fault.
    pub score: Option<f32>,
    /// Why it could not be inspected.
    pub error: Option<String>,
}

/// What became of all golden samples.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenReport {
    /// Good ones, then bad ones, by name.
    pub results: Vec<GoldenResult>,
    /// The threshold in use.
    pub threshold: f32,
}

impl GoldenSet {
    /// The pictures below `folder/good` and `folder/bad`.
    ///
    /// # Errors
    /// [`CaptureError`] where either is missing or empty: a self-test without both proves nothing.
    pub fn open(folder: &Path) -> Result<Self, CaptureError> {
        Ok(Self { good: pictures_below(&folder.join("good"))?, bad: pictures_below(&folder.join("bad"))? })
    }

    /// Inspects every sample. A sample that cannot be inspected is a fault, which is never what is expected.
    pub fn check(&self, pipeline: &mut Pipeline) -> GoldenReport {
        let good = self.good.iter().map(|picture| (picture, Verdict::Accept));
        let bad = self.bad.iter().map(|picture| (picture, Verdict::Reject));
        let results = good.chain(bad).map(|(picture, expected)| judge(pipeline, picture, expected)).collect();
        GoldenReport { results, threshold: pipeline.threshold() }
    }
}

fn judge(pipeline: &mut Pipeline, picture: &Path, expected: Verdict) -> GoldenResult {
    let result = |got, score, error| GoldenResult { picture: picture.to_owned(), expected, got, score, error };
    let frame = match guarded(|| decode(picture)) {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => return result(Verdict::Fault, None, Some(error.to_string())),
        Err(error) => return result(Verdict::Fault, None, Some(error.to_string())),
    };
    match pipeline.inspect(&frame).result {
        Ok(inspection) => result(inspection.verdict, Some(inspection.score.value), None),
        Err(error) => result(Verdict::Fault, None, Some(error.to_string())),
    }
}

impl GoldenResult {
    /// Whether it was judged right.
    pub fn is_right(&self) -> bool {
        self.got == self.expected
    }
}

impl GoldenReport {
    /// Whether every sample was judged right.
    pub fn passed(&self) -> bool {
        self.results.iter().all(GoldenResult::is_right)
    }

    /// Highest score of the good samples and lowest of the bad ones; `None` where one of them could not be inspected.
    pub fn scores(&self) -> Option<(f32, f32)> {
        let (mut good, mut bad) = (f32::NEG_INFINITY, f32::INFINITY);
        for result in &self.results {
            match result.expected {
                Verdict::Accept => good = good.max(result.score?),
                _ => bad = bad.min(result.score?),
            }
        }
        Some((good, bad))
    }
}
