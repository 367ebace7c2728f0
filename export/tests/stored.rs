//! Freezing in fewer bits: accuracy, report, limits, bad input.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::bundle::{Agreement, Bundle, Difference, StorageForm, StorageReport, TestReport, pb};
use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::checkpoint::ModelRun;
use mudenet_export::freeze::{Checks, FreezeOptions, Limits, freeze, freeze_stored, to_onnx};
use mudenet_export::model::{Architecture, Mode};
use mudenet_export::quantize::{
    Form, Layer, Numbers, Plan, Program, Quantized, Rounding, Settings, quantize, round_weights, simple_plan,
};
use mudenet_export::random;
use mudenet_export::train::{Progress, Start, train};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

const SIZE: i64 = 64;
const OPTIONS: FreezeOptions = FreezeOptions::PAPER;

/// Students that nearly match: 5 % noise on the teacher's weights.
fn close_students() -> pb::ModelProto {
    close_students_with(|_| {})
}

/// The same with a change of teacher and structural student.
fn close_students_with(change: impl Fn(&VarStore)) -> pb::ModelProto {
    let architecture = Architecture::new(16, SIZE).unwrap();
    let networks = random::networks(&architecture, 4);
    tch::no_grad(|| {
        let teacher = networks.teacher.vars.variables();
        // In one order, so that each draws the same noise every time.
        let students: BTreeMap<_, _> = networks.structural.vars.variables().into_iter().collect();
        for (name, mut tensor) in students {
            let noise = teacher[&name].randn_like() * 0.05 * teacher[&name].std(false);
            tensor.copy_(&(&teacher[&name] + noise.nan_to_num(0.0, 0.0, 0.0)));
        }
        [&networks.teacher.vars, &networks.structural.vars].into_iter().for_each(change);
    });
    to_onnx(&networks, &architecture, None).unwrap()
}

fn images(count: i64) -> Tensor {
    tch::manual_seed(6);
    let coarse = Tensor::randn([count, 3, 16, 16], (Kind::Float, tch::Device::Cpu));
    coarse.upsample_bilinear2d([SIZE, SIZE], false, None, None)
}

fn settings(form: Form, rounding: Rounding) -> Settings {
    Settings { form, rounding, keep_above: f64::INFINITY, keep_share: 1.0, finish: 0 }
}

fn tract(graph: &pb::ModelProto, image: &Tensor) -> LevelScores {
    let bundle = Bundle::assemble(graph.clone(), &common::meta(SIZE as usize)).unwrap();
    let values = Vec::<f32>::try_from(image.contiguous().view(-1)).unwrap();
    TractScorer::new(&bundle).unwrap().score(&ModelInput::new(SIZE as usize, SIZE as usize, values).unwrap()).unwrap()
}

/// Mean absolute difference of the structural scores on an image that was not quantized on, relative to their mean.
fn structural_error(got: &pb::ModelProto, expected: &pb::ModelProto) -> f64 {
    let image = images(9).narrow(0, 8, 1);
    let (got, expected) = (tract(got, &image), tract(expected, &image));
    let pairs = got.branch(Branch::Structural).iter().zip(expected.branch(Branch::Structural));
    let (error, mean) = pairs.fold((0.0, 0.0), |(e, m), (a, b)| (e + f64::from((a - b).abs()), m + f64::from(*b)));
    error / mean
}

#[test]
fn reconstruction_keeps_small_differences_better_than_rounding() {
    let _generator = common::generator();
    let graph = close_students();
    // In the full form nearly all of the error is that of the activations, which no rounding of weights removes: there it
    // must do no harm, by more than what another processor's order of additions changes.
    for (form, part) in [(Form::Weights, 0.7), (Form::F16, 0.7), (Form::Full, 1.05)] {
        let error = |rounding| {
            let Quantized { model, .. } = quantize(&graph, &images(8), &settings(form, rounding)).unwrap();
            structural_error(&model, &graph)
        };
        let (nearest, reconstructed) = (error(Rounding::Nearest), error(Rounding::Reconstruct));
        assert!(reconstructed < part * nearest, "{form:?}: nearest {nearest}, reconstructed {reconstructed}");
    }
}

