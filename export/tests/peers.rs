//! The frozen graph in libtorch, tract and ONNX Runtime.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::freeze::{PARITY_LIMIT, to_onnx, torch_scores};
use mudenet_export::model::Architecture;
use mudenet_export::random;
use std::collections::HashMap;
use tch::{Kind, Tensor};

fn tensor(scores: &LevelScores, branch: Branch) -> Tensor {
    let shape = [1, scores.levels(Branch::Structural) as i64, scores.height() as i64, scores.width() as i64];
    Tensor::from_slice(scores.branch(branch)).view(shape)
}

fn agree(width: i64, size: i64) {
    let architecture = Architecture::new(width, size).unwrap();
    let networks = random::networks(&architecture, (width + size) as u64);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bundle = Bundle::assemble(to_onnx(&networks, &architecture).unwrap(), &common::meta(size as usize)).unwrap();
    bundle.save(&at("model.onnx")).unwrap();

    let image = Tensor::randn([1, 3, size, size], (Kind::Float, tch::Device::Cpu));
    Tensor::write_safetensors(&[("image", &image)], at("input.safetensors")).unwrap();
    common::oracle("onnxruntime_scores.py", &[&at("model.onnx"), &at("input.safetensors"), &at("output.safetensors")]);
    let onnxruntime: HashMap<String, Tensor> =
        Tensor::read_safetensors(at("output.safetensors")).unwrap().into_iter().collect();

    let values = Vec::<f32>::try_from(image.view(-1)).unwrap();
    let input = ModelInput::new(size as usize, size as usize, values).unwrap();
    let torch = torch_scores(&networks, &input).unwrap();
    let tract = TractScorer::new(&Bundle::load(&at("model.onnx")).unwrap()).unwrap().score(&input).unwrap();
    for (branch, name) in [(Branch::Structural, "structural"), (Branch::Logical, "logical")] {
        let expected = tensor(&torch, branch);
        let limit = f64::from(PARITY_LIMIT);
        let error = common::relative_error(&onnxruntime[name], &expected);
        assert!(error < limit, "onnxruntime, {name}: {error:e}");
        let error = common::relative_error(&tensor(&tract, branch), &expected);
        assert!(error < limit, "tract, {name}: {error:e}");
    }
}

#[test]
fn three_runtimes_agree_at_quarter_width() {
    agree(16, 64);
}

#[test]
fn three_runtimes_agree_at_a_size_that_is_no_power_of_two() {
    agree(4, 192);
}

#[test]
fn three_runtimes_agree_at_half_width() {
    agree(32, 128);
}
