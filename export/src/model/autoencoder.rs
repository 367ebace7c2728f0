//! Autoencoder: one encoder to a latent of one cell, a decoder for each level.

use super::{Architecture, Conv, ConvTranspose, DecoderEnd, LEVELS, Mode};
use tch::Tensor;
use tch::nn::Path;

/// A.
#[derive(Debug)]
pub struct Autoencoder {
    /// Five 3×3 of stride 2, then one over all that is left; ReLU after each.
    pub encoder: Vec<Conv>,
    /// For each level six transposed convolutions, ReLU between them.
    pub decoders: Vec<Vec<ConvTranspose>>,
    /// What follows the last of them.
    pub end: DecoderEnd,
}

impl Autoencoder {
    /// Fresh weights under the reference's names (`encoder.layers.0.weight`, `decoders.0.layers.10.weight`); odd
    /// numbers are the ReLUs between.
    ///
    /// The last encoder kernel is size/32 and the first decoder kernel size/64, so that the latent is one cell and the
    /// output half the input at every size.
    pub fn new(path: &Path, architecture: &Architecture) -> Self {
        let &Architecture { width, embedding, latent, size, choices } = architecture;
        let channels = [3, width / 2, width, embedding, embedding, embedding];
        let layers = path / "encoder" / "layers";
        let mut encoder: Vec<Conv> = channels
            .windows(2)
            .enumerate()
            .map(|(i, pair)| Conv::new(&(&layers / (2 * i)), pair[0], pair[1], 3, 2, 1))
            .collect();
        encoder.push(Conv::new(&(&layers / 10), embedding, latent, size / 32, 1, 0));
        let decoder = |level: usize| {
            let layers = path / "decoders" / level / "layers";
            let first = ConvTranspose::new(&(&layers / 0), [latent, embedding], size / 64, size / 64, 0, 0);
            let doubling = (1..6).map(|i| ConvTranspose::new(&(&layers / (2 * i)), [embedding; 2], 3, 2, 1, 1));
            std::iter::once(first).chain(doubling).collect()
        };
        Self { encoder, decoders: (0..LEVELS).map(decoder).collect(), end: choices.decoder }
    }

    /// Image (B, 3, H, W) → for each level a reconstruction of the teacher's embedding map (B, C, H/2, W/2).
    pub fn forward(&self, image: &Tensor, mode: Mode) -> Vec<Tensor> {
        let mut latent = image.to_kind(mode.kind);
        for conv in &self.encoder {
            latent = conv.forward(&latent, mode).relu();
        }
        self.decoders.iter().map(|layers| self.decode(layers, &latent, mode)).collect()
    }

    fn decode(&self, layers: &[ConvTranspose], latent: &Tensor, mode: Mode) -> Tensor {
        let mut x = latent.shallow_clone();
        for (i, layer) in layers.iter().enumerate() {
            x = layer.forward(&x, mode);
            if i + 1 < layers.len() || self.end == DecoderEnd::Relu {
                x = x.relu();
            }
        }
        x
    }
}