#[test]
fn finishing_brings_nearest_codes_closer() {
    let _generator = common::generator();
    let graph = close_students();
    let error = |finish| {
        let settings = Settings { finish, ..settings(Form::Weights, Rounding::Nearest) };
        structural_error(&quantize(&graph, &images(8), &settings).unwrap().model, &graph)
    };
    let (before, after) = (error(0), error(60));
    assert!(after < 0.8 * before, "{before} {after}");
}

#[test]
fn a_rounded_teacher_loses_nothing_more() {
    let _generator = common::generator();
    let architecture = Architecture::new(8, SIZE).unwrap();
    let networks = random::networks(&architecture, 4);
    let image = images(1);
    let float = to_onnx(&networks, &architecture, None).unwrap();
    let expected = simple_plan(&float, Form::Weights, &image).unwrap();
    round_weights(&networks.teacher.net).unwrap();
    let rounded = to_onnx(&networks, &architecture, None).unwrap();
    let teacher = |plan: &Plan| {
        let weights = plan.weights.iter().filter(|(name, _)| name.starts_with("teacher/"));
        weights.map(|(_, numbers)| numbers.clone()).collect::<Vec<_>>()
    };
    let codes = |plan: &Plan| {
        let values = |numbers| if let Numbers::Codes(codes) = numbers { codes.values } else { vec![] };
        teacher(plan).into_iter().map(values).collect::<Vec<_>>()
    };
    let got = simple_plan(&rounded, Form::Weights, &image).unwrap();
    assert_eq!(codes(&got), codes(&expected));
    // What trains against it sees what the 8-bit file computes.
    let program = Program::new(&rewrite_float(&float, &expected), &["teacher/level3/projection"]).unwrap();
    let expected = program.run(&image, |_, value| value).remove(0);
    let got = tch::no_grad(|| networks.teacher.net.forward(&image, Mode::EVAL)).remove(2);
    assert!(common::relative_error(&got, &expected) < 1e-4);
}

/// `graph` with the weights that the plan stores, in f32.
fn rewrite_float(graph: &pb::ModelProto, plan: &Plan) -> pb::ModelProto {
    let mut graph = graph.clone();
    for tensor in &mut graph.graph.as_mut().unwrap().initializer {
        let Some(numbers) = plan.weights.get(&tensor.name) else { continue };
        let shape = <[i64; 4]>::try_from(tensor.dims.as_slice()).unwrap();
        tensor.raw_data = numbers.weights(shape).into_iter().flat_map(f32::to_le_bytes).collect();
    }
    graph
}

#[test]
fn sensitive_layers_stay_in_f32_where_that_is_asked_for() {
    let _generator = common::generator();
    let graph = close_students();
    let all = quantize(&graph, &images(4), &settings(Form::Full, Rounding::Bias)).unwrap();
    assert!(all.layers.iter().all(|layer| layer.weights_quantized && layer.input_quantized));
    let mut errors: Vec<f64> =
        all.layers.iter().flat_map(|layer| [Some(layer.weight_error), layer.input_error]).flatten().collect();
    errors.sort_by(f64::total_cmp);
    let keep_above = errors[errors.len() / 2];
    let some = Settings { keep_above, ..settings(Form::Full, Rounding::Bias) };
    let mixed = quantize(&graph, &images(4), &some).unwrap();
    let names: Vec<&String> = mixed.model.graph.as_ref().unwrap().initializer.iter().map(|t| &t.name).collect();
    for layer in &mixed.layers {
        assert_eq!(layer.weights_quantized, layer.weight_error <= keep_above);
        let stored = format!("{}/weight{}", layer.name, if layer.weights_quantized { "/int8" } else { "" });
        assert!(names.contains(&&stored), "{stored}");
    }
    assert!(mixed.layers.iter().any(|layer| layer.input_quantized && layer.weights_quantized));
    assert!(structural_error(&mixed.model, &graph) < structural_error(&all.model, &graph));

    let share = 0.3;
    let few = quantize(&graph, &images(4), &Settings { keep_share: share, ..some }).unwrap();
    let kept = |layer: &&Layer| !layer.weights_quantized;
    let weights: usize = few.layers.iter().map(|layer| layer.weights).sum();
    let floats: usize = few.layers.iter().filter(kept).map(|layer| layer.weights).sum();
    assert!(floats > 0 && floats as f64 <= share * weights as f64, "{floats} of {weights}");
    let most = mixed.layers.iter().max_by(|a, b| a.weight_error.total_cmp(&b.weight_error)).unwrap();
    assert!(few.layers.iter().filter(kept).any(|layer| layer.name == most.name), "the most sensitive comes first");
}

