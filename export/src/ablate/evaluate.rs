//! A bundle on a labelled set, by the runtime's own stages and metrics.

use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{CaptureError, decode};
use mudenet_edge::inspector::{InspectError, Inspector};
use mudenet_edge::metric::dataset::{DataSet, DataSetError, Layout};
use mudenet_edge::metric::{EvaluationError, Evaluator};
use serde::{Deserialize, Serialize};
use std::path::Path;

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

/// The test set in `folder`, its layout by what it holds: `defects_config.json` is MVTec LOCO, `test` MVTec AD,
/// `../split_csv` VisA, `good` and `bad` a plain set.
///
/// # Errors
/// [`DataSetError`], also where it is none of them.
pub fn open(folder: &Path) -> Result<DataSet, DataSetError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let visa = absolute.parent().is_some_and(|parent| parent.join("split_csv").is_dir());
    let layout = if folder.join("defects_config.json").is_file() {
        Layout::Loco
    } else if folder.join("test").is_dir() {
        Layout::Mvtec
    } else if visa {
        Layout::Visa
    } else if folder.join("good").is_dir() && folder.join("bad").is_dir() {
        Layout::Folder
    } else {
        let reason = "holds no labelled set: expected test/, good/ and bad/, or an object of VisA".into();
        return Err(DataSetError { path: folder.to_owned(), reason });
    };
    DataSet::open(folder, layout, None)
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
