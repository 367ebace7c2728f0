//! Stopping, failing and going on: nothing that was trained is lost, and what goes on ends where it would have ended.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_export::checkpoint::{CheckpointError, ModelRun, Settings, claim};
use mudenet_export::data::{Batch, GoodImages, Manifest, Reading};
use mudenet_export::model::Architecture;
use mudenet_export::train::{
    Control, Joint, Optimiser, Progress, Regularisation, Resumed, Saving, Schedule, Stage, Start, State, TrainError,
    latest, run,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// A product with a teacher, in a folder of its own.
struct Product {
    folder: tempfile::TempDir,
    teacher: PathBuf,
    good: PathBuf,
}

impl Product {
    fn new(images: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let teacher = common::teacher(folder.path(), &Architecture::new(4, 64).unwrap());
        let good = common::discs(folder.path(), images);
        Self { folder, teacher, good }
    }

    fn images(&self, settings: &Settings, workers: usize) -> GoodImages {
        let reading = Reading { workers, ..Reading::default() };
        GoodImages::read(std::slice::from_ref(&self.good), settings.seed, 64, reading).unwrap()
    }

    fn begin(&self, settings: &Settings, workers: usize) -> (Joint, GoodImages) {
        let images = self.images(settings, workers);
        let mut joint = Joint::new(Start::Teacher(&self.teacher), settings, Device::Cpu).unwrap();
        joint.use_images(&images);
        (joint, images)
    }

    fn run_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn saving(folder: &Path, steps: usize) -> Option<Saving> {
    Some(Saving { folder: folder.to_owned(), every: Duration::from_secs(3600), steps: Some(steps) })
}

/// A training that does something at every step.
struct Watched<'a, F> {
    joint: &'a mut Joint,
    calls: usize,
    at: F,
}

impl<F: FnMut(usize, &mut Vec<(&'static str, Tensor)>)> Stage for Watched<'_, F> {
    fn command(&self) -> &'static str {
        self.joint.command()
    }

    fn trained(&self) -> Vec<(&'static str, &VarStore)> {
        self.joint.trained()
    }

    fn terms(&mut self, batch: &Batch, train: bool) -> Vec<(&'static str, Tensor)> {
        let mut terms = self.joint.terms(batch, train);
        (self.at)(self.calls, &mut terms);
        self.calls += 1;
        terms
    }

    fn write(&self, folder: &Path, state: &State) -> Result<(), CheckpointError> {
        self.joint.write(folder, state)
    }
}

type Training = (Joint, GoodImages);

/// Trains; `at` sees every step's loss terms.
fn watch(
    (joint, images): &mut Training,
    resumed: Resumed,
    saving: Option<Saving>,
    stop: &AtomicBool,
    at: impl FnMut(usize, &mut Vec<(&'static str, Tensor)>),
) -> Result<State, TrainError> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut progress = Progress::new(log.path(), 4).unwrap();
    let settings = joint.settings().clone();
    let mut control = Control { stop, saving, progress: &mut progress };
    run(&mut Watched { joint, calls: 0, at }, images, &settings, resumed, &mut control)
}

fn go(training: &mut Training, resumed: Resumed) -> State {
    watch(training, resumed, None, &AtomicBool::new(false), |_, _| {}).unwrap()
}

fn weights(joint: &Joint) -> Vec<(String, Vec<f32>)> {
    let networks = &joint.networks;
    let stores = [&networks.structural.vars, &networks.autoencoder.vars, &networks.logical.vars];
    let mut all = Vec::new();
    for (i, vars) in stores.into_iter().enumerate() {
        for (name, tensor) in vars.variables() {
            all.push((format!("{i}.{name}"), Vec::<f32>::try_from(tensor.contiguous().view(-1)).unwrap()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_resumed_training_ends_in_the_same_bits() {
    let _generator = common::generator();
    tch::set_num_threads(1);
    let product = Product::new(14);
    let optimiser = Optimiser {
        schedule: Schedule::Cosine,
        patience: None,
        regularisation: Regularisation { weight_decay: 1e-4, clip: 5.0 },
    };
    let settings = Settings { optimiser, ..common::settings(4) };
    let mut whole = product.begin(&settings, 1);
    assert_eq!(go(&mut whole, Resumed::default()).step, 12);

    // Stopped after 5 of 12 steps, in the middle of the second epoch.
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut first = product.begin(&settings, 1);
    first.1.manifest().write(&folder).unwrap();
    let stop = AtomicBool::new(false);
    let stopped = watch(&mut first, Resumed::default(), saving(&folder, 2), &stop, |step, _| {
        stop.store(step == 4, Ordering::Relaxed);
    });
    let said = stopped.unwrap_err().to_string();
    assert!(said.contains("stopped at step 5 by Ctrl-C; continue with: mudenet-export train --resume"), "{said}");
    drop(first);

    let (joint, resumed) = Joint::resume(&folder, Device::Cpu).unwrap();
    assert_eq!((resumed.state.step, joint.settings()), (5, &settings));
    let images = GoodImages::again(&Manifest::read(&folder).unwrap(), 64, 3).unwrap();
    let mut second = (joint, images);
    let state = go(&mut second, resumed);
    assert_eq!(state.step, 12);
    assert!(weights(&whole.0) == weights(&second.0));
    assert_eq!(whole.0.run_after(&state), second.0.run_after(&state));
}

#[test]
fn the_number_of_workers_changes_no_bit() {
    let _generator = common::generator();
    tch::set_num_threads(1);
    let product = Product::new(12);
    let mut one = product.begin(&common::settings(2), 1);
    let mut five = product.begin(&common::settings(2), 5);
    go(&mut one, Resumed::default());
    go(&mut five, Resumed::default());
    assert!(weights(&one.0) == weights(&five.0));
}

#[test]
fn a_checkpoint_is_a_run_that_can_be_used() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut training = product.begin(&common::settings(4), 1);
    let stop = AtomicBool::new(false);
    watch(&mut training, Resumed::default(), saving(&folder, 1), &stop, |step, _| {
        stop.store(step == 2, Ordering::Relaxed);
    })
    .unwrap_err();
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["checkpoint-00000003"], "older checkpoints and parts are gone");
    let (run, _) = ModelRun::read(&folder.join("checkpoint-00000003")).unwrap();
    assert_eq!((run.steps, run.training.len(), run.held_back.len()), (3, 11, 1));
}

#[test]
fn a_loss_that_is_no_number_stops_and_leaves_the_last_good_checkpoint() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut training = product.begin(&common::settings(8), 1);
    let never = AtomicBool::new(false);
    let outcome = watch(&mut training, Resumed::default(), saving(&folder, 2), &never, |step, terms| {
        if step == 5 {
            terms[0].1 = &terms[0].1 * f64::NAN;
        }
    });
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("the loss became NaN at step 5; the checkpoint of step 4 is kept in"), "{said}");
    let (run, networks) = ModelRun::read(&latest(&folder).unwrap().1).unwrap();
    assert_eq!(run.steps, 4);
    let finite = |vars: &VarStore| vars.variables().values().all(|t| t.isfinite().all().int64_value(&[]) != 0);
    assert!(finite(&networks.structural.vars) && finite(&networks.autoencoder.vars) && finite(&networks.logical.vars));
}

#[test]
fn a_gradient_that_is_no_number_spoils_no_checkpoint() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut training = product.begin(&common::settings(8), 1);
    let never = AtomicBool::new(false);
    let outcome = watch(&mut training, Resumed::default(), saving(&folder, 1), &never, |step, terms| {
        if step == 3 {
            // The square root of zero is zero, its derivative is not a number once multiplied by zero.
            let nothing = &terms[0].1 * 0.0;
            terms[0].1 = &terms[0].1 + nothing.sqrt();
        }
    });
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("at step 4; the checkpoint of step 3 is kept in"), "{said}");
    assert_eq!(latest(&folder).unwrap().0, 3);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_previous_one() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut training = product.begin(&common::settings(2), 1);
    let never = AtomicBool::new(false);
    // A file where the part of the third checkpoint's folder would be.
    let state = watch(&mut training, Resumed::default(), saving(&folder, 1), &never, |step, _| {
        if step == 1 {
            std::fs::write(folder.join("checkpoint-00000003.part"), "in the way").unwrap();
        }
    });
    // The training goes on, and its fourth step is where it ends.
    assert_eq!(state.unwrap().step, 4);
    let (step, checkpoint) = latest(&folder).unwrap();
    assert_eq!(step, 2);
    assert_eq!(ModelRun::read(&checkpoint).unwrap().0.steps, 2);
}

#[test]
fn training_that_no_longer_helps_stops_with_the_best_weights() {
    let _generator = common::generator();
    tch::set_num_threads(1);
    let product = Product::new(12);
    // A rate at which the held-back loss soon jumps about.
    let optimiser = Optimiser { patience: Some(2), schedule: Schedule::Constant, ..Optimiser::default() };
    let settings = Settings { rate: 0.05, optimiser, ..common::settings(60) };
    let mut training = product.begin(&settings, 1);
    let state = go(&mut training, Resumed::default());
    let best = state.best.unwrap();
    assert!(state.step < 120, "{state:?}");
    assert_eq!(state.step - best.step, 4, "two epochs of two steps after the best");

    // The same training with a budget that ends at the best epoch has those weights.
    let optimiser = Optimiser { patience: None, ..optimiser };
    let settings = Settings { optimiser, ..settings };
    let settings = Settings { budget: mudenet_export::train::Budget::Epochs(best.step / 2), ..settings };
    let mut short = product.begin(&settings, 1);
    assert_eq!(go(&mut short, Resumed::default()).step, best.step);
    assert!(weights(&training.0) == weights(&short.0));
}

#[test]
fn a_folder_with_a_run_is_not_overwritten_unasked() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let mut training = product.begin(&common::settings(1), 1);
    let state = go(&mut training, Resumed::default());
    training.0.write(&folder, &state).unwrap();
    let said = claim(&folder, false).unwrap_err().to_string();
    assert!(said.contains("holds a finished run (model.toml)") && said.contains("--overwrite"), "{said}");
    claim(&folder, true).unwrap();
    claim(&folder, false).unwrap();
}

#[test]
fn an_image_that_changed_since_is_not_trained_on() {
    let _generator = common::generator();
    let product = Product::new(12);
    let folder = product.run_folder("run");
    claim(&folder, false).unwrap();
    let images = product.images(&common::settings(1), 1);
    images.manifest().write(&folder).unwrap();
    let changed = &images.training.paths()[3];
    std::fs::copy(&images.training.paths()[4], changed).unwrap();
    let said = GoodImages::again(&Manifest::read(&folder).unwrap(), 64, 1).unwrap_err().to_string();
    assert!(said.contains(&changed.display().to_string()) && said.contains("SHA-256"), "{said}");
}
