//! WideResNet50-2 and ResNet-50 in torchvision's names, stem and layers 1–3.

use super::BackboneError;
use crate::first_stage::{Bottleneck, FirstStage, Layer, folded};
use std::collections::HashMap;
use std::path::Path;
use tch::Tensor;

/// Bottlenecks of layers 1–3.
const BLOCKS: [usize; 3] = [3, 4, 6];
const EPS: f64 = 1e-5;

/// A frozen WideResNet50-2, or the ResNet-50 whose inner convolutions are half as wide.
#[derive(Debug)]
pub struct WideResNet50 {
    pub(super) tensors: HashMap<String, Tensor>,
}

impl WideResNet50 {
    /// Whether tensors of these names are a torchvision ResNet.
    pub(super) fn recognises(tensors: &HashMap<String, Tensor>) -> bool {
        tensors.contains_key("layer1.0.conv1.weight")
    }

    /// Checks the tensors of the file at `path`.
    ///
    /// # Errors
    /// [`BackboneError::Layout`], naming file and tensor.
    pub(super) fn new(path: &Path, tensors: HashMap<String, Tensor>) -> Result<Self, BackboneError> {
        let inner = tensors.get("layer1.0.conv1.weight").and_then(|tensor| tensor.size().first().copied());
        let inner = if inner == Some(64) { 64 } else { 128 };
        super::check_layout(path, &tensors, &expected(inner), "WideResNet50-2 or ResNet-50 in torchvision's names")?;
        Ok(Self { tensors })
    }

    /// `WideResNet50-2` or `ResNet-50`.
    pub fn name(&self) -> &'static str {
        if self.at("layer1.0.conv1.weight").size()[0] == 64 { "ResNet-50" } else { "WideResNet50-2" }
    }

    /// Standardised image (B, 3, H, W) → the outputs of layers 1–3: (B, 256, H/4, W/4), (B, 512, H/8, W/8),
    /// (B, 1024, H/16, W/16).
    pub fn features(&self, image: &Tensor) -> [Tensor; 3] {
        let first = self.at("conv1.weight");
        let x = image.to_kind(first.kind()).conv2d(first, None::<&Tensor>, [2, 2], [3, 3], [1, 1], 1);
        let x = self.norm("bn1", &x).relu();
        let mut x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        [1, 2, 3].map(|layer| {
            for block in 0..BLOCKS[layer - 1] {
                let stride = if block == 0 && layer > 1 { 2 } else { 1 };
                x = self.bottleneck(&format!("layer{layer}.{block}"), &x, stride);
            }
            x.shallow_clone()
        })
    }

    /// The layers that its first stage's features are made of.
    pub fn first_stage(&self) -> FirstStage {
        let layer = |conv: &str, norm: &str| folded(self.at(&format!("{conv}.weight")), self.affine(norm));
        let blocks = (0..BLOCKS[0]).map(|block| {
            let name = format!("layer1.{block}");
            let part = |index: usize| layer(&format!("{name}.conv{index}"), &format!("{name}.bn{index}"));
            let last = part(3);
            let skip = if block == 0 {
                layer(&format!("{name}.downsample.0"), &format!("{name}.downsample.1"))
            } else {
                let side = last.outputs();
                let unchanged = Tensor::eye(side, (last.weight.kind(), last.weight.device()));
                Layer { weight: unchanged.view([side, side, 1, 1]), bias: last.bias.zeros_like() }
            };
            let expand = Layer { weight: Tensor::cat(&[&skip.weight, &last.weight], 1), bias: skip.bias + last.bias };
            Bottleneck { reduce: part(1), middle: part(2), expand }
        });
        FirstStage { stem: layer("conv1", "bn1"), activation: None, blocks: blocks.collect() }
    }

    /// (scale, shift) of a norm.
    fn affine(&self, name: &str) -> (Tensor, Tensor) {
        let at = |part: &str| self.at(&format!("{name}.{part}"));
        let scale = at("weight") / (at("running_var") + EPS).sqrt();
        let shift = at("bias") - at("running_mean") * &scale;
        (scale, shift)
    }

    /// 1×1 · 3×3 (with the stride) · 1×1, each with its norm, plus the input or its projection.
    fn bottleneck(&self, name: &str, x: &Tensor, stride: i64) -> Tensor {
        let conv = |index: usize, x: &Tensor, stride: i64, padding: i64| {
            let weight = self.at(&format!("{name}.conv{index}.weight"));
            let y = x.conv2d(weight, None::<&Tensor>, [stride; 2], [padding; 2], [1, 1], 1);
            self.norm(&format!("{name}.bn{index}"), &y)
        };
        let y = conv(1, x, 1, 0).relu();
        let y = conv(2, &y, stride, 1).relu();
        let y = conv(3, &y, 1, 0);
        let shortcut = match self.tensors.get(&format!("{name}.downsample.0.weight")) {
            Some(weight) => {
                let projected = x.conv2d(weight, None::<&Tensor>, [stride; 2], [0, 0], [1, 1], 1);
                self.norm(&format!("{name}.downsample.1"), &projected)
            }
            None => x.shallow_clone(),
        };
        (y + shortcut).relu()
    }

    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        let at = |part: &str| Some(self.at(&format!("{name}.{part}")));
        x.batch_norm(at("weight"), at("bias"), at("running_mean"), at("running_var"), false, 0.0, EPS, false)
    }

    /// Present for every name in [`expected`], which `new` checked.
    fn at(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }
}

