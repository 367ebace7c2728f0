//! Quantized graphs in the runtime and in ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use mudenet_edge::bundle::{Bundle, pb};
use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::{Branch, Range};
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::freeze::to_onnx;
use mudenet_export::memory::{Memory, REMEMBERED_LEVELS, Remembered, distances};
use mudenet_export::model::Architecture;
use mudenet_export::quantize::{Form, Numbers, Plan, Program, rewrite, simple_plan};
use mudenet_export::random;
use std::collections::HashMap;
use std::path::Path;
use tch::{Kind, Tensor};

const SIZE: i64 = 128;

fn graph() -> pb::ModelProto {
    let architecture = Architecture::new(16, SIZE).unwrap();
    to_onnx(&random::networks(&architecture, 4), &architecture, None).unwrap()
}

fn image() -> Tensor {
    tch::manual_seed(5);
    Tensor::randn([1, 3, SIZE, SIZE], (Kind::Float, tch::Device::Cpu))
}

fn bundle(graph: pb::ModelProto) -> Bundle {
    Bundle::assemble(graph, &common::meta(SIZE as usize)).unwrap()
}

fn tract(bundle: &Bundle, image: &Tensor) -> LevelScores {
    let values = Vec::<f32>::try_from(image.view(-1)).unwrap();
    TractScorer::new(bundle).unwrap().score(&ModelInput::new(SIZE as usize, SIZE as usize, values).unwrap()).unwrap()
}

fn tensor(scores: &LevelScores, branch: Branch) -> Tensor {
    let shape = [1, scores.levels(Branch::Structural) as i64, scores.height() as i64, scores.width() as i64];
    Tensor::from_slice(scores.branch(branch)).view(shape)
}

/// What onnx's full check and ONNX Runtime make of a saved bundle.
fn onnxruntime(folder: &Path, bundle: &Bundle, image: &Tensor) -> HashMap<String, Tensor> {
    let at = |name: &str| folder.join(name);
    bundle.save(&at("model.onnx")).unwrap();
    Tensor::write_safetensors(&[("image", image)], at("input.safetensors")).unwrap();
    common::oracle("onnxruntime_scores.py", &[&at("model.onnx"), &at("input.safetensors"), &at("output.safetensors")]);
    Tensor::read_safetensors(at("output.safetensors")).unwrap().into_iter().collect()
}

/// Mean absolute difference, relative to the mean.
fn mean_error(got: &Tensor, expected: &Tensor) -> f64 {
    ((got - expected).abs().mean(Kind::Double) / expected.abs().mean(Kind::Double)).double_value(&[])
}

/// `graph` with the weights that the codes stand for, in f32.
fn float_twin(graph: &pb::ModelProto, plan: &Plan) -> pb::ModelProto {
    let mut graph = graph.clone();
    for tensor in &mut graph.graph.as_mut().unwrap().initializer {
        let Some(codes) = plan.weights.get(&tensor.name) else { continue };
        let shape = <[i64; 4]>::try_from(tensor.dims.as_slice()).unwrap();
        tensor.raw_data = codes.weights(shape).into_iter().flat_map(f32::to_le_bytes).collect();
    }
    graph
}

#[test]
fn weights_of_8_bits_compute_what_they_stand_for() {
    let _generator = common::generator();
    let (graph, image) = (graph(), image());
    let plan = simple_plan(&graph, Form::Weights, &image).unwrap();
    let quantized = bundle(rewrite(&graph, &plan).unwrap());
    let twin = tract(&bundle(float_twin(&graph, &plan)), &image);
    let got = tract(&quantized, &image);
    let float = tract(&bundle(graph), &image);
    let folder = tempfile::tempdir().unwrap();
    let peer = onnxruntime(folder.path(), &quantized, &image);
    for (branch, name) in [(Branch::Structural, "structural"), (Branch::Logical, "logical")] {
        let twin = tensor(&twin, branch);
        assert!(common::relative_error(&tensor(&got, branch), &twin) < 1e-5, "{name}");
        assert!(common::relative_error(&peer[name], &twin) < 1e-4, "{name}");
        let error = mean_error(&tensor(&got, branch), &tensor(&float, branch));
        assert!(error > 1e-6 && error < 0.1, "{name}: {error}");
    }
}

