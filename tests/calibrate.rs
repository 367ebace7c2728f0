//! `mudenet-edge calibrate` on small parts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{GREY, THRESHOLD, bundle, run, spotted};
use image::{Rgb, RgbImage};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::decide::ThresholdMethod;
use std::fs;
use tempfile::TempDir;

/// `count` good parts, each a little redder than the one before, and two bad ones.
fn station(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    bundle().save(&at("m.onnx".into())).unwrap();
    fs::create_dir(at("good".into())).unwrap();
    fs::create_dir(at("bad".into())).unwrap();
    for i in 0..count {
        let part = RgbImage::from_pixel(64, 64, Rgb([GREY + (i % 30) as u8, GREY, GREY]));
        part.save(at(format!("good/{i:03}.png"))).unwrap();
    }
    for i in 0..2 {
        spotted(64, 64, (30, 30), 12, 0).save(at(format!("bad/{i}.png"))).unwrap();
    }
    folder
}

const ARGUMENTS: [&str; 5] = ["calibrate", "--model", "m.onnx", "--good", "good"];

#[test]
fn the_threshold_goes_into_a_copy_of_the_model() {
    let folder = station(59);
    let arguments = ["--false-reject", "5%", "--confidence", "95%", "--bad", "bad", "--json", "-o", "new.onnx"];
    let run = run(folder.path(), &[&ARGUMENTS[..], &arguments].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["detection_rate"], 1.0);
    let largest = report["good_scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).fold(0.0, f64::max);

    let new = Bundle::load(&folder.path().join("new.onnx")).unwrap();
    let threshold = &new.meta().threshold;
    assert_eq!((threshold.method, threshold.good_parts), (ThresholdMethod::Tolerance, 59));
    // The rank is 59 of 59: the largest score.
    assert!((f64::from(threshold.value) - largest).abs() < 1e-6);
    let calibration = threshold.calibration.as_ref().unwrap();
    assert_eq!((calibration.false_reject, calibration.confidence), (0.05, 0.95));
    assert!(calibration.date.as_ref().is_some_and(|date| date.len() == 10));
    let old = Bundle::load(&folder.path().join("m.onnx")).unwrap();
    assert_eq!((old.meta().threshold.value, old.graph().graph.as_ref()), (THRESHOLD, new.graph().graph.as_ref()));
}

#[test]
fn one_part_short_is_refused_and_nothing_is_written() {
    let folder = station(58);
    let arguments = [&ARGUMENTS[..], &["--false-reject", "5%", "-o", "new.onnx"]].concat();
    let refused = "58 good parts are too few to promise a false-reject rate of 5 % with 95 % confidence: 1 more are \
                   needed (59 in all)";
    run(folder.path(), &arguments).assert_error(&[refused]);
    assert!(!folder.path().join("new.onnx").exists());
}

#[test]
fn estimates_say_that_they_are() {
    let folder = station(60);
    for (method, interval) in [("quantile", "not bounded by so few parts"), ("tail-fit", "confidence interval")] {
        let run = run(folder.path(), &[&ARGUMENTS[..], &["--method", method]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("an estimate") && run.stdout.contains(interval), "{}", run.stdout);
        assert!(run.stdout.contains("◀ threshold") && run.stdout.contains("nothing was written"), "{}", run.stdout);
    }
}

#[test]
fn rates_outside_0_to_1_are_refused() {
    let folder = station(1);
    for rate in ["0", "1", "100%", "-3%", "nan", "one"] {
        let run = run(folder.path(), &[&ARGUMENTS[..], &["--false-reject", rate]].concat());
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("expected a rate between 0 and 100 %"), "{run:?}");
    }
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let folder = station(59);
    let arguments = [&ARGUMENTS[..], &["--false-reject", "5%", "-o", "gone/new.onnx"]].concat();
    run(folder.path(), &arguments).assert_error(&["gone/new.onnx", "cannot be written"]);
    assert!(!folder.path().join("gone").exists());
}
