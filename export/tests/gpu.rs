//! Training on a GPU against training on the CPU. Built with the feature `gpu-tests`, on a machine that has a GPU and
//! libtorch's CUDA library on its search path (`export/setup cuda`).
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_export::checkpoint::{ModelRun, Settings};
use mudenet_export::data::{Batch, GoodImages, Reading, standardise};
use mudenet_export::device::{DeviceChoice, pick};
use mudenet_export::freeze::{FreezeOptions, PARITY_LIMIT, freeze};
use mudenet_export::model::Architecture;
use mudenet_export::train::{Control, Joint, Precision, Progress, Resumed, Saving, Stage, Start, State, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tch::Device;

/// TF32, in which a GPU multiplies f32 unless told otherwise, keeps 11 bits, bf16 8.
const TF32: f64 = 5e-3;
const BF16: f64 = 3e-2;

fn begin(folder: &Path, precision: Precision, epochs: usize, device: Device) -> (Joint, GoodImages, Settings) {
    let settings = Settings { precision, ..common::settings(epochs) };
    let good = folder.join("good");
    let images = GoodImages::read(&[good], settings.seed, 64, Reading::default()).unwrap();
    let mut joint = Joint::new(Start::Teacher(&folder.join("teacher")), &settings, device).unwrap();
    joint.use_images(&images);
    (joint, images, settings)
}

fn go(joint: &mut Joint, images: &GoodImages, settings: &Settings, resumed: Resumed, folder: &Path) -> State {
    std::fs::create_dir_all(folder).unwrap();
    let mut progress = Progress::new(&folder.join("log"), settings.batch).unwrap();
    let saving = Saving { folder: folder.to_owned(), every: Duration::from_secs(3600), steps: Some(8) };
    let mut control = Control { stop: &AtomicBool::new(false), saving: Some(saving), progress: &mut progress };
    run(joint, images, settings, resumed, &mut control).unwrap()
}

fn product() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::teacher(folder.path(), &Architecture::new(8, 64).unwrap());
    common::discs(folder.path(), 20);
    folder
}

#[test]
fn a_step_on_the_gpu_is_a_step_on_the_cpu() {
    let _generator = common::generator();
    let gpu = pick(DeviceChoice::Cuda).unwrap();
    let folder = product();
    for (precision, tolerance) in [(Precision::F32, TF32), (Precision::Bf16, BF16)] {
        let (mut here, images, _) = begin(folder.path(), precision, 1, Device::Cpu);
        let (mut there, ..) = begin(folder.path(), precision, 1, gpu);
        // The generators of both devices draw other weights from one seed.
        for ((name, there), (_, here)) in there.trained().into_iter().zip(here.trained()) {
            for (variable, mut tensor) in there.variables() {
                tch::no_grad(|| tensor.copy_(&here.variables()[&variable]));
                assert_eq!(tensor.device(), gpu, "{name}.{variable}");
            }
        }
        let batch = Batch::plain(&images.training, &[0, 1, 2, 3]).unwrap();
        let on = |device: Device| {
            let pixels = standardise(&batch.pixels.to_device(device));
            Batch { pixels, keys: batch.keys.clone(), variants: batch.variants.clone() }
        };
        let mut gradients = Vec::new();
        for (joint, device) in [(&mut here, Device::Cpu), (&mut there, gpu)] {
            let terms = joint.terms(&on(device), true);
            let loss = terms.into_iter().map(|(_, term)| term).reduce(|a, b| a + b).unwrap();
            let mut named: Vec<_> = joint
                .trained()
                .into_iter()
                .flat_map(|(network, vars)| {
                    vars.variables().into_iter().map(move |(name, t)| (format!("{network}.{name}"), t))
                })
                .filter(|(_, tensor)| tensor.requires_grad())
                .collect();
            named.sort_by(|a, b| a.0.cmp(&b.0));
            let variables: Vec<_> = named.iter().map(|(_, tensor)| tensor).collect();
            let found = tch::Tensor::run_backward(&[&loss], &variables, false, false);
            let all: Vec<_> = found.iter().map(|t| t.to_device(Device::Cpu).reshape([-1])).collect();
            gradients.push((loss.double_value(&[]), tch::Tensor::cat(&all, 0)));
        }
        let [(loss, expected), (got_loss, got)] = &gradients[..] else { panic!("two devices") };
        assert!((loss - got_loss).abs() < tolerance * loss, "{precision:?}: {got_loss}, expected {loss}");
        let cosine = (got.dot(expected) / (got.norm() * expected.norm())).double_value(&[]);
        let length = (got.norm() / expected.norm()).double_value(&[]);
        assert!(cosine > 1.0 - tolerance && (length - 1.0).abs() < tolerance, "{precision:?}: {cosine}, {length}");
    }
}

#[test]
fn a_run_of_the_gpu_goes_on_and_freezes_on_the_cpu() {
    let _generator = common::generator();
    let gpu = pick(DeviceChoice::Cuda).unwrap();
    let folder = product();
    let (mut joint, images, settings) = begin(folder.path(), Precision::Bf16, 6, gpu);
    let runs = folder.path().join("run");
    let first = go(&mut joint, &images, &settings, Resumed::default(), &runs);
    // From the last of its checkpoints on, once on each device.
    for device in [gpu, Device::Cpu] {
        let (mut again, resumed) = Joint::resume(&runs, device).unwrap();
        assert!(resumed.state.step > 0 && resumed.state.step < first.step);
        let state = go(&mut again, &images, &settings, resumed, &folder.path().join("again"));
        assert_eq!(state.step, first.step);
        let loss = |state: &State| state.losses.values().sum::<f64>();
        assert!((loss(&state) / loss(&first) - 1.0).abs() < 0.2, "{:?}, expected {:?}", state.losses, first.losses);
    }
    let written = folder.path().join("written");
    joint.write(&written, &first).unwrap();
    let (run, networks) = ModelRun::read(&written).unwrap();
    let bundle = freeze(&run, &networks, &FreezeOptions::PAPER).unwrap();
    assert!(bundle.meta().parity.tract.structural < PARITY_LIMIT, "{:?}", bundle.meta().parity);
}
