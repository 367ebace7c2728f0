//! The four networks of MuDeNet: teacher T, structural student S1, autoencoder A, logical student S2.

mod autoencoder;
mod choices;
mod descriptor;
mod layers;

pub use autoencoder::Autoencoder;
pub use choices::{BlockOrder, Choices, DecoderEnd, Pool, ProjectionEnd, StemEnd, choice_name};
pub use descriptor::{Block, Descriptor};
pub use layers::{BatchNorm, Conv, ConvTranspose, Mode};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::nn::VarStore;
use tch::{Device, TchError};

/// Number of levels; their receptive fields are 16, 32 and 64 pixels.
pub const LEVELS: usize = 3;

/// The size of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// W, channels inside teacher and students.
    pub width: i64,
    /// C, channels of an embedding.
    pub embedding: i64,
    /// Z, channels of the autoencoder's latent.
    pub latent: i64,
    /// Pixels a side of the input, a multiple of 64.
    pub size: i64,
    /// What the paper leaves open.
    #[serde(default)]
    pub choices: Choices,
}

impl Architecture {
    /// The paper's proportions, C = 2·W and Z = 32, at any width (full 64, half 32, quarter 16).
    ///
    /// # Errors
    /// A sentence where `width` or `size` cannot be built.
    pub fn new(width: i64, size: i64) -> Result<Self, String> {
        if !(2..=1024).contains(&width) || width % 2 != 0 {
            return Err(format!("width: expected an even number of channels from 2 to 1024, got {width}"));
        }
        if !(64..=4096).contains(&size) || size % 64 != 0 {
            return Err(format!("size: expected a multiple of 64 from 64 to 4096, got {size}"));
        }
        Ok(Self { width, embedding: 2 * width, latent: 32, size, choices: Choices::default() })
    }

    /// The same size with other choices.
    #[must_use]
    pub fn with(self, choices: Choices) -> Self {
        Self { choices, ..self }
    }
}

/// One network with the variables that it is made of.
#[derive(Debug)]
pub struct Network<N> {
    /// The variables, under the names of the reference's state dict.
    pub vars: VarStore,
    /// The layers over them.
    pub net: N,
}

impl<N> Network<N> {
    /// Builds a network with fresh weights.
    pub fn build(device: Device, make: impl FnOnce(&tch::nn::Path) -> N) -> Self {
        let vars = VarStore::new(device);
        let net = make(&vars.root());
        Self { vars, net }
    }

    /// Replaces the weights by those of a safetensors file.
    ///
    /// # Errors
    /// Where the file cannot be read or lacks a tensor of the right shape.
    pub fn load(&mut self, path: &Path) -> Result<(), TchError> {
        self.vars.load(path)
    }

    /// Writes the weights as safetensors, replacing an existing file only once the new one is complete.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TchError> {
        let part = path.with_extension("part.safetensors");
        let saved = self.vars.save(&part).and_then(|()| std::fs::rename(&part, path).map_err(TchError::Io));
        if saved.is_err() {
            // The partial file is of no use; that it may not be removable either changes nothing.
            let _ = std::fs::remove_file(&part);
        }
        saved
    }
}

/// Builds a teacher or student.
pub fn descriptor(architecture: &Architecture, device: Device) -> Network<Descriptor> {
    Network::build(device, |path| Descriptor::new(path, architecture))
}

/// Builds an autoencoder.
pub fn autoencoder(architecture: &Architecture, device: Device) -> Network<Autoencoder> {
    Network::build(device, |path| Autoencoder::new(path, architecture))
}
