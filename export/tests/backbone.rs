//! The backbone against features that a plain numpy forward pass gave for the same image.
//!
//! The weights (ONNX model zoo `resnet50-v2-7`) are too large for the repository: `MUDENET_BACKBONE` names the folder
//! that holds them and the golden features; without it a generated backbone stands in, see `tests/targets.rs`.

use mudenet_export::backbone::ResNet50V2;
use std::path::PathBuf;
use tch::{Device, Tensor};

fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/backbone");
    let folder = std::env::var_os("MUDENET_BACKBONE").map(PathBuf::from).unwrap_or(beside);
    folder.is_dir().then_some(folder)
}

#[test]
fn features_equal_the_golden_ones() {
    let Some(folder) = folder() else { panic!("no backbone") };
    let golden: std::collections::HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("golden-features.safetensors")).unwrap().into_iter().collect();
    let backbone = ResNet50V2::load(&folder.join("resnet50v2-imagenet-stages1-3.safetensors"), Device::Cpu).unwrap();
    let features = tch::no_grad(|| backbone.features(&golden["input"].unsqueeze(0)));
    for (stage, feature) in (1..).zip(&features) {
        let first8 = feature.get(0).narrow(0, 0, 8);
        let error = (&first8 - &golden[&format!("stage{stage}.first8")]).abs().max().double_value(&[]);
        assert!(error < 1e-3, "stage {stage}: {error}");
        let mean = feature.get(0).mean_dim([1i64, 2].as_slice(), false, None);
        let error = (&mean - &golden[&format!("stage{stage}.channel_mean")]).abs().max().double_value(&[]);
        assert!(error < 1e-3, "stage {stage} means: {error}");
    }
}
