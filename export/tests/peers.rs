//! The frozen graph in libtorch, tract and ONNX Runtime.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::{Branch, Range};
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::backbone::Principal;
use mudenet_export::first_stage::{Bottleneck, FirstStage, Layer};
use mudenet_export::freeze::{PARITY_LIMIT, to_onnx, torch_scores};
use mudenet_export::layout::Layout;
use mudenet_export::memory::{Memory, REMEMBERED_LEVELS, Remembered, Source, distances};
use mudenet_export::model::Architecture;
use mudenet_export::quantize::{Plan, Program, rewrite};
use mudenet_export::random;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// Values of mean 0 and variance 1. Not by libtorch's generator, which the tests of this file share while they run.
fn noise(random: &mut ChaCha8Rng, shape: &[i64]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.732f32..1.732)).collect();
    Tensor::from_slice(&values).view(shape)
}

/// A first stage of seeded weights: two bottlenecks of 12 and 24 channels.
fn first_stage(random: &mut ChaCha8Rng, pre_activated: bool) -> FirstStage {
    let mut layer = |inputs: i64, outputs: i64, kernel: i64| Layer {
        weight: noise(random, &[outputs, inputs, kernel, kernel]) * (2.0 / (inputs * kernel * kernel) as f64).sqrt(),
        bias: noise(random, &[outputs]) * 0.1,
    };
    let stem = layer(3, 16, 7);
    let activation = pre_activated.then(|| layer(16, 16, 1));
    let mut block = |index: i64| {
        let inputs = if index == 0 { 16 } else { 24 };
        // Where skips have no ReLU, the second bottleneck adds to the sum of the first.
        let summed = if pre_activated && index > 0 { 12 } else { inputs + 12 };
        Bottleneck { reduce: layer(inputs, 12, 1), middle: layer(12, 12, 3), expand: layer(summed, 24, 1) }
    };
    let blocks = vec![block(0), block(1)];
    FirstStage { stem, activation, blocks }
}

fn agree(width: i64, size: i64, remembered: Remembered) {
    let architecture = Architecture::new(width, size).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64((width + size) as u64);
    let mut networks = random::networks(&architecture, (width + size) as u64);
    networks.first_stage = (remembered == Remembered::FirstStage).then(|| first_stage(&mut random, width % 32 == 0));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut noise = |shape: &[i64]| noise(&mut random, shape);
    let memory = match remembered {
        Remembered::FirstStage => {
            let components = Some(Principal::new(noise(&[24]).abs(), noise(&[10, 24])));
            Memory { remembered, components, vectors: noise(&[40, 10]), layout: None }
        }
        Remembered::Teacher => {
            let dimensions = architecture.embedding * REMEMBERED_LEVELS.len() as i64;
            Memory { remembered, components: None, vectors: noise(&[40, dimensions]), layout: None }
        }
    };
    let source = || Source::of(&networks, remembered).unwrap();
    let embedding = |image: &Tensor| memory.embedding(source(), image);
    let good: Vec<Tensor> = (0..16).map(|_| embedding(&noise(&[1, 3, size, size]))).collect();
    let image = noise(&[1, 3, size, size]);
    let (seen, without) = (embedding(&image), distances(&memory, &embedding(&image)));
    let height = 2.0 * without.max().double_value(&[]);
    let mut layout = Layout::fit(&good, 3, 1).unwrap().measured(&[seen], height).unwrap();
    // The image's own largest error becomes 1.4, so that it counts in part, 1.6 times the memory's largest distance.
    layout.scale *= 1.4f64.sqrt();
    let memory = Memory { layout: Some(layout), ..memory };
    let raised = (memory.score(source(), &image) - &without).gt(0.0).sum(Kind::Float).double_value(&[]);
    assert!(raised > 0.0 && raised < without.numel() as f64, "{raised} cells raised by the layout");
    let mut meta = common::meta(size as usize);
    meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
    let onnx = to_onnx(&networks, &architecture, Some(&memory)).unwrap();
    let halved = rewrite(&onnx, &Plan::default()).unwrap();
    let program = Program::new(&onnx, &["memory"]).unwrap();
    Bundle::assemble(onnx, &meta).unwrap().save(&at("model.onnx")).unwrap();

    Tensor::write_safetensors(&[("image", &image)], at("input.safetensors")).unwrap();
    common::oracle("onnxruntime_scores.py", &[&at("model.onnx"), &at("input.safetensors"), &at("output.safetensors")]);
    let onnxruntime: HashMap<String, Tensor> =
        Tensor::read_safetensors(at("output.safetensors")).unwrap().into_iter().collect();
    assert_eq!(onnxruntime["memory"].size(), [1, 1, size / 8, size / 8]);

    let values = Vec::<f32>::try_from(image.view(-1)).unwrap();
    let input = ModelInput::new(size as usize, size as usize, values).unwrap();
    let torch = torch_scores(&networks, Some(&memory), &input).unwrap();
    let tract = TractScorer::new(Bundle::load(&at("model.onnx")).unwrap()).unwrap().score(&input).unwrap();
    let calibrated = program.run(&image, |_, value| value).remove(0);
    let error = common::relative_error(&calibrated, &memory.score(source(), &image));
    assert!(error < f64::from(PARITY_LIMIT), "the calibration's own run of the graph: {error:e}");
    // 11 bits of mean and scale in place of 24.
    let halves = halved.graph.iter().flat_map(|graph| &graph.initializer).filter(|t| t.name.ends_with("/constant/f16"));
    assert_eq!(halves.count(), 2);
    let halved = TractScorer::new(Bundle::assemble(halved, &meta).unwrap()).unwrap().score(&input).unwrap();
    let expected = Tensor::from_slice(tract.branch(Branch::Memory));
    let error = common::relative_error(&Tensor::from_slice(halved.branch(Branch::Memory)), &expected);
    assert!(error > 0.0 && error < 2e-2, "constants in 16 bits: {error:e}");
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
    agree(16, 64, Remembered::Teacher);
}

#[test]
fn three_runtimes_agree_at_a_size_that_is_no_power_of_two() {
    agree(4, 192, Remembered::FirstStage);
}

#[test]
fn three_runtimes_agree_at_half_width() {
    agree(32, 128, Remembered::FirstStage);
}
