//! Losses, optimiser, and a whole small training through to the runtime.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::decode;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::map::{Branch, RangeStatistic};
use mudenet_export::checkpoint::ModelRun;
use mudenet_export::freeze::{FreezeOptions, freeze};
use mudenet_export::model::{Architecture, Mode, descriptor};
use mudenet_export::train::{Adam, Progress, Start, joint_loss, level_loss, train};
use std::sync::atomic::AtomicBool;
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor};

const FREEZE: FreezeOptions = FreezeOptions::PAPER;

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

#[test]
fn a_level_loss_sums_channels_and_averages_the_rest() {
    let _generator = common::generator();
    let shape = [2usize, 5, 3, 4];
    let dims = shape.map(|n| n as i64);
    let maps = |_| (0..3).map(|_| random(&dims)).collect::<Vec<_>>();
    let (targets, embeddings): (Vec<_>, Vec<_>) = (maps(0), maps(1));
    let mut naive = 0.0;
    for (target, embedding) in targets.iter().zip(&embeddings) {
        let values = |t: &Tensor| Vec::<f32>::try_from(t.view(-1)).unwrap();
        let squares: f64 = values(target).iter().zip(values(embedding)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        naive += squares / (shape[0] * shape[2] * shape[3]) as f64 / 3.0;
    }
    let loss = level_loss(&targets, &embeddings).double_value(&[]);
    assert!((loss - naive).abs() < 1e-5 * naive, "{loss} {naive}");
}

#[test]
fn the_logical_loss_gives_the_autoencoder_no_gradient() {
    let _generator = common::generator();
    let maps = || vec![random(&[1, 4, 2, 2]).set_requires_grad(true)];
    let (teacher, structural, autoencoder, logical) = (maps(), maps(), maps(), maps());
    let terms = joint_loss(&teacher, &structural, &autoencoder, &logical);
    terms.total().backward();
    // d/dA of LA alone: 2 (A − T) / (batch · pixels · levels).
    let expected = (&autoencoder[0] - &teacher[0]) * (2.0 / 4.0);
    let error = (autoencoder[0].grad() - expected).abs().max().double_value(&[]);
    assert!(error < 1e-6, "{error}");
}

#[test]
fn adam_takes_the_steps_of_libtorch() {
    let _generator = common::generator();
    let architecture = Architecture::new(4, 64).unwrap();
    let make = || {
        tch::manual_seed(2);
        descriptor(&architecture, Device::Cpu)
    };
    let (ours, theirs) = (make(), make());
    let image = random(&[2, 3, 64, 64]);
    let target: Vec<Tensor> = (0..3).map(|_| random(&[2, 8, 32, 32])).collect();
    let mode = Mode { train: true, kind: Kind::Float };
    let mut adam = Adam::new(&[&ours.vars]);
    let mut reference = tch::nn::Adam::default().build(&theirs.vars, 1e-3).unwrap();
    for _ in 0..5 {
        adam.step(&level_loss(&target, &ours.net.forward(&image, mode)), 1e-3);
        reference.backward_step(&level_loss(&target, &theirs.net.forward(&image, mode)));
    }
    for (a, b) in ours.vars.trainable_variables().iter().zip(&theirs.vars.trainable_variables()) {
        let error = (a - b).abs().max().double_value(&[]);
        assert!(error < 1e-5, "{error}");
    }
}

#[test]
fn a_training_lowers_the_loss_and_scores_alike_in_the_runtime() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let architecture = Architecture::new(4, 64).unwrap();
    let teacher = common::teacher(folder.path(), &architecture);
    let good = common::discs(folder.path(), 20);
    let go = |epochs, name: &str| {
        let log = folder.path().join(name);
        let mut progress = Progress::new(&log, 4).unwrap();
        train(Start::Teacher(&teacher), &good, &common::settings(epochs), &AtomicBool::new(false), &mut progress)
            .unwrap()
    };
    let (short, long) = (go(1, "short.jsonl"), go(12, "long.jsonl"));
    assert!(long.run.losses.total() < 0.5 * short.run.losses.total(), "{:?} {:?}", short.run.losses, long.run.losses);
    assert_eq!((long.run.training.len(), long.run.held_back.len()), (18, 2));
    assert!(long.run.held_back.iter().all(|path| !long.run.training.contains(path)));

    let run_folder = folder.path().join("run");
    long.run.write(&run_folder, &long.networks).unwrap();
    let (run, networks) = ModelRun::read(&run_folder).unwrap();
    assert_eq!(run, long.run);
    let file = folder.path().join("model.onnx");
    freeze(&run, &networks, &FREEZE).unwrap().save(&file).unwrap();

    // The scores that the exporter measured are, to the bit, those of the runtime: both call the same stages.
    let bundle = Bundle::load(&file).unwrap();
    let mut inspector = Inspector::new(&bundle).unwrap();
    let mut scores: Vec<f32> =
        run.held_back.iter().map(|path| inspector.inspect(&decode(path).unwrap()).unwrap().score.value).collect();
    scores.sort_by(f32::total_cmp);
    assert_eq!(scores, bundle.meta().parity.good_scores);
    assert!(scores.iter().all(|score| *score <= bundle.meta().threshold.value));

    // Other choices of the freezer are told, and do what they say.
    let other = FreezeOptions { ranges: RangeStatistic::Quantiles, top: 9.try_into().unwrap(), ..FREEZE };
    let other = freeze(&run, &networks, &other).unwrap();
    for branch in [Branch::Structural, Branch::Logical] {
        let ranges = |bundle: &Bundle| bundle.meta().scoring.ranges.of(branch).to_vec();
        for (narrow, whole) in ranges(&other).iter().zip(ranges(&bundle)) {
            assert!(whole.min <= narrow.min && narrow.max < whole.max, "{narrow:?} {whole:?}");
        }
    }
    let told = |key: &str| other.meta().assumptions.get(key).map(String::as_str);
    assert_eq!([told("A-030"), told("A-031")], [Some("ranges quantiles"), Some("top 9")]);
    let (map, score) = {
        let inspection = Inspector::new(&other).unwrap().inspect(&decode(&run.held_back[0]).unwrap()).unwrap();
        (inspection.map, inspection.score.value)
    };
    let mut values = map.0.values;
    values.sort_by(|a, b| b.total_cmp(a));
    let mean = values[..9].iter().sum::<f32>() / 9.0;
    assert!((score - mean).abs() <= 1e-5 * mean.abs() && score < values[0], "{score}, expected {mean}");

    // Beside a memory the trained branches count what they earn, the same each time, and what was seen is told.
    let earning = FreezeOptions { memory: 5, weights: None, ..FREEZE };
    let earned = [(); 2].map(|()| freeze(&run, &networks, &earning).unwrap());
    let [weights, again] = earned.each_ref().map(|bundle| bundle.meta().scoring.weights);
    assert_eq!(weights, again);
    assert_eq!((weights.structural, weights.memory), (weights.logical, 1.0));
    let told = &earned[0].meta().assumptions["A-027"];
    let chosen = format!("weights {0},{0},1 (made-up damage, PRO ", weights.structural);
    assert!(told.starts_with(&chosen) && told.contains(" with 0, ") && told.contains(" with 0.25)"), "{told}");
    // The runtime, which leaves out what does not count, gives the scores that the exporter saw.
    let mut inspector = Inspector::new(&earned[0]).unwrap();
    let scores = run.held_back.iter().map(|path| inspector.inspect(&decode(path).unwrap()).unwrap().score.value);
    let mut scores: Vec<f32> = scores.collect();
    scores.sort_by(f32::total_cmp);
    assert_eq!(scores, earned[0].meta().parity.good_scores);
}

