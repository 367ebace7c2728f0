//! Teacher and students: stem, three cumulative levels of residual blocks, a projection after each.

use super::{Architecture, BatchNorm, Conv, LEVELS, Mode};
use tch::Tensor;
use tch::nn::Path;

/// Residual blocks and their kernel size, a level each.
const BLOCKS: [(usize, i64); LEVELS] = [(1, 3), (2, 3), (2, 5)];

/// One architecture for T, S1 and S2.
#[derive(Debug)]
pub struct Descriptor {
    /// 7×7, 3→W.
    pub stem: Conv,
    /// For each level its residual blocks.
    pub blocks: Vec<Vec<Block>>,
    /// For each level a bare 1×1 convolution W→C.
    pub projections: Vec<Conv>,
}

/// conv k×k · BN · ReLU · conv k×k · BN · + input · ReLU.
#[derive(Debug)]
pub struct Block {
    /// First convolution.
    pub conv1: Conv,
    /// Its norm.
    pub bn1: BatchNorm,
    /// Second convolution.
    pub conv2: Conv,
    /// Its norm.
    pub bn2: BatchNorm,
}

impl Descriptor {
    /// Fresh weights under the reference's names (`stem.conv.weight`, `blocks.1.0.conv1.weight`, `projections.2.bias`).
    pub fn new(path: &Path, architecture: &Architecture) -> Self {
        let &Architecture { width, embedding, .. } = architecture;
        let block = |level: usize, index: usize, kernel| Block::new(&(path / "blocks" / level / index), width, kernel);
        Self {
            stem: Conv::new(&(path / "stem" / "conv"), 3, width, 7, 1, 3),
            blocks: BLOCKS
                .iter()
                .enumerate()
                .map(|(level, &(count, kernel))| (0..count).map(|index| block(level, index, kernel)).collect())
                .collect(),
            projections: (0..LEVELS)
                .map(|level| Conv::new(&(path / "projections" / level), width, embedding, 1, 1, 0))
                .collect(),
        }
    }

    /// Image (B, 3, H, W) → for each level an embedding map (B, C, H/2, W/2).
    pub fn forward(&self, image: &Tensor, mode: Mode) -> Vec<Tensor> {
        let stem = self.stem.forward(&image.to_kind(mode.kind), mode).relu();
        // average pooling.
        let mut x = stem.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
        let mut embeddings = Vec::with_capacity(LEVELS);
        for (blocks, projection) in self.blocks.iter().zip(&self.projections) {
            for block in blocks {
                x = block.forward(&x, mode);
            }
            embeddings.push(projection.forward(&x, mode));
        }
        embeddings
    }
}

impl Block {
    fn new(path: &Path, width: i64, kernel: i64) -> Self {
        let padding = (kernel - 1) / 2;
        Self {
            conv1: Conv::bare(&(path / "conv1"), width, width, kernel, 1, padding),
            bn1: BatchNorm::new(&(path / "bn1"), width),
            conv2: Conv::bare(&(path / "conv2"), width, width, kernel, 1, padding),
            bn2: BatchNorm::new(&(path / "bn2"), width),
        }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x, mode), mode).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y, mode), mode);
        (y + x).relu()
    }
}
