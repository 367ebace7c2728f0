//! Teacher and students: stem, three cumulative levels of residual blocks, a projection after each.

use super::{Architecture, BatchNorm, BlockOrder, Choices, Conv, LEVELS, Mode, Pool, ProjectionEnd, StemEnd};
use tch::Tensor;
use tch::nn::Path;

/// Residual blocks and their kernel size, a level each.
const BLOCKS: [(usize, i64); LEVELS] = [(1, 3), (2, 3), (2, 5)];

/// One architecture for T, S1 and S2.
#[derive(Debug)]
pub struct Descriptor {
    /// 7×7, 3→W.
    pub stem: Conv,
    /// Its norm, where the choice is [`StemEnd::BnRelu`].
    pub stem_norm: Option<BatchNorm>,
    /// For each level its residual blocks.
    pub blocks: Vec<Vec<Block>>,
    /// For each level a 1×1 convolution W→C.
    pub projections: Vec<Conv>,
    /// Their norms, where the choice is not [`ProjectionEnd::Bare`]; else empty.
    pub projection_norms: Vec<BatchNorm>,
    /// What the paper leaves open.
    pub choices: Choices,
}

/// Two convolutions k×k around a skip, their order by A-003.
#[derive(Debug)]
pub struct Block {
    /// First convolution.
    pub conv1: Conv,
    /// The norm after it, or before it where the choice is [`BlockOrder::Pre`]; none where it is [`BlockOrder::Plain`].
    pub bn1: Option<BatchNorm>,
    /// Second convolution.
    pub conv2: Conv,
    /// Its norm, likewise.
    pub bn2: Option<BatchNorm>,
    ///
    pub order: BlockOrder,
}

impl Descriptor {
    /// Fresh weights under the reference's names (`stem.conv.weight`, `blocks.1.0.conv1.weight`, `projections.2.bias`),
    /// for norms that it does not have `stem.bn` and `projection_norms.2`.
    pub fn new(path: &Path, architecture: &Architecture) -> Self {
        let &Architecture { width, embedding, choices, .. } = architecture;
        let block = |level: usize, index: usize, kernel| {
            Block::new(&(path / "blocks" / level / index), width, kernel, choices.block)
        };
        let norms = if choices.projection == ProjectionEnd::Bare { 0 } else { LEVELS };
        Self {
            stem: Conv::new(&(path / "stem" / "conv"), 3, width, 7, 1, 3),
            stem_norm: (choices.stem == StemEnd::BnRelu).then(|| BatchNorm::new(&(path / "stem" / "bn"), width)),
            blocks: BLOCKS
                .iter()
                .enumerate()
                .map(|(level, &(count, kernel))| (0..count).map(|index| block(level, index, kernel)).collect())
                .collect(),
            projections: (0..LEVELS)
                .map(|level| Conv::new(&(path / "projections" / level), width, embedding, 1, 1, 0))
                .collect(),
            projection_norms: (0..norms)
                .map(|level| BatchNorm::new(&(path / "projection_norms" / level), embedding))
                .collect(),
            choices,
        }
    }

    /// Image (B, 3, H, W) → for each level an embedding map (B, C, H/2, W/2).
    pub fn forward(&self, image: &Tensor, mode: Mode) -> Vec<Tensor> {
        let stem = self.stem.forward(&image.to_kind(mode.kind), mode);
        let stem = self.stem_norm.as_ref().map_or(stem.shallow_clone(), |norm| norm.forward(&stem, mode));
        let stem = if self.choices.stem == StemEnd::None { stem } else { stem.relu() };
        let mut x = match self.choices.pool {
            Pool::Avg => stem.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>),
            Pool::Max => stem.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
        };
        let mut embeddings = Vec::with_capacity(LEVELS);
        for (level, (blocks, projection)) in self.blocks.iter().zip(&self.projections).enumerate() {
            for block in blocks {
                x = block.forward(&x, mode);
            }
            let y = projection.forward(&x, mode);
            let y = self.projection_norms.get(level).map_or(y.shallow_clone(), |norm| norm.forward(&y, mode));
            embeddings.push(if self.choices.projection == ProjectionEnd::BnRelu { y.relu() } else { y });
        }
        embeddings
    }
}

impl Block {
    fn new(path: &Path, width: i64, kernel: i64, order: BlockOrder) -> Self {
        let padding = (kernel - 1) / 2;
        let plain = order == BlockOrder::Plain;
        let conv = |name: &str| {
            let make = if plain { Conv::new } else { Conv::bare };
            make(&(path / name), width, width, kernel, 1, padding)
        };
        let norm = |name: &str| (!plain).then(|| BatchNorm::new(&(path / name), width));
        Self { conv1: conv("conv1"), bn1: norm("bn1"), conv2: conv("conv2"), bn2: norm("bn2"), order }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let norm = |norm: &Option<BatchNorm>, x: Tensor| match norm {
            Some(norm) => norm.forward(&x, mode),
            None => x,
        };
        if self.order == BlockOrder::Pre {
            let y = self.conv1.forward(&norm(&self.bn1, x.shallow_clone()).relu(), mode);
            return self.conv2.forward(&norm(&self.bn2, y).relu(), mode) + x;
        }
        let y = norm(&self.bn1, self.conv1.forward(x, mode)).relu();
        let y = norm(&self.bn2, self.conv2.forward(&y, mode));
        if self.order == BlockOrder::NoFinalRelu { y.relu() + x } else { (y + x).relu() }
    }
}
