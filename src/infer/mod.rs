//! [`ModelInput`] → [`LevelScores`].

mod engine;
mod fuse;
mod kernels;
mod operator;
mod tract;

use crate::map::Branch;
use crate::preprocess::ModelInput;
pub use kernels::Isa;
pub use operator::Operator;
pub use tract::{ENGINE_VARIABLE, Engine, ISA_VARIABLE, TractScorer};

/// Squared differences of the networks' embeddings, summed over channels (Eq. 9, 10), ≥ 0: for each branch L maps of
/// (h, w) cells.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelScores {
    levels: usize,
    height: usize,
    width: usize,
    structural: Vec<f32>,
    logical: Vec<f32>,
}

impl LevelScores {
    /// Scores in (level, row, column) order.
    ///
    /// # Errors
    /// [`InferError::Shape`] where a branch does not have `levels · height · width` values, or there are none.
    pub fn new(
        levels: usize,
        height: usize,
        width: usize,
        structural: Vec<f32>,
        logical: Vec<f32>,
    ) -> Result<Self, InferError> {
        let expected = levels * height * width;
        if expected == 0 || structural.len() != expected || logical.len() != expected {
            return Err(InferError::Shape(format!(
                "expected {levels}×{height}×{width} scores a branch, got {} structural and {} logical",
                structural.len(),
                logical.len()
            )));
        }
        Ok(Self { levels, height, width, structural, logical })
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Rows of cells.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of cells.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One level's cells, `height · width` of them; empty past the last level.
    pub fn level(&self, branch: Branch, level: usize) -> &[f32] {
        let area = self.height * self.width;
        self.branch(branch).get(level * area..(level + 1) * area).unwrap_or_default()
    }

    /// All levels of one branch in (level, row, column) order.
    pub fn branch(&self, branch: Branch) -> &[f32] {
        match branch {
            Branch::Structural => &self.structural,
            Branch::Logical => &self.logical,
        }
    }
}

/// Runs the networks of a bundle.
pub trait Scorer: Send {
    /// Scores one input.
    ///
    /// # Errors
    /// [`InferError`] where the input has the wrong shape or the engine fails.
    fn score(&mut self, input: &ModelInput) -> Result<LevelScores, InferError>;
}

/// Why there are no scores.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The graph cannot be made ready to run.
    #[error("the network cannot be prepared: {0}")]
    Load(String),
    /// The engine failed on one input.
    #[error("the network failed: {0}")]
    Run(String),
    /// A shape that does not fit.
    #[error("{0}")]
    Shape(String),
}
