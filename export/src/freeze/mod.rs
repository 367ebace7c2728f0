//! Freezing: networks → bundle, with ranges, threshold and parity measured on the file itself.

mod earned;
mod good_parts;
mod graph;
mod network;
mod parity;
mod peers;
mod remembered;
mod stored;

use crate::assumptions::choices as assumptions;
use crate::checkpoint::ModelRun;
use crate::data::{DataError, Images};
use crate::memory::{Distance, Remembered};
use crate::model::choice_name;
use crate::quantize::QuantizeError;
use crate::train::Networks;
pub(crate) use graph::value_info;
use mudenet_edge::bundle::{Bundle, Meta, Parity, RuntimeParity, pb};
use mudenet_edge::capture::{CaptureError, Frame, decode};
use mudenet_edge::decide::{Threshold, provisional};
use mudenet_edge::infer::{Engine, InferError, Scorer, TractScorer};
use mudenet_edge::inspector::{InspectError, Inspector};
use mudenet_edge::map::{Gaussian, MapError, Range, RangeObserver, RangeStatistic, Ranges, Scoring, Upsample, Weights};
use mudenet_edge::metric::EvaluationError;
use mudenet_edge::preprocess::{ModelInput, Preprocess, PreprocessError};
pub use network::to_onnx;
pub use parity::{MEMORY_PARITY_LIMIT, PARITY_LIMIT, torch_scores};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
pub use stored::{CALIBRATION_IMAGES, Checks, Limits, Stored, freeze_stored};

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
    /// Embeddings of good parts to remember; 0 leaves the memory out.
    pub memory: usize,
    /// Whose embeddings are remembered; `None`: those of the first stage where the run has one, else the teacher's.
    pub remembered: Option<Remembered>,
    /// How the memory's distances count.
    pub distance: Distance,
    /// Directions in which good parts may vary as a whole, beside which the memory sees what does not belong together; 0
    /// leaves the layout out.
    pub layout: usize,
    /// How much each branch counts; `None`: as much as the trained branches earn on made-up damage beside a memory,
    /// and all alike without one.
    pub weights: Option<Weights>,
    /// What of the held-back images' scores a range spans.
    pub ranges: RangeStatistic,
    /// How many of the map's largest pixels an image score is the mean of.
    pub top: NonZeroUsize,
}

impl FreezeOptions {
    /// Scoring without a memory, both branches alike (Eq. 11).
    pub const PAPER: Self = Self {
        margin: None,
        sigma: None,
        clamp: false,
        threshold: None,
        memory: 0,
        remembered: None,
        distance: Distance::Root,
        layout: 0,
        weights: Some(Weights { structural: 1.0, logical: 1.0, memory: 1.0 }),
        ranges: RangeStatistic::MinMax,
        top: NonZeroUsize::MIN,
    };
}

impl FreezeOptions {
    /// What `observer` saw; `None` for nothing.
    fn ranges(&self, observer: RangeObserver) -> Option<Ranges> {
        let memory_root = self.memory > 0 && self.distance == Distance::Root;
        observer.finish().map(|ranges| Ranges { memory_root, ..ranges })
    }

    /// What was chosen of `scoring`, by assumption and named as on the command line.
    fn assumptions(&self, scoring: &Scoring) -> impl Iterator<Item = (String, String)> {
        let Weights { structural, logical, memory } = scoring.weights;
        let ranges = match self.ranges {
            RangeStatistic::MinMax => "min-max",
            RangeStatistic::Quantiles => "quantiles",
        };
        [
            ("A-016", format!("sigma {}", scoring.gaussian.sigma)),
            ("A-020", format!("clamp {}", if self.clamp { "on" } else { "off" })),
            ("A-026", format!("memory {}", self.memory)),
            ("A-027", format!("weights {structural},{logical},{memory}")),
            ("A-030", format!("ranges {ranges}")),
            ("A-031", format!("top {}", self.top)),
            ("A-032", format!("layout {}", self.layout)),
        ]
        .into_iter()
        .map(|(key, choice)| (key.to_owned(), choice))
    }
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A held-back image cannot be read.
    #[error(transparent)]
    Image(#[from] CaptureError),
    /// A training image cannot be read again.
    #[error(transparent)]
    Training(#[from] DataError),
    /// A held-back image cannot be resized.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The run has no held-back image.
    #[error("the run holds back no good image, so there is nothing to measure ranges on")]
    NoImages,
    /// The first stage is to be remembered, and the run has none.
    #[error(
        "the teacher was distilled without the backbone's first stage (A-029): distil again, or give --remember teacher"
    )]
    NoFirstStage,
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
    /// The labelled images cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluationError),
    /// The other runtimes do not answer.
    #[error("the runtimes of {} cannot be compared with: {reason}", python.display())]
    Peers {
        /// The Python.
        python: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The scores change too much.
    #[error("{0}; nothing was written (--force writes it nevertheless)")]
    Limits(String),
    /// The bundle fails its own checks.
    #[error("the frozen model {0}")]
    Bundle(String),
    /// The runtime's scores differ from the trainer's.
    #[error(
        "{}: `{output}` from the frozen model differs from training by {error:.1e} relative, more than {limit:.0e}; \
         nothing was written",
        image.display()
    )]
    Parity {
        /// The image it was seen on.
        image: PathBuf,
        /// `structural`, `logical` or `memory`.
        output: &'static str,
        /// Relative to the output's largest value.
        error: f32,
        /// What is accepted.
        limit: f32,
    },
}