#[test]
fn activations_of_8_bits_agree_between_the_runtimes() {
    let _generator = common::generator();
    let (graph, image) = (graph(), image());
    let plan = simple_plan(&graph, Form::Full, &image).unwrap();
    let quantized = bundle(rewrite(&graph, &plan).unwrap());
    let got = tract(&quantized, &image);
    let float = tract(&bundle(graph), &image);
    let folder = tempfile::tempdir().unwrap();
    let peer = onnxruntime(folder.path(), &quantized, &image);
    for (branch, name) in [(Branch::Structural, "structural"), (Branch::Logical, "logical")] {
        // A value close to the middle between two codes may become either, so single cells differ.
        let error = mean_error(&tensor(&got, branch), &peer[name]);
        assert!(error < 2e-3, "{name}: {error}");
        let error = mean_error(&tensor(&got, branch), &tensor(&float, branch));
        assert!(error > 1e-3 && error < 0.3, "{name}: {error}");
    }
}

#[test]
fn weights_of_16_bits_are_close_in_both_runtimes() {
    let _generator = common::generator();
    let (graph, image) = (graph(), image());
    let plan = simple_plan(&graph, Form::F16, &image).unwrap();
    let halved = bundle(rewrite(&graph, &plan).unwrap());
    let got = tract(&halved, &image);
    let float = tract(&bundle(graph), &image);
    let folder = tempfile::tempdir().unwrap();
    let peer = onnxruntime(folder.path(), &halved, &image);
    for (branch, name) in [(Branch::Structural, "structural"), (Branch::Logical, "logical")] {
        let expected = tensor(&float, branch);
        assert!(common::relative_error(&tensor(&got, branch), &expected) < 1e-2, "{name}");
        assert!(common::relative_error(&peer[name], &tensor(&got, branch)) < 1e-4, "{name}");
    }
}

/// `count` vectors of the length that a memory over `architecture` has.
fn memory(architecture: &Architecture, count: i64) -> Memory {
    tch::manual_seed(7);
    let length = architecture.embedding * REMEMBERED_LEVELS.len() as i64;
    let vectors = Tensor::randn([count, length], (Kind::Float, tch::Device::Cpu));
    Memory { remembered: Remembered::Teacher, components: None, vectors, layout: None }
}

