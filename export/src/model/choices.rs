//! What the paper leaves open in the networks' layers, see ASSUMPTIONS.md.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A choice for each open question about the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Choices {
    ///
    pub pool: Pool,
    ///
    pub block: BlockOrder,
    ///
    pub projection: ProjectionEnd,
    ///
    pub stem: StemEnd,
    ///
    pub decoder: DecoderEnd,
}

/// how the stem halves the size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Mean of 2×2.
    #[default]
    Avg,
    /// Maximum of 2×2.
    Max,
}

/// order inside a residual block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BlockOrder {
    /// conv · BN · ReLU · conv · BN · + input · ReLU.
    #[default]
    Post,
    /// BN · ReLU · conv · BN · ReLU · conv · + input.
    Pre,
    /// conv · ReLU · conv · + input · ReLU; the convolutions have a bias.
    Plain,
    /// conv · BN · ReLU · conv · BN · ReLU · + input.
    NoFinalRelu,
}

/// what follows a projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectionEnd {
    /// Nothing.
    #[default]
    Bare,
    /// Batch norm.
    Bn,
    /// Batch norm and ReLU.
    BnRelu,
}

/// what follows the stem's convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StemEnd {
    /// ReLU.
    #[default]
    Relu,
    /// Nothing.
    None,
    /// Batch norm and ReLU.
    BnRelu,
}

/// what follows a decoder's last layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderEnd {
    /// Nothing.
    #[default]
    Bare,
    /// ReLU.
    Relu,
}

/// The name of a choice, as it is given on the command line and stored.
pub fn choice_name(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
