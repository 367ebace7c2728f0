//! 8-bit weights and activations for a float graph.

mod codes;
mod program;

mod rewrite;
mod simple;

pub use codes::{Activation, Codes};
pub use program::{Convolution, Node, Op, Program};
pub use rewrite::{Plan, half, rewrite};
use serde::{Deserialize, Serialize};
pub use simple::simple_plan;

/// What is stored in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The weights: a quarter of the file, computed in f32.
    Weights,
    /// Weights and the inputs of the convolutions.
    Full,
}

/// Why a graph was not quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The graph has something that is not known here.
    #[error("the model cannot be quantized: {0}")]
    Graph(String),
}