#[test]
fn remembered_vectors_of_8_bits_give_true_distances_in_both_runtimes() {
    let _generator = common::generator();
    let architecture = Architecture::new(16, SIZE).unwrap();
    let memory = memory(&architecture, 50);
    let graph = to_onnx(&random::networks(&architecture, 4), &architecture, Some(&memory)).unwrap();
    let image = image();
    for form in [Form::Weights, Form::Full] {
        let plan = simple_plan(&graph, form, &image).unwrap();
        let stored = rewrite(&graph, &plan).unwrap();
        assert!(stored.graph.as_ref().unwrap().initializer.iter().any(|t| t.name == "memory/remembered/weight/int8"));
        // Every remembered vector as its codes stand for it, against the embedding that the rounded teacher gives.
        let Numbers::Codes(codes) = &plan.weights["memory/remembered/weight"] else { panic!("not in 8 bits") };
        let rounded = Tensor::from_slice(&codes.weights([50, memory.vectors.size()[1], 1, 1])) * -0.5;
        let rounded = rounded.view(memory.vectors.size().as_slice());
        let rounded = Memory { remembered: Remembered::Teacher, components: None, vectors: rounded, layout: None };
        let difference = (&rounded.vectors - &memory.vectors).abs().max().double_value(&[]);
        assert!(difference > 0.0 && difference < 0.02, "{difference}");
        let program = Program::new(&float_twin(&graph, &plan), &["memory/embedding"]).unwrap();
        let seen = |name: &str, value: Tensor| match plan.activations.get(name) {
            Some(activation) => activation.rounded(&value),
            None => value,
        };
        let embedding = program.run(&image, seen).remove(0);
        let expected = distances(&rounded, &embedding);
        let mut meta = common::meta(SIZE as usize);
        meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
        let quantized = Bundle::assemble(stored, &meta).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let peer = &onnxruntime(folder.path(), &quantized, &image)["memory"];
        let tract = tract(&quantized, &image);
        let coarse =
            LevelScores::new(3, SIZE as usize / 2, SIZE as usize / 2, vec![0.0; 3 * 64 * 64], vec![0.0; 3 * 64 * 64]);
        let cells = SIZE as usize / 8;
        let values = Vec::<f32>::try_from(peer.contiguous().view(-1)).unwrap();
        let brought = coarse.unwrap().with_memory(cells, cells, &values).unwrap();
        let limit = if form == Form::Weights { 1e-4 } else { 2e-3 };
        assert!(mean_error(peer, &expected) < limit, "{form:?}: {}", mean_error(peer, &expected));
        let flat = |scores: &LevelScores| Tensor::from_slice(scores.branch(Branch::Memory));
        let error = mean_error(&flat(&tract), &flat(&brought));
        assert!(error < limit, "{form:?}: {error}");
    }
}

#[test]
fn files_are_a_quarter_and_half_as_large() {
    let architecture = Architecture::new(32, 256).unwrap();
    let size = |graph: pb::ModelProto| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        let mut meta = common::meta(256);
        meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
        Bundle::assemble(graph, &meta).unwrap().save(&file).unwrap();
        std::fs::metadata(file).unwrap().len() as f64
    };
    let _generator = common::generator();
    let memory = memory(&architecture, 2000);
    let graph = to_onnx(&random::networks(&architecture, 4), &architecture, Some(&memory)).unwrap();
    let image = Tensor::zeros([1, 3, 256, 256], (Kind::Float, tch::Device::Cpu));
    let quantized = |form| rewrite(&graph, &simple_plan(&graph, form, &image).unwrap()).unwrap();
    let float = size(graph.clone());
    assert!(size(quantized(Form::Weights)) < 0.28 * float);
    assert!(size(quantized(Form::Full)) < 0.28 * float);
    assert!(size(quantized(Form::F16)) < 0.53 * float);
}

#[test]
fn every_tensor_has_a_shape_and_every_name_is_its_place() {
    let _generator = common::generator();
    let (graph, image) = (graph(), image());
    let quantized = rewrite(&graph, &simple_plan(&graph, Form::Full, &image).unwrap()).unwrap().graph.unwrap();
    let known: Vec<&str> = quantized.value_info.iter().chain(&quantized.output).map(|v| v.name.as_str()).collect();
    for node in &quantized.node {
        assert_eq!(node.output, std::slice::from_ref(&node.name));
        assert_eq!(known.iter().filter(|name| **name == node.name).count(), 1, "{}", node.name);
    }
    for name in [
        "image/dequantize",
        "teacher/level2/block1/conv2/weight",
        "teacher/level2/block1/relu1/quantize",
        "autoencoder/decoder3/conv6/weight",
    ] {
        assert!(quantized.node.iter().any(|node| node.name == name), "{name}");
    }
}

#[test]
fn an_unknown_operator_is_named() {
    let _generator = common::generator();
    let (mut graph, image) = (graph(), image());
    let nodes = &mut graph.graph.as_mut().unwrap().node;
    nodes.iter_mut().find(|node| node.name == "teacher/stem/relu").unwrap().op_type = "Gelu".into();
    let error = simple_plan(&graph, Form::Weights, &image).unwrap_err().to_string();
    assert!(error.contains("teacher/stem/relu") && error.contains("Gelu"), "{error}");
}
