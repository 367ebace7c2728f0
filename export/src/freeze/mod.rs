//! Freezing: networks → bundle, with ranges, threshold and parity measured on the file itself.

mod graph;
mod network;
mod parity;

use crate::assumptions::choices as assumptions;
use crate::checkpoint::ModelRun;
use crate::quantize::QuantizeError;
use crate::train::Networks;
pub(crate) use graph::value_info;
use mudenet_edge::bundle::{Bundle, Meta, Parity, RuntimeParity};
use mudenet_edge::capture::{CaptureError, Frame, decode};
use mudenet_edge::decide::{Threshold, provisional};
use mudenet_edge::infer::{InferError, Scorer, TractScorer};
use mudenet_edge::inspector::{InspectError, Inspector};
use mudenet_edge::map::{Gaussian, MapError, Range, RangeObserver, Ranges, Scoring, Upsample};
use mudenet_edge::preprocess::{Preprocess, PreprocessError};
pub use network::to_onnx;
pub use parity::{PARITY_LIMIT, torch_scores};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the freezer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeOptions {
    /// Outer map cells left out; `None`: one for each 64 pixels of the input's side.
    pub margin: Option<usize>,
    /// Smoothing in pixels of the input; `None`: 4 at 256 pixels, in proportion elsewhere.
    pub sigma: Option<f32>,
    /// Limit each normalised branch to 0–1.
    pub clamp: bool,
    /// A threshold set by hand; `None`: [`provisional`] over the held-back good images.
    pub threshold: Option<f32>,
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A held-back image cannot be read.
    #[error(transparent)]
    Image(#[from] CaptureError),
    /// A held-back image cannot be resized.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The run has no held-back image.
    #[error("the run holds back no good image, so there is nothing to measure ranges on")]
    NoImages,
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// The frozen graph does not run.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The frozen graph does not inspect.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// Margin and map do not fit.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The graph cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The bundle fails its own checks.
    #[error("the frozen model {0}")]
    Bundle(String),
    /// The runtime's scores differ from the trainer's.
    #[error(
        "{}: `{output}` from the frozen model differs from training by {error:.1e} relative, more than {PARITY_LIMIT:.0e}; \
         nothing was written",
        image.display()
    )]
    Parity {
        /// The image it was seen on.
        image: PathBuf,
        /// `structural` or `logical`.
        output: &'static str,
        /// Relative to the output's largest value.
        error: f32,
    },
}

/// Makes the bundle of a trained run.
///
/// # Errors
/// [`FreezeError`]; a bundle whose scores differ from training's is an error.
pub fn freeze(run: &ModelRun, networks: &Networks, options: &FreezeOptions) -> Result<Bundle, FreezeError> {
    let size = run.architecture.size as usize;
    let onnx = to_onnx(networks, &run.architecture)?;
    let frames: Vec<(&PathBuf, Frame)> =
        run.held_back.iter().map(|path| Ok((path, decode(path)?))).collect::<Result<_, CaptureError>>()?;

    let mut meta = unranged_meta(size);
    meta.scoring.clamp = options.clamp;
    if let Some(margin) = options.margin {
        meta.scoring.margin = margin;
    }
    if let Some(sigma) = options.sigma {
        meta.scoring.gaussian = Gaussian::new(sigma);
    }
    meta.assumptions = assumptions(run);
    meta.training = training(run);
    let unscored = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
    let mut scorer = TractScorer::new(&unscored)?;
    let mut observer = RangeObserver::new(meta.scoring.margin);
    for (path, frame) in &frames {
        let input = meta.preprocess.apply(frame)?;
        let scores = scorer.score(&input)?;
        parity::check(path, &scores, &torch_scores(networks, &input)?, &mut meta.parity)?;
        observer.observe(&scores)?;
    }
    meta.scoring.ranges = observer.finish().ok_or(FreezeError::NoImages)?;

    let ranged = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
    let mut inspector = Inspector::new(&ranged)?;
    for (_, frame) in &frames {
        meta.parity.good_scores.push(inspector.inspect(frame)?.score.value);
    }
    meta.parity.good_scores.sort_by(f32::total_cmp);
    meta.threshold = match options.threshold {
        Some(value) => Threshold::manual(value),
        None => provisional(&meta.parity.good_scores).ok_or(FreezeError::NoImages)?,
    };
    Bundle::assemble(onnx, &meta).map_err(FreezeError::Bundle)
}

/// The defaults at `size` pixels a side, with ranges 0–1 and a threshold of 0.
pub(crate) fn unranged_meta(size: usize) -> Meta {
    let unranged = vec![Range { min: 0.0, max: 1.0 }; crate::model::LEVELS];
    Meta {
        preprocess: Preprocess::imagenet(size),
        scoring: Scoring {
            ranges: Ranges { structural: unranged.clone(), logical: unranged },
            epsilon: 1e-8,
            clamp: false,
            margin: size / 64,
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(size as f32 / 64.0),
        },
        threshold: Threshold::manual(0.0),
        assumptions: BTreeMap::new(),
        training: BTreeMap::new(),
        parity: Parity { images: 0, tract: RuntimeParity { structural: 0.0, logical: 0.0 }, good_scores: vec![] },
    }
}

fn training(run: &ModelRun) -> BTreeMap<String, serde_json::Value> {
    [
        ("architecture", json(&run.architecture)),
        ("settings", json(&run.settings)),
        ("steps", json(&run.steps)),
        ("losses", json(&run.losses)),
        ("training_images", json(&run.training.len())),
        ("held_back_images", json(&run.held_back.len())),
        ("backbone", json(&run.teacher.backbone)),
        ("teacher_settings", json(&run.teacher.settings)),
        ("teacher_steps", json(&run.teacher.steps)),
        ("teacher_images", json(&run.teacher.images)),
        ("teacher_loss", json(&run.teacher.loss)),
        ("channels", json(&run.teacher.channels)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}
