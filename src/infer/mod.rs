//! [`ModelInput`] → [`LevelScores`].

mod choice;
mod cuda;
mod device;
mod engine;
mod fuse;
mod kernels;
#[cfg(test)]
mod made;
mod operator;
mod tract;
mod tune;

use crate::map::{Branch, Grid, Upsample};
use crate::preprocess::ModelInput;
pub use choice::{ENGINE_VARIABLE, Engine, ISA_VARIABLE};
pub use cuda::check_cuda;
pub use device::Device;
pub use kernels::Isa;
pub use operator::Operator;
pub use tract::TractScorer;
pub use tune::{PlanSource, Tuner};

/// What the networks say of every cell, ≥ 0: L maps of (h, w) cells for each branch that compares embeddings (Eq. 9, 10),
/// and M for the memory, which has none where the bundle does not carry one.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelScores {
    levels: usize,
    height: usize,
    width: usize,
    structural: Vec<f32>,
    logical: Vec<f32>,
    memory: Vec<f32>,
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
        Ok(Self { levels, height, width, structural, logical, memory: Vec::new() })
    }

    /// Scores of the structural branch, in (level, row, column) order; the logical branch has no level.
    ///
    /// # Errors
    /// [`InferError::Shape`] where there are not `levels · height · width` values, or there are none.
    pub fn structural_only(
        levels: usize,
        height: usize,
        width: usize,
        structural: Vec<f32>,
    ) -> Result<Self, InferError> {
        Ok(Self { logical: Vec::new(), ..Self::new(levels, height, width, structural.clone(), structural)? })
    }

    /// The same with the scores of the logical branch, in (level, row, column) order.
    ///
    /// # Errors
    /// [`InferError::Shape`] where they are not as many as those of the structural branch.
    pub fn with_logical(mut self, logical: Vec<f32>) -> Result<Self, InferError> {
        if logical.len() != self.structural.len() {
            let expected = self.structural.len();
            return Err(InferError::Shape(format!("expected {expected} logical scores, got {}", logical.len())));
        }
        self.logical = logical;
        Ok(self)
    }

    /// Adds the memory's maps of (height, width) cells in (level, row, column) order, brought to the size of the other
    /// branches' maps.
    ///
    /// # Errors
    /// [`InferError::Shape`] where there are no values or they are not a whole number of maps.
    pub fn with_memory(mut self, height: usize, width: usize, values: &[f32]) -> Result<Self, InferError> {
        let area = height * width;
        if area == 0 || values.is_empty() || !values.len().is_multiple_of(area) {
            return Err(InferError::Shape(format!("expected maps of {height}×{width} cells, got {}", values.len())));
        }
        self.memory.clear();
        for map in values.chunks_exact(area) {
            let map = Grid { height, width, values: map.to_vec() };
            self.memory.extend(Upsample::HalfPixel.resize(&map, self.height, self.width).values);
        }
        Ok(self)
    }

    /// Number of levels of one branch.
    pub fn levels(&self, branch: Branch) -> usize {
        match branch {
            Branch::Structural => self.levels,
            Branch::Logical => self.logical.len() / (self.height * self.width),
            Branch::Memory => self.memory.len() / (self.height * self.width),
        }
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
            Branch::Memory => &self.memory,
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

    /// Like [`Scorer::score`], but leaves out the logical branch where `is_settled` says of the other scores that they are
    /// enough. A scorer that cannot leave anything out never asks.
    ///
    /// # Errors
    /// [`InferError`] where the input has the wrong shape or the engine fails.
    fn score_until(
        &mut self,
        input: &ModelInput,
        is_settled: &mut dyn FnMut(&LevelScores) -> bool,
    ) -> Result<LevelScores, InferError> {
        let _ = is_settled;
        self.score(input)
    }
}

/// Why there are no scores.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The graph cannot be made ready to run.
    #[error("the network cannot be prepared: {0}")]
    Load(String),
    /// There is no device to run it on.
    #[error("no CUDA device can be used: {0}")]
    Device(String),
    /// The engine failed on one input.
    #[error("the network failed: {0}")]
    Run(String),
    /// A shape that does not fit.
    #[error("{0}")]
    Shape(String),
}
