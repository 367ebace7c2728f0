//! ResNet-50 v2 (pre-activation, MXNet Gluon names), stem and stages 1–3.

use super::BackboneError;
use crate::first_stage::{Bottleneck, FirstStage, Layer, folded};
use std::collections::HashMap;
use std::path::Path;
use tch::Tensor;

/// Residual blocks of stages 1–3.
const BLOCKS: [usize; 3] = [3, 4, 6];
const EPS: f64 = 1e-5;

/// A frozen ResNet-50 v2.
#[derive(Debug)]
pub struct ResNet50V2 {
    pub(super) tensors: HashMap<String, Tensor>,
}

impl ResNet50V2 {
    /// Checks the tensors of the file at `path`.
    ///
    /// # Errors
    /// [`BackboneError::Layout`], naming file and tensor.
    pub(super) fn new(path: &Path, tensors: HashMap<String, Tensor>) -> Result<Self, BackboneError> {
        super::check_layout(path, &tensors, &expected(), "ResNet-50 v2 in Gluon names")?;
        Ok(Self { tensors })
    }

    /// Standardised image (B, 3, H, W) → the features of stages 1–3: (B, 256, H/4, W/4), (B, 512, H/8, W/8),
    /// (B, 1024, H/16, W/16).
    pub fn features(&self, image: &Tensor) -> [Tensor; 3] {
        let first = self.at("conv0.weight");
        let x = self.norm("", 0, image).to_kind(first.kind());
        let x = x.conv2d(first, None::<&Tensor>, [2, 2], [3, 3], [1, 1], 1);
        let x = self.norm("", 1, &x).relu();
        let mut x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        [1, 2, 3].map(|stage| {
            for block in 0..BLOCKS[stage - 1] {
                x = self.block(stage, block, &x);
            }
            self.norm(&format!("stage{}.", stage + 1), 0, &x).relu()
        })
    }

    /// The layers that its first stage's features are made of.
    pub fn first_stage(&self) -> FirstStage {
        let norm = |index: usize| self.affine("stage1.", index);
        let conv = |index: usize| self.at(&format!("stage1.conv{index}.weight"));
        let (scale, shift) = self.affine("", 0);
        let stem = self.at("conv0.weight");
        // The input's norm stands before the convolution.
        let (outer, inner) = (self.affine("", 1), (stem * shift.view([1, -1, 1, 1])));
        let shift = inner.sum_dim_intlist([1i64, 2, 3].as_slice(), false, None) * &outer.0 + &outer.1;
        let stem = folded(&(stem * scale.view([1, -1, 1, 1])), (outer.0, shift));
        let (scale, shift) = norm(0);
        let side = scale.size()[0];
        let activation = Layer { weight: scale.diag(0).view([side, side, 1, 1]), bias: shift };
        let blocks = BLOCKS[0];
        // The shortcut of block 0 and the last convolution of each.
        let mut summands = vec![conv(3)];
        let blocks = (0..blocks).map(|block| {
            let first = if block == 0 { 0 } else { 3 * block + 1 };
            summands.push(conv(first + 2));
            let next = if block + 1 < blocks { norm(3 * block + 3) } else { self.affine("stage2.", 0) };
            Bottleneck {
                reduce: folded(conv(first), norm(3 * block + 1)),
                middle: folded(conv(first + 1), norm(3 * block + 2)),
                expand: folded(&Tensor::cat(&summands, 1), next),
            }
        });
        FirstStage { stem, activation: Some(activation), blocks: blocks.collect() }
    }

    /// (scale, shift) of a norm.
    fn affine(&self, prefix: &str, index: usize) -> (Tensor, Tensor) {
        let at = |name: &str| self.at(&format!("{prefix}batchnorm{index}.{name}"));
        let scale = at("gamma") / (at("running_var") + EPS).sqrt();
        let shift = at("beta") - at("running_mean") * &scale;
        (scale, shift)
    }

    fn block(&self, stage: usize, block: usize, x: &Tensor) -> Tensor {
        let prefix = format!("stage{stage}.");
        // Block 0 stores its shortcut as the fourth convolution.
        let first = if block == 0 { 0 } else { 3 * block + 1 };
        let stride = if block == 0 && stage > 1 { 2 } else { 1 };
        let conv = |index: usize, x: &Tensor, stride: i64, padding: i64| {
            let weight = self.at(&format!("{prefix}conv{index}.weight"));
            x.conv2d(weight, None::<&Tensor>, [stride; 2], [padding; 2], [1, 1], 1)
        };
        let y = self.norm(&prefix, 3 * block, x).relu();
        let shortcut = if block == 0 { conv(3, &y, stride, 0) } else { x.shallow_clone() };
        let z = conv(first, &y, 1, 0);
        let z = self.norm(&prefix, 3 * block + 1, &z).relu();
        let z = conv(first + 1, &z, stride, 1);
        let z = self.norm(&prefix, 3 * block + 2, &z).relu();
        shortcut + conv(first + 2, &z, 1, 0)
    }

    fn norm(&self, prefix: &str, index: usize, x: &Tensor) -> Tensor {
        let at = |name: &str| Some(self.at(&format!("{prefix}batchnorm{index}.{name}")));
        x.batch_norm(at("gamma"), at("beta"), at("running_mean"), at("running_var"), false, 0.0, EPS, false)
    }

    /// Present for every name in [`expected`], which `new` checked.
    fn at(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }
}

/// Every tensor that [`ResNet50V2::features`] uses, with its shape.
fn expected() -> Vec<(String, Vec<i64>)> {
    let mut all = vec![("conv0.weight".to_owned(), vec![64, 3, 7, 7])];
    let norm = |all: &mut Vec<_>, prefix: &str, index: usize, channels: i64| {
        for name in ["gamma", "beta", "running_mean", "running_var"] {
            all.push((format!("{prefix}batchnorm{index}.{name}"), vec![channels]));
        }
    };
    norm(&mut all, "", 0, 3);
    norm(&mut all, "", 1, 64);
    let mut inputs = 64;
    for (stage, blocks) in (1..).zip(BLOCKS) {
        let prefix = format!("stage{stage}.");
        let inner = 64 << (stage - 1);
        let outputs = 4 * inner;
        for block in 0..blocks {
            let first = if block == 0 { 0 } else { 3 * block + 1 };
            let mut conv = |index: usize, shape: Vec<i64>| all.push((format!("{prefix}conv{index}.weight"), shape));
            conv(first, vec![inner, inputs, 1, 1]);
            conv(first + 1, vec![inner, inner, 3, 3]);
            conv(first + 2, vec![outputs, inner, 1, 1]);
            if block == 0 {
                conv(3, vec![outputs, inputs, 1, 1]);
            }
            norm(&mut all, &prefix, 3 * block, inputs);
            norm(&mut all, &prefix, 3 * block + 1, inner);
            norm(&mut all, &prefix, 3 * block + 2, inner);
            inputs = outputs;
        }
        norm(&mut all, &format!("stage{}.", stage + 1), 0, outputs);
    }
    all
}
