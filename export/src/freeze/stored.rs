//! A bundle in fewer bits, and what that does to its scores.

use super::{FreezeError, FreezeOptions, Start, peers};
use crate::checkpoint::ModelRun;
use crate::quantize::{self, Form, Layer, QuantizeError, Settings};
use crate::train::Networks;
use mudenet_edge::bundle::{AgreementObserver, Bundle, Meta, StorageForm, StorageReport, TestReport};
use mudenet_edge::capture::{Frame, decode};
use mudenet_edge::infer::{Engine, LevelScores, Scorer, TractScorer};
use mudenet_edge::inspector::Inspector;
use mudenet_edge::metric::dataset::{DataSet, Layout};
use mudenet_edge::metric::{EvaluationError, Evaluator, Figures, rank_correlation};
use mudenet_edge::preprocess::{ModelInput, Preprocess};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Training images that are looked at to quantize.
pub const CALIBRATION_IMAGES: usize = 16;

/// What is measured beside the held-back images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// Images of good parts to quantize on, instead of the run's training images.
    pub calibration: Option<PathBuf>,
    /// A labelled set: MVTec AD, MVTec LOCO or `good` and `bad` folders.
    pub test: Option<PathBuf>,
    /// A Python with onnxruntime, openvino or both.
    pub peers: Option<PathBuf>,
    /// Keep the file whatever was measured.
    pub force: bool,
}

/// A bundle in fewer bits.
#[derive(Clone, Debug)]
pub struct Stored {
    /// It.
    pub bundle: Bundle,
    /// What was measured for each layer.
    pub layers: Vec<Layer>,
    /// Limits that it does not keep: a sentence each.
    pub beyond: Vec<String>,
}

/// What is accepted of a form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Change of image AUROC on labelled images, either way.
    pub image_auroc: f64,
    /// Change of PRO on labelled images, either way.
    pub pro: f64,
    /// Mean difference of an output from the f32 model's, relative.
    pub mean: f32,
    /// Largest difference of an image score between runtimes, relative.
    pub score: f32,
}

impl Limits {
    /// The limits of `form`.
    pub fn of(form: StorageForm) -> Self {
        match form {
            StorageForm::F16 => Self { image_auroc: 0.002, pro: 0.003, mean: 1e-3, score: 0.01 },
            StorageForm::Weights => Self { image_auroc: 0.002, pro: 0.003, mean: 0.05, score: 0.01 },
            StorageForm::Full => Self { image_auroc: 0.005, pro: 0.010, mean: 0.10, score: 0.01 },
        }
    }

    /// What of `report` is beyond them: a sentence each.
    pub fn beyond(&self, report: &StorageReport) -> Vec<String> {
        let mut beyond = Vec::new();
        for (name, difference) in report.float.outputs() {
            // A difference that is not a number is beyond any limit.
            if !matches!(
                difference.mean.partial_cmp(&self.mean),
                Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
            ) {
                let (got, limit) = (difference.mean, self.mean);
                beyond.push(format!("`{name}` differs from f32 by {got:.1e} on average, more than {limit:.0e}"));
            }
        }
        for (runtime, agreement) in &report.runtimes {
            if agreement.score.is_nan() || agreement.score > self.score {
                let (got, limit) = (100.0 * agreement.score, 100.0 * self.score);
                beyond.push(format!("image scores in {runtime} differ by {got:.2} %, more than {limit} %"));
            }
        }
        if let Some(test) = &report.test {
            let figures = [("image AUROC", test.image_auroc, self.image_auroc), ("PRO", test.pro, self.pro)];
            for (name, pair, limit) in figures {
                if let Some(change) = TestReport::change(pair).filter(|change| change.abs() > limit) {
                    let (got, limit) = (100.0 * change, 100.0 * limit);
                    beyond.push(format!("{name} changes by {got:+.2} points, more than {limit}"));
                }
            }
        }
        beyond
    }
}

/// One image through a bundle.
pub(super) struct Scored {
    pub levels: LevelScores,
    pub score: f32,
}

/// The image score that `meta` makes of level scores.
pub(super) fn image_score(meta: &Meta, levels: &LevelScores) -> Result<f32, FreezeError> {
    let (height, width) = (meta.preprocess.height, meta.preprocess.width);
    Ok(meta.scoring.apply(levels, height, width)?.1.value)
}

