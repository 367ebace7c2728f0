//! How well a model tells good from bad: image AUROC, average precision, F1; pixel AUROC, PRO, sPRO.
//!
//! The protocols are those of the data sets' official evaluation code (MVTec AD, MVTec LOCO AD). All sweeps are exact:
//! every distinct score is a threshold, equal scores merge into one point.

mod area;
pub mod dataset;
mod evaluation;
mod image;
mod maps;
mod merge;
mod rank;
mod regions;
mod runs;
mod sweep;

pub use area::Point;
pub use evaluation::{Evaluation, EvaluationError, Evaluator, Figures, TypeFigures};
pub use image::{ImageFigures, Labelled, image_figures};
pub use maps::{find_map, read_map};
pub use rank::rank_correlation;
pub use regions::components;
pub use sweep::{Defect, PRO_LIMIT, PixelFigures, PixelSweep, SPRO_LIMITS, Truth};

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// Good or anomalous images are missing.
    #[error("AUROC is undefined: the set has no {missing} images")]
    OneClass {
        /// "good" or "anomalous".
        missing: &'static str,
    },
    /// NaN or infinity.
    #[error("a score is not a finite number")]
    NotFinite,
    /// A mask and a map of different sizes.
    #[error("the mask has {got} pixels, the map {expected}")]
    Size {
        /// Pixels of the map.
        expected: usize,
        /// Pixels of the mask.
        got: usize,
    },
    /// An image of a kind that was not announced.
    #[error("image kind {kind} of {kinds}")]
    Kind {
        /// The image's.
        kind: usize,
        /// How many there are.
        kinds: usize,
    },
    /// The temporary file for pixels that do not fit in memory.
    #[error("the temporary file for sorted pixels cannot be used: {0}")]
    Spill(std::io::Error),
}
