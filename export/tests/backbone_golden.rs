//! The real ImageNet backbone against features that a plain numpy forward pass gave for the same image.
//!
//! Weights and features are too large for the repository: `MUDENET_BACKBONE` names the folder that holds
//! `resnet50v2-imagenet-stages1-3.safetensors` and `golden-features.safetensors`.

use mudenet_export::backbone::Backbone;
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{Device, Tensor};

#[test]
fn features_equal_the_golden_ones() {
    let folder = PathBuf::from(std::env::var_os("MUDENET_BACKBONE").expect("MUDENET_BACKBONE names a folder"));
    let golden: HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("golden-features.safetensors")).unwrap().into_iter().collect();
    let weights = folder.join("resnet50v2-imagenet-stages1-3.safetensors");
    let backbone = Backbone::load(&weights, Device::Cpu).unwrap();
    let features = tch::no_grad(|| backbone.features(&golden["input"].unsqueeze(0)));
    for (stage, feature) in (1..).zip(&features) {
        let error =
            |got: Tensor, name: &str| (got - &golden[&format!("stage{stage}.{name}")]).abs().max().double_value(&[]);
        let first8 = error(feature.get(0).narrow(0, 0, 8), "first8");
        assert!(first8 < 1e-3, "stage {stage}: {first8}");
        let means = error(feature.get(0).mean_dim([1i64, 2].as_slice(), false, None), "channel_mean");
        assert!(means < 1e-3, "stage {stage}: {means}");
    }
}