#[test]
fn f32_weights_are_not_left_between_tensors_of_8_bits() {
    let _generator = common::generator();
    // Large weights of a channel that is never anything but 0: they cost the layer's other weights their codes, and nothing else.
    let graph = close_students_with(|vars| {
        let variables = vars.variables();
        let _ = variables["blocks.0.0.bn2.bias"].get(0).fill_(-1e3);
        let weights = &variables["blocks.1.0.conv1.weight"];
        let _ = weights.narrow(1, 0, 1).fill_(50.0 * weights.max().double_value(&[]));
    });
    let full = settings(Form::Full, Rounding::Nearest);
    let all = quantize(&graph, &images(4), &full).unwrap();
    let nodes = &graph.graph.as_ref().unwrap().node;
    // A layer whose weights cost more than both its input and what is made of its output.
    let reads = |name: &String| nodes.iter().find(|node| node.input.first() == Some(name));
    let (layer, keep_above) = all
        .layers
        .iter()
        .find_map(|layer| {
            let relu = reads(&layer.name).filter(|node| node.op_type == "Relu")?;
            let reader = reads(&relu.output[0])?;
            let next = all.layers.iter().find(|next| next.name == reader.name)?;
            let least = layer.input_error?.max(next.input_error?);
            (layer.weight_error > least).then_some((layer, (layer.weight_error + least) / 2.0))
        })
        .expect("such a layer");
    let mixed = quantize(&graph, &images(4), &Settings { keep_above, ..full }).unwrap();
    let kept = mixed.layers.iter().find(|kept| kept.name == layer.name).unwrap();
    assert!(!kept.weights_quantized && !kept.input_quantized, "{kept:?}");
    between_codes_are_codes(mixed.model.graph.as_ref().unwrap());
}

/// ONNX Runtime rounds the f32 weights of a convolution between tensors of 8 bits, with one scale for all channels.
fn between_codes_are_codes(graph: &pb::GraphProto) {
    let gives = |name: &String, op: &str| graph.node.iter().any(|n| n.output.contains(name) && n.op_type == op);
    let reads = |name: &String, op: &str| graph.node.iter().find(|n| n.input.contains(name) && n.op_type == op);
    for conv in graph.node.iter().filter(|node| node.op_type.starts_with("Conv")) {
        let output = reads(&conv.output[0], "Relu").map_or(&conv.output[0], |relu| &relu.output[0]);
        let between = gives(&conv.input[0], "DequantizeLinear") && reads(output, "QuantizeLinear").is_some();
        assert!(!between || gives(&conv.input[1], "DequantizeLinear"), "{}", conv.name);
    }
}

#[test]
fn images_that_show_nothing_are_refused() {
    let _generator = common::generator();
    let graph = close_students();
    let go = |images: &Tensor| {
        quantize(&graph, images, &settings(Form::Weights, Rounding::Reconstruct)).unwrap_err().to_string()
    };
    assert!(go(&images(1)).contains("at least 4 images to measure on, got 1"));
    let black = Tensor::full([5, 3, SIZE, SIZE], -1.8, (Kind::Float, tch::Device::Cpu));
    assert!(go(&black).contains("5 images to quantize on are all of one colour"));
}