/// Makes the bundle of a trained run, in f32.
///
/// # Errors
/// [`FreezeError`]; a bundle whose scores differ from training's is an error.
pub fn freeze(run: &ModelRun, networks: &Networks, options: &FreezeOptions) -> Result<Bundle, FreezeError> {
    let start = Start::new(run, networks, options)?;
    start.settle(&start.onnx, options)
}

/// A graph whose f32 form was compared with training, and the held-back good images.
struct Start {
    onnx: pb::ModelProto,
    meta: Meta,
    frames: Vec<Frame>,
}

impl Start {
    fn new(run: &ModelRun, networks: &Networks, options: &FreezeOptions) -> Result<Self, FreezeError> {
        let frames = run.held_back.iter().map(|path| decode(path)).collect::<Result<Vec<_>, CaptureError>>()?;
        let mut meta = unranged_meta(run.architecture.size as usize);
        let memory = match options.memory {
            0 => None,
            count => Some(good_parts::remembered(run, networks, options, count, (&frames, &meta))?),
        };
        let onnx = to_onnx(networks, &run.architecture, memory.as_ref())?;
        meta.scoring.clamp = options.clamp;
        meta.scoring.top = options.top;
        if memory.is_some() {
            meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
        }
        if let Some(margin) = options.margin {
            meta.scoring.margin = margin;
        }
        if let Some(sigma) = options.sigma {
            meta.scoring.gaussian = Gaussian::new(sigma);
        }
        meta.training = training(run);
        let unscored = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
        let mut scorer = TractScorer::with_engine(&unscored, Engine::from_environment()?)?;
        let mut observer = RangeObserver::new(meta.scoring.margin, options.ranges);
        for (path, frame) in run.held_back.iter().zip(&frames) {
            let input = meta.preprocess.apply(frame)?;
            let scores = scorer.score(&input)?;
            observer.observe(&scores)?;
            parity::check(path, &scores, &torch_scores(networks, memory.as_ref(), &input)?, &mut meta.parity)?;
        }
        let mut earned = None;
        match (options.weights, options.memory) {
            (Some(weights), _) => meta.scoring.weights = weights,
            (None, 0) => {}
            (None, _) => {
                let images = Images::read(&run.held_back, run.architecture.size)?;
                let ranges = options.ranges(observer).ok_or(FreezeError::NoImages)?;
                let trial = earned::earned(&mut scorer, &images, &meta.scoring, ranges, run.settings.seed)?;
                meta.scoring.weights = trial.weights;
                earned = Some(trial);
            }
        }
        meta.assumptions = assumptions(run);
        meta.assumptions.extend(options.assumptions(&meta.scoring));
        if let (Some(weights), Some(earned)) = (meta.assumptions.get_mut("A-027"), earned) {
            *weights += &format!(" ({earned})");
        }
        if let Some(border) = meta.assumptions.get_mut("A-017") {
            *border += &format!(", margin {}", meta.scoring.margin);
        }
        if let Some(memory) = &memory {
            meta.assumptions.insert("A-029".into(), format!("remember {}", choice_name(&memory.remembered)));
        }
        Ok(Self { onnx, meta, frames })
    }

    /// The held-back good images as the networks see them.
    fn inputs(&self) -> Result<Vec<ModelInput>, PreprocessError> {
        self.frames.iter().map(|frame| self.meta.preprocess.apply(frame)).collect()
    }

    /// `onnx`, a form of the graph, with ranges and threshold measured on it.
    fn settle(&self, onnx: &pb::ModelProto, options: &FreezeOptions) -> Result<Bundle, FreezeError> {
        let mut meta = self.meta.clone();
        let unscored = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
        let mut scorer = TractScorer::with_engine(&unscored, Engine::from_environment()?)?;
        let mut observer = RangeObserver::new(meta.scoring.margin, options.ranges);
        for input in self.inputs()? {
            observer.observe(&scorer.score(&input)?)?;
        }
        meta.scoring.ranges = options.ranges(observer).ok_or(FreezeError::NoImages)?;

        let ranged = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
        let mut inspector = Inspector::new(&ranged)?;
        for frame in &self.frames {
            meta.parity.good_scores.push(inspector.inspect(frame)?.score.value);
        }
        meta.parity.good_scores.sort_by(f32::total_cmp);
        meta.threshold = match options.threshold {
            Some(value) => Threshold::manual(value),
            None => provisional(&meta.parity.good_scores).ok_or(FreezeError::NoImages)?,
        };
        Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)
    }
}

/// The defaults at `size` pixels a side, with ranges 0–1 and a threshold of 0.
pub(crate) fn unranged_meta(size: usize) -> Meta {
    let unranged = vec![Range { min: 0.0, max: 1.0 }; crate::model::LEVELS];
    Meta {
        preprocess: Preprocess::imagenet(size),
        scoring: Scoring {
            ranges: Ranges { structural: unranged.clone(), logical: unranged, ..Ranges::default() },
            epsilon: 1e-8,
            clamp: false,
            margin: size / 64,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(size as f32 / 64.0),
            top: NonZeroUsize::MIN,
        },
        threshold: Threshold::manual(0.0),
        assumptions: BTreeMap::new(),
        training: BTreeMap::new(),
        parity: Parity { images: 0, tract: RuntimeParity::default(), good_scores: vec![], storage: None },
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
        ("first_stage_channels", json(&run.teacher.first_stage)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}
