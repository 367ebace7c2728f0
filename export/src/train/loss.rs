//! Losses of the joint training (Eq. 3, 5, 7, 8).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The loss terms of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    /// L1, teacher against structural student (Eq. 3).
    pub structural: f64,
    /// LA, teacher against autoencoder (Eq. 5).
    pub autoencoder: f64,
    /// L2, autoencoder against logical student (Eq. 7).
    pub logical: f64,
}

impl Losses {
    /// L (Eq. 8).
    pub fn total(&self) -> f64 {
        self.structural + self.autoencoder + self.logical
    }

    /// The terms with their names.
    pub fn named(&self) -> [(&'static str, f64); 3] {
        [("structural", self.structural), ("autoencoder", self.autoencoder), ("logical", self.logical)]
    }
}

/// [`Losses`] that gradients can flow from.
#[derive(Debug)]
pub struct LossTerms {
    structural: Tensor,
    autoencoder: Tensor,
    logical: Tensor,
}

impl LossTerms {
    /// L (Eq. 8).
    pub fn total(&self) -> Tensor {
        &self.structural + &self.autoencoder + &self.logical
    }

    /// The terms with their names.
    pub fn named(self) -> Vec<(&'static str, Tensor)> {
        vec![("structural", self.structural), ("autoencoder", self.autoencoder), ("logical", self.logical)]
    }

    /// As numbers.
    pub fn values(&self) -> Losses {
        Losses {
            structural: self.structural.double_value(&[]),
            autoencoder: self.autoencoder.double_value(&[]),
            logical: self.logical.double_value(&[]),
        }
    }
}

/// whether the autoencoder takes a gradient from L2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogicalGradient {
    /// No: its output is a constant there.
    #[default]
    Stop,
    /// Yes.
    Flow,
}

/// The three terms from the embedding maps of the four networks; the autoencoder takes no gradient from L2.
pub fn joint_loss(teacher: &[Tensor], structural: &[Tensor], autoencoder: &[Tensor], logical: &[Tensor]) -> LossTerms {
    let target: Vec<Tensor> = autoencoder.iter().map(Tensor::detach).collect();
    LossTerms {
        structural: level_loss(teacher, structural),
        autoencoder: level_loss(teacher, autoencoder),
        logical: level_loss(&target, logical),
    }
}

/// Like [`joint_loss`], with a choice of A-014.
pub fn joint_loss_with(
    gradient: LogicalGradient,
    teacher: &[Tensor],
    structural: &[Tensor],
    autoencoder: &[Tensor],
    logical: &[Tensor],
) -> LossTerms {
    let terms = joint_loss(teacher, structural, autoencoder, logical);
    match gradient {
        LogicalGradient::Stop => terms,
        LogicalGradient::Flow => LossTerms { logical: level_loss(autoencoder, logical), ..terms },
    }
}

/// Squared difference summed over channels, averaged over batch and pixels, averaged over levels.
///
/// Differences are taken in the embeddings' kind; their mean is accumulated in f32.
pub fn level_loss(targets: &[Tensor], embeddings: &[Tensor]) -> Tensor {
    let levels: Vec<Tensor> = targets
        .iter()
        .zip(embeddings)
        .map(|(target, embedding)| {
            let channels = embedding.size()[1] as f64;
            let distance = embedding.mse_loss(&target.to_kind(embedding.kind()), tch::Reduction::Mean);
            distance.to_kind(Kind::Float) * channels
        })
        .collect();
    Tensor::stack(&levels, 0).mean(Kind::Float)
}