#[test]
fn a_run_is_frozen_in_8_bits_with_its_report() {
    let _generator = common::generator();
    let folder = tempfile::tempdir().unwrap();
    let teacher = common::teacher(folder.path(), &Architecture::new(4, SIZE).unwrap());
    let good = common::discs(folder.path(), 20);
    let mut progress = Progress::new(&folder.path().join("log"), 4).unwrap();
    let stop = AtomicBool::new(false);
    let trained = train(Start::Teacher(&teacher), &good, &common::settings(6), &stop, &mut progress).unwrap();
    let (run, networks) = (&trained.run, &trained.networks);
    let storage = settings(Form::Weights, Rounding::Reconstruct);
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let set = folder.path().join("set");
    common::discs(&set, 6);
    std::fs::rename(common::discs(&folder.path().join("spare"), 5), set.join("bad")).unwrap();
    let checks = Checks { peers: Some(python), test: Some(set), force: true, ..Checks::default() };
    let stored = freeze_stored(run, networks, &OPTIONS, &storage, &checks).unwrap();
    let float = freeze(run, networks, &OPTIONS).unwrap();

    let file = folder.path().join("model.onnx");
    stored.bundle.save(&file).unwrap();
    let meta = Bundle::load(&file).unwrap().meta().clone();
    let report = meta.parity.storage.unwrap();
    assert_eq!((report.form, report.images, report.float.images), (StorageForm::Weights, 16, 2));
    // Ranges are those of the stored numbers, not of the f32 model's.
    assert_ne!(meta.scoring.ranges, float.meta().scoring.ranges);
    let (runtime, agreement) = report.runtimes.first_key_value().unwrap();
    assert!(runtime.starts_with("onnxruntime ") && agreement.score < 1e-3, "{runtime}: {agreement:?}");
    let test = report.test.unwrap();
    assert_eq!(test.images, 11);
    assert!(test.image_auroc.iter().all(Option::is_some));
    assert_eq!(test.pro, [None, None]);

    // Weights of another size beside the settings.
    let wrong = folder.path().join("wrong");
    run.write(&wrong, networks).unwrap();
    let other = common::teacher(&folder.path().join("other"), &Architecture::new(8, SIZE).unwrap());
    std::fs::copy(other.join("teacher.safetensors"), wrong.join("teacher.safetensors")).unwrap();
    let error = ModelRun::read(&wrong).unwrap_err().to_string();
    assert!(error.contains("teacher.safetensors") && error.contains("another architecture"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");

    // Calibration images of its own: none, and one.
    let calibration = folder.path().join("calibration");
    std::fs::create_dir(&calibration).unwrap();
    let checks = Checks { calibration: Some(calibration.clone()), ..Checks::default() };
    let go = || freeze_stored(run, networks, &OPTIONS, &storage, &checks).unwrap_err().to_string();
    assert!(go().contains("calibration: holds no picture"), "{}", go());
    std::fs::copy(good.join("003.png"), calibration.join("1.png")).unwrap();
    assert!(go().contains("got 1"), "{}", go());
}

#[test]
fn a_report_beyond_the_limits_says_which() {
    let close = Agreement { images: 9, ..Agreement::default() };
    let test = TestReport {
        images: 9,
        image_auroc: [Some(0.97), Some(0.973)],
        pixel_auroc: [None, None],
        pro: [Some(0.9), Some(0.901)],
        flips: 0,
        rank_correlation: None,
    };
    let report = StorageReport {
        form: StorageForm::Weights,
        method: String::new(),
        images: 16,
        float_layers: vec![],
        float: close,
        runtimes: [("openvino 1".to_owned(), close)].into(),
        test: Some(TestReport { image_auroc: [Some(0.97); 2], ..test }),
    };
    let beyond = |report: &StorageReport| Limits::of(report.form).beyond(report);
    assert_eq!(beyond(&report), Vec::<String>::new());
    let auroc = StorageReport { test: Some(test), ..report.clone() };
    assert_eq!(beyond(&auroc), ["image AUROC changes by +0.30 points, more than 0.2"]);
    assert_eq!(beyond(&StorageReport { form: StorageForm::Full, ..auroc }), Vec::<String>::new());
    let apart = Agreement { score: 0.02, ..close };
    let runtimes = [("openvino 1".to_owned(), apart)].into();
    assert_eq!(beyond(&StorageReport { runtimes, ..report.clone() }).len(), 1);
    let broken = Agreement { logical: Difference { max: f32::NAN, mean: f32::NAN }, ..close };
    assert!(beyond(&StorageReport { float: broken, ..report })[0].contains("logical"));
}