/// Every tensor that [`WideResNet50::features`] uses, with its shape.
fn expected(inner: i64) -> Vec<(String, Vec<i64>)> {
    let mut all = vec![("conv1.weight".to_owned(), vec![64, 3, 7, 7])];
    let norm = |all: &mut Vec<_>, name: &str, channels: i64| {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            all.push((format!("{name}.{part}"), vec![channels]));
        }
    };
    norm(&mut all, "bn1", 64);
    let mut inputs = 64;
    for (layer, blocks) in (1..).zip(BLOCKS) {
        let (inner, outputs) = (inner << (layer - 1), 256 << (layer - 1));
        for block in 0..blocks {
            let name = format!("layer{layer}.{block}");
            let shapes = [vec![inner, inputs, 1, 1], vec![inner, inner, 3, 3], vec![outputs, inner, 1, 1]];
            for (index, shape) in (1..).zip(shapes) {
                norm(&mut all, &format!("{name}.bn{index}"), shape[0]);
                all.push((format!("{name}.conv{index}.weight"), shape));
            }
            if block == 0 {
                all.push((format!("{name}.downsample.0.weight"), vec![outputs, inputs, 1, 1]));
                norm(&mut all, &format!("{name}.downsample.1"), outputs);
            }
            inputs = outputs;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// sin(factor · index + phase), as `tests/wide_resnet/make_wide_resnet.py` has it.
    fn wave(shape: &[i64], factor: f64, phase: usize) -> Tensor {
        let count: i64 = shape.iter().product();
        let index = Tensor::arange(count, (Kind::Double, Device::Cpu));
        (index * factor + phase as f64).sin().to_kind(Kind::Float).view(shape)
    }

    fn weights() -> HashMap<String, Tensor> {
        let tensor = |(name, shape): (String, Vec<i64>)| {
            let wave = wave(&shape, 0.7, name.len());
            let value = if let [_, inputs, height, width] = shape[..] {
                wave * (0.8 / (inputs * height * width) as f64).sqrt()
            } else if name.ends_with("weight") || name.ends_with("running_var") {
                wave * 0.3 + 1.0
            } else {
                wave * 0.1
            };
            (name, value)
        };
        expected(128).into_iter().map(tensor).collect()
    }

    #[test]
    fn features_equal_torchvisions() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wide_resnet/golden.safetensors");
        let golden: HashMap<String, Tensor> = Tensor::read_safetensors(golden).unwrap().into_iter().collect();
        let net = WideResNet50::new(Path::new("made.pth"), weights()).unwrap();
        assert_eq!(net.name(), "WideResNet50-2");
        let features = tch::no_grad(|| net.features(&wave(&[1, 3, 64, 64], 0.013, 0)));
        for (layer, feature) in (1..).zip(&features) {
            let close = |got: Tensor, name: &str| {
                let expected = &golden[&format!("layer{layer}.{name}")];
                assert_eq!(got.size(), expected.size());
                let error = (got - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[]);
                assert!(error < 1e-4, "layer {layer} {name}: {error}");
            };
            close(feature.get(0).mean_dim([1i64, 2].as_slice(), false, Kind::Float), "mean");
            close(feature.get(0).narrow(0, 0, 4), "first");
        }
    }

    #[test]
    fn the_first_stage_alone_gives_its_features() {
        let net = WideResNet50::new(Path::new("made.pth"), weights()).unwrap();
        let image = wave(&[1, 3, 64, 64], 0.013, 0);
        let [expected, ..] = tch::no_grad(|| net.features(&image));
        let got = tch::no_grad(|| net.first_stage().forward(&image));
        let error = (got - &expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[]);
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn a_tensor_that_is_missing_or_of_another_shape_is_named() {
        let said = |tensors| WideResNet50::new(Path::new("made.pth"), tensors).unwrap_err().to_string();
        let mut tensors = weights();
        tensors.remove("layer2.3.bn2.bias");
        assert!(said(tensors).contains("made.pth: layer2.3.bn2.bias is missing"));
        let mut tensors = weights();
        tensors.insert("layer3.0.downsample.0.weight".into(), Tensor::from(0.0));
        assert!(said(tensors).contains("layer3.0.downsample.0.weight is [], expected [1024, 512, 1, 1]"));
    }
}