/// Makes the bundle of a trained run with its numbers stored as `settings` say; ranges and threshold are measured on the
/// stored numbers.
///
/// # Errors
/// [`FreezeError`]; [`FreezeError::Limits`] where the scores change more than [`Limits`] allows, unless forced.
pub fn freeze_stored(
    run: &ModelRun,
    networks: &Networks,
    options: &FreezeOptions,
    settings: &Settings,
    checks: &Checks,
) -> Result<Stored, FreezeError> {
    let start = Start::new(run, networks, options)?;
    let float = start.settle(&start.onnx, options)?;
    let images = calibration(run, checks, &start.meta.preprocess)?;
    let quantize::Quantized { model: onnx, layers } = quantize::quantize(&start.onnx, &images, settings)?;
    let form = match settings.form {
        Form::F16 => StorageForm::F16,
        Form::Weights => StorageForm::Weights,
        Form::Full => StorageForm::Full,
    };
    let stored = start.settle(&onnx, options)?;
    let inputs = start.inputs()?;
    let (exact, got) = (scored(&float, &inputs)?, scored(&stored, &inputs)?);
    let mut observer = AgreementObserver::default();
    got.iter().zip(&exact).for_each(|(a, b)| observer.observe((&a.levels, a.score), (&b.levels, b.score)));
    let kept = |layer: &&Layer| !layer.weights_quantized || (form == StorageForm::Full && !layer.input_quantized);
    let runtimes = match &checks.peers {
        Some(python) => peers::compare(python, &stored, &inputs, &got)?,
        None => Default::default(),
    };
    let report = StorageReport {
        form,
        method: settings.rounding.words().to_owned(),
        images: images.size()[0] as usize,
        float_layers: layers.iter().filter(kept).map(|layer| layer.name.clone()).collect(),
        float: observer.finish(),
        runtimes,
        test: checks.test.as_deref().map(|folder| test(folder, &float, &stored)).transpose()?,
    };
    let beyond = Limits::of(form).beyond(&report);
    if !beyond.is_empty() && !checks.force {
        return Err(FreezeError::Limits(beyond.join("; ")));
    }
    let mut meta = stored.meta().clone();
    meta.parity.storage = Some(report);
    Ok(Stored { bundle: Bundle::assemble(onnx, &meta).map_err(FreezeError::Bundle)?, layers, beyond })
}

fn scored(bundle: &Bundle, inputs: &[ModelInput]) -> Result<Vec<Scored>, FreezeError> {
    let mut scorer = TractScorer::with_engine(bundle, Engine::from_environment()?)?;
    let one = |input| {
        let levels = scorer.score(input)?;
        Ok(Scored { score: image_score(bundle.meta(), &levels)?, levels })
    };
    inputs.iter().map(one).collect()
}

/// Up to [`CALIBRATION_IMAGES`], evenly chosen, as the networks see them: (B, 3, H, W).
fn calibration(run: &ModelRun, checks: &Checks, preprocess: &Preprocess) -> Result<Tensor, FreezeError> {
    let paths = match &checks.calibration {
        Some(folder) => mudenet_edge::capture::pictures_below(folder)?,
        None => run.training.clone(),
    };
    let count = paths.len().min(CALIBRATION_IMAGES);
    let mut images = Vec::with_capacity(count);
    for path in (0..count).filter_map(|index| paths.get(index * paths.len() / count)) {
        let input = preprocess.apply(&decode(path)?)?;
        let shape = [3, input.height() as i64, input.width() as i64];
        images.push(Tensor::from_slice(input.values()).view(shape));
    }
    if images.is_empty() {
        return Err(QuantizeError::TooFew(0).into());
    }
    Ok(Tensor::stack(&images, 0))
}

/// Both bundles on the labelled set in `folder`.
fn test(folder: &Path, float: &Bundle, stored: &Bundle) -> Result<TestReport, FreezeError> {
    let set = Layout::of(folder, None).and_then(|layout| DataSet::open(folder, layout, None));
    let set = set.map_err(EvaluationError::from)?;
    let mut inspectors = [Inspector::new(float)?, Inspector::new(stored)?];
    let evaluators = [Evaluator::new(&set), Evaluator::new(&set)];
    let mut scores = [vec![], vec![]];
    let mut flips = 0;
    for (index, sample) in set.samples.iter().enumerate() {
        let frame: Frame = decode(&sample.image)?;
        let mut verdicts = Vec::new();
        for ((inspector, evaluator), scores) in inspectors.iter_mut().zip(&evaluators).zip(&mut scores) {
            let inspection = inspector.inspect(&frame)?;
            let score = inspection.score.value;
            evaluator.add(index, &inspection.map, score, frame.height(), frame.width())?;
            scores.push(score);
            verdicts.push(inspection.verdict);
        }
        flips += usize::from(verdicts.windows(2).any(|pair| pair[0] != pair[1]));
    }
    let [exact, got] = evaluators.map(Evaluator::finish);
    let figures: [Figures; 2] = [exact?.figures, got?.figures];
    let pair = |figure: fn(&Figures) -> Option<f64>| [figure(&figures[0]), figure(&figures[1])];
    Ok(TestReport {
        images: set.samples.len(),
        image_auroc: pair(|f| f.image_auroc),
        pixel_auroc: pair(|f| f.pixel_auroc),
        pro: pair(|f| f.pro),
        flips,
        rank_correlation: rank_correlation(&scores[0], &scores[1]),
    })
}
