//! The frozen graph in libtorch, tract and ONNX Runtime.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::{Branch, Range};
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::freeze::{PARITY_LIMIT, to_onnx, torch_scores};
use mudenet_export::memory::{Memory, REMEMBERED_LEVELS};
use mudenet_export::model::Architecture;
use mudenet_export::random;
use std::collections::HashMap;
use tch::{Kind, Tensor};

fn agree(width: i64, size: i64) {
    let architecture = Architecture::new(width, size).unwrap();
    let networks = random::networks(&architecture, (width + size) as u64);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let remembered = architecture.embedding * REMEMBERED_LEVELS.len() as i64;
    let memory = Memory { vectors: Tensor::randn([40, remembered], (Kind::Float, tch::Device::Cpu)) };
    let mut meta = common::meta(size as usize);
    meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
    let onnx = to_onnx(&networks, &architecture, Some(&memory)).unwrap();
    Bundle::assemble(onnx, &meta).unwrap().save(&at("model.onnx")).unwrap();

    let image = Tensor::randn([1, 3, size, size], (Kind::Float, tch::Device::Cpu));
    Tensor::write_safetensors(&[("image", &image)], at("input.safetensors")).unwrap();
    common::oracle("onnxruntime_scores.py", &[&at("model.onnx"), &at("input.safetensors"), &at("output.safetensors")]);
    let onnxruntime: HashMap<String, Tensor> =
        Tensor::read_safetensors(at("output.safetensors")).unwrap().into_iter().collect();
    assert_eq!(onnxruntime["memory"].size(), [1, 1, size / 8, size / 8]);

    let values = Vec::<f32>::try_from(image.view(-1)).unwrap();
    let input = ModelInput::new(size as usize, size as usize, values).unwrap();
    let torch = torch_scores(&networks, Some(&memory), &input).unwrap();
    let tract = TractScorer::new(&Bundle::load(&at("model.onnx")).unwrap()).unwrap().score(&input).unwrap();
    let onnxruntime = level_scores(&onnxruntime);
    for branch in Branch::ALL {
        let expected = Tensor::from_slice(torch.branch(branch));
        for (runtime, scores) in [("onnxruntime", &onnxruntime), ("tract", &tract)] {
            let error = common::relative_error(&Tensor::from_slice(scores.branch(branch)), &expected);
            assert!(error < f64::from(PARITY_LIMIT), "{runtime}, {}: {error:e}", branch.name());
        }
    }
}

/// A runtime's outputs, the memory at the size of the others as the runtime brings it there.
fn level_scores(outputs: &HashMap<String, Tensor>) -> LevelScores {
    let size = |name: &str, dim: usize| outputs[name].size()[dim] as usize;
    let values = |name: &str| Vec::<f32>::try_from(outputs[name].contiguous().view(-1)).unwrap();
    let (levels, height, width) = (size("structural", 1), size("structural", 2), size("structural", 3));
    let scores = LevelScores::new(levels, height, width, values("structural"), values("logical")).unwrap();
    scores.with_memory(size("memory", 2), size("memory", 3), &values("memory")).unwrap()
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
