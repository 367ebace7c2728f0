//! A bundle on a labelled set, by the runtime's own stages and metrics.

use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{CaptureError, decode};
use mudenet_edge::inspector::{InspectError, Inspector};
use mudenet_edge::metric::dataset::DataSet;
use mudenet_edge::metric::{EvaluationError, Evaluator};
use serde::{Deserialize, Serialize};

/// The figures that an ablation compares, percent; `None` where undefined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// AUROC of the image scores.
    pub image_auroc: Option<f64>,
    /// AUROC of all pixels.
    pub pixel_auroc: Option<f64>,
    /// PRO up to a false-positive rate of 0.3.
    pub pro: Option<f64>,
}

/// A bundle that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] CaptureError),
    /// An image cannot be inspected.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The figures cannot be had.
    #[error(transparent)]
    Evaluate(#[from] EvaluationError),
}

/// Measures `bundle` on `set`.
///
/// # Errors
/// `MeasureError`, naming the image.
pub fn evaluate(bundle: &Bundle, set: &DataSet) -> Result<Outcome, MeasureError> {
    let mut inspector = Inspector::new(bundle)?;
    let evaluator = Evaluator::new(set);
    for (index, sample) in set.samples.iter().enumerate() {
        let frame = decode(&sample.image)?;
        let inspection = inspector.inspect(&frame)?;
        evaluator.add(index, &inspection.map, inspection.score.value, frame.height(), frame.width())?;
    }
    let figures = evaluator.finish()?.figures;
    let percent = |figure: Option<f64>| figure.map(|figure| 100.0 * figure);
    Ok(Outcome {
        image_auroc: percent(figures.image_auroc),
        pixel_auroc: percent(figures.pixel_auroc),
        pro: percent(figures.pro),
    })
}
