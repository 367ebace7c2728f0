//! Networks, losses and gradients against PyTorch: `tests/pytorch/make_goldens.py` made the values, from the method's
//! text and not from this crate. Its state dicts have the reference's names and are loaded as they are.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_export::model::{Architecture, Mode, Network, autoencoder, descriptor};
use mudenet_export::train::{LogicalGradient, joint_loss_with, level_loss};
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

const TRAIN: Mode = Mode { train: true, kind: Kind::Float };

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch").join(format!("{name}.safetensors"))
}

fn golden() -> HashMap<String, Tensor> {
    Tensor::read_safetensors(file("golden")).unwrap().into_iter().collect()
}

fn loaded<N>(make: impl Fn(&Architecture, Device) -> Network<N>, name: &str) -> Network<N> {
    let mut network = make(&Architecture::new(4, 64).unwrap(), Device::Cpu);
    network.load(&file(name)).unwrap();
    network
}

/// Every eighth cell of each level's map.
#[track_caller]
fn assert_maps(golden: &HashMap<String, Tensor>, prefix: &str, maps: &[Tensor]) {
    for (level, map) in maps.iter().enumerate() {
        let error = common::relative_error(
            &map.slice(2, None, None, 8).slice(3, None, None, 8),
            &golden[&format!("{prefix}.{level}")],
        );
        assert!(error < 1e-5, "{prefix}.{level}: {error}");
    }
}

#[track_caller]
fn assert_loss(golden: &HashMap<String, Tensor>, name: &str, loss: f64) {
    let expected = golden[&format!("loss.{name}")].double_value(&[]);
    assert!((loss - expected).abs() < 1e-5 * expected, "{name}: {loss}, expected {expected}");
}

/// Every parameter's gradient, the norm of the difference against the norm of all gradients: what a batch norm cancels
/// has a gradient that is nothing but rounding.
#[track_caller]
fn assert_gradients<N>(golden: &HashMap<String, Tensor>, prefix: &str, network: &Network<N>) {
    let named = network.vars.variables().into_iter().filter(|(_, variable)| variable.requires_grad());
    let gradients: Vec<_> = named.map(|(name, v)| (v.grad(), &golden[&format!("{prefix}.{name}")], name)).collect();
    let stored = golden.keys().filter(|name| name.starts_with(&format!("{prefix}."))).count();
    assert_eq!(gradients.len(), stored);
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    let whole = gradients.iter().map(|(_, expected, _)| norm(expected).powi(2)).sum::<f64>().sqrt();
    for (got, expected, name) in gradients {
        assert_eq!(got.size(), expected.size(), "{prefix}.{name}");
        let error = norm(&(&got - expected));
        assert!(error < 1e-4 * norm(expected) + 1e-6 * whole, "{prefix}.{name}: {error} of {}", norm(expected));
    }
}

#[test]
fn the_teacher_and_its_distillation_are_pytorchs() {
    let golden = golden();
    let teacher = loaded(descriptor, "teacher");
    let maps = tch::no_grad(|| teacher.net.forward(&golden["image"], Mode::EVAL));
    assert_maps(&golden, "teacher.eval", &maps);

    let target = golden["E"].upsample_bilinear2d([32, 32], false, None, None);
    let embeddings = teacher.net.forward(&golden["image"], TRAIN);
    let levels: Vec<Tensor> = embeddings.iter().map(|_| target.shallow_clone()).collect();
    let loss = level_loss(&levels, &embeddings);
    loss.backward();
    assert_loss(&golden, "distillation", loss.double_value(&[]));
    assert_gradients(&golden, "distillation.teacher", &teacher);
}

#[test]
fn the_joint_training_is_pytorchs() {
    let golden = golden();
    let teacher = loaded(descriptor, "teacher");
    let target = tch::no_grad(|| teacher.net.forward(&golden["image"], Mode::EVAL));
    for (gradient, prefix) in [(LogicalGradient::Stop, "joint"), (LogicalGradient::Flow, "flow")] {
        let structural = loaded(descriptor, "structural_student");
        let reconstruction = loaded(autoencoder, "autoencoder");
        let logical = loaded(descriptor, "logical_student");
        let s1 = structural.net.forward(&golden["image"], TRAIN);
        let a = reconstruction.net.forward(&golden["image"], TRAIN);
        let s2 = logical.net.forward(&golden["image"], TRAIN);
        let terms = joint_loss_with(gradient, &target, &s1, &a, &s2);
        terms.total().backward();
        for (name, value) in terms.values().named() {
            assert_loss(&golden, name, value);
        }
        assert_maps(&golden, "structural.train", &s1);
        assert_maps(&golden, "autoencoder.train", &a);
        assert_gradients(&golden, &format!("{prefix}.autoencoder"), &reconstruction);
        if gradient == LogicalGradient::Stop {
            assert_gradients(&golden, "joint.structural_student", &structural);
            assert_gradients(&golden, "joint.logical_student", &logical);
        }
    }
}