#[test]
fn a_run_is_trained_further_on_the_same_images() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let teacher = common::teacher(folder.path(), &Architecture::new(4, 64).unwrap());
    let good = common::discs(folder.path(), 20);
    let go = |start, epochs| {
        let mut progress = Progress::new(&folder.path().join("log"), 4).unwrap();
        train(start, &good, &common::settings(epochs), &AtomicBool::new(false), &mut progress).unwrap()
    };
    let fresh = go(Start::Teacher(&teacher), 1);
    let earlier = go(Start::Teacher(&teacher), 8);
    let run = folder.path().join("run");
    earlier.run.write(&run, &earlier.networks).unwrap();
    let further = go(Start::Run(&run), 1);
    assert_eq!(further.run.steps, earlier.run.steps + fresh.run.steps);
    assert_eq!(further.run.held_back, earlier.run.held_back);
    assert!(further.run.losses.total() < 0.7 * fresh.run.losses.total());
}

#[test]
fn a_training_with_one_seed_ends_in_the_same_weights() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let teacher = common::teacher(folder.path(), &Architecture::new(4, 64).unwrap());
    let good = common::discs(folder.path(), 9);
    let weights = |name: &str| {
        let mut progress = Progress::new(&folder.path().join(name), 4).unwrap();
        let trained =
            train(Start::Teacher(&teacher), &good, &common::settings(2), &AtomicBool::new(false), &mut progress)
                .unwrap();
        trained.run.write(&folder.path().join("run"), &trained.networks).unwrap();
        std::fs::read(folder.path().join("run/structural_student.safetensors")).unwrap()
    };
    tch::set_num_threads(1);
    assert!(weights("a.jsonl") == weights("b.jsonl"));
}

#[test]
fn stopping_and_bad_data_are_errors_that_say_why() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let teacher = common::teacher(folder.path(), &Architecture::new(4, 64).unwrap());
    let mut progress = Progress::new(&folder.path().join("log"), 4).unwrap();
    let mut go = |data: &std::path::Path, stop: bool| {
        train(Start::Teacher(&teacher), data, &common::settings(1), &AtomicBool::new(stop), &mut progress)
            .unwrap_err()
            .to_string()
    };
    let few = common::discs(&folder.path().join("few"), 7);
    assert!(go(&few, false).contains("7 images, learning needs at least 8"));
    assert!(go(&folder.path().join("nowhere"), false).contains("nowhere"));
    let good = common::discs(folder.path(), 9);
    assert!(go(&good, true).contains("stopped at step 0"));
    std::fs::write(good.join("005.png"), b"not a picture").unwrap();
    assert!(go(&good, false).contains("005.png"));
}

#[test]
fn a_run_whose_weights_are_not_numbers_is_not_frozen() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let architecture = Architecture::new(4, 64).unwrap();
    let teacher = common::teacher(folder.path(), &architecture);
    let good = common::discs(folder.path(), 9);
    let mut progress = Progress::new(&folder.path().join("log"), 4).unwrap();
    let trained =
        train(Start::Teacher(&teacher), &good, &common::settings(1), &AtomicBool::new(false), &mut progress).unwrap();
    tch::no_grad(|| {
        let _ = trained.networks.structural.net.stem.bias.as_ref().unwrap().shallow_clone().fill_(f64::NAN);
    });
    let error = freeze(&trained.run, &trained.networks, &FREEZE).unwrap_err().to_string();
    assert!(error.contains("structural_student/stem/conv/bias"), "{error}");
}
