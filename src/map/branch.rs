//! The comparisons that a score is made of, and how much each counts.

use crate::bundle::{LOGICAL, MEMORY, STRUCTURAL};
use serde::{Deserialize, Serialize};

/// One of the comparisons the score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Branch {
    /// Teacher against structural student (Eq. 9).
    Structural,
    /// Autoencoder against logical student (Eq. 10).
    Logical,
    /// Embeddings of the part against those of good parts.
    Memory,
}

impl Branch {
    /// Every branch.
    pub const ALL: [Branch; 3] = [Branch::Structural, Branch::Logical, Branch::Memory];

    /// `structural`, `logical` or `memory`, the name of the network's output.
    pub fn name(self) -> &'static str {
        match self {
            Branch::Structural => STRUCTURAL,
            Branch::Logical => LOGICAL,
            Branch::Memory => MEMORY,
        }
    }
}

/// Factors of the branches' normalised scores, ≥ 0; the paper's Eq. 11 is 1 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Of the structural branch.
    pub structural: f32,
    /// Of the logical branch.
    pub logical: f32,
    /// Of the memory.
    pub memory: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { structural: 1.0, logical: 1.0, memory: 1.0 }
    }
}

impl Weights {
    /// The factor of one branch.
    pub fn of(self, branch: Branch) -> f32 {
        match branch {
            Branch::Structural => self.structural,
            Branch::Logical => self.logical,
            Branch::Memory => self.memory,
        }
    }
}
