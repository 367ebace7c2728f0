//! Weights and activations of a float graph in fewer bits.

mod codes;
mod error;
mod finish;
mod observe;
mod plan;
mod program;
mod reconstruct;

mod rewrite;
mod sequence;
mod simple;
mod teacher;

pub use codes::{Activation, Codes, Numbers};
pub use observe::Observer;
pub use plan::{Layer, Quantized, Settings, quantize};
pub use program::{Convolution, Node, Op, Program};
pub use rewrite::{Plan, rewrite};
use serde::{Deserialize, Serialize};
pub use simple::simple_plan;
pub use teacher::round_weights;

/// Fewest images to measure on.
pub const MIN_IMAGES: i64 = 4;

/// What is stored in fewer than 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The weights in 8 bits: a quarter of the file, computed in f32.
    Weights,
    /// Weights and the inputs of the convolutions in 8 bits.
    Full,
    /// The weights in 16 bits: half of the file, computed in f32.
    #[value(skip)]
    F16,
}

/// How weights become codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// The nearest codes, biases as they were.
    Nearest,
    /// The nearest codes; each bias makes up for the mean of its channel's error.
    Bias,
    /// Codes and bias that keep the layer's output, and what it is compared with or added to.
    #[default]
    Reconstruct,
}

impl Rounding {
    /// As people call it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Nearest => "nearest codes",
            Self::Bias => "nearest codes, corrected biases",
            Self::Reconstruct => "reconstructed layer by layer",
        }
    }
}

/// Why a graph was not quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The graph has something that is not known here.
    #[error("the model cannot be quantized: {0}")]
    Graph(String),
    /// There is too little to measure on.
    #[error("quantizing needs at least {MIN_IMAGES} images to measure on, got {0}")]
    TooFew(i64),
    /// There is nothing to see on the images.
    #[error(
        "the {0} images to quantize on are all of one colour: the ranges of the activations cannot be measured on them"
    )]
    Blank(i64),
}
