//! `mudenet-edge bench` as its users run it. No test looks at how long anything takes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{CELLS, SIDE, bundle, run};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SHORT: [&str; 8] = ["bench", "--model", "m.onnx", "--frames", "12", "--seconds", "0", "--threads=1"];

fn station() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    folder
}

fn bench(folder: &Path, more: &[&str]) -> common::Run {
    run(folder, &[&SHORT[..], more].concat())
}

#[test]
fn the_figures_fit_each_other() {
    let folder = station();
    let ran = bench(folder.path(), &["--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let figure = |name: &str| report["latency"][name].as_f64().unwrap();
    assert!(figure("p50") <= figure("p90") && figure("p90") <= figure("p99") && figure("p99") <= figure("max"));
    assert!(report["frames"].as_u64() >= Some(12), "{report}");
    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["capture", "decode", "resize", "infer", "map", "decide", "signal"]);
    assert_eq!(report["input"], serde_json::json!([SIDE, SIDE]));
    // Two levels of a 1×1 convolution of 3 channels a branch.
    let direct: f64 = report["operators"].as_array().unwrap().iter().map(|o| o["direct_mmacs"].as_f64().unwrap()).sum();
    assert!((direct - (2 * 2 * 3 * CELLS * CELLS) as f64 / 1e6).abs() < 1e-9, "{report}");
    assert!(report["peak_gmacs"].as_f64() > Some(0.0) && report["load_ms"].as_f64() > Some(0.0));
    assert!(report["first_verdict_ms"].as_f64() >= report["load_ms"].as_f64());
}

#[test]
fn a_bound_that_does_not_hold_is_exit_code_1() {
    let folder = station();
    assert_eq!(bench(folder.path(), &["--assert", "p99<1000000ms", "--assert", "fps>0"]).code, 0);
    let broken = bench(folder.path(), &["--assert", "p50 < 0 ms", "--assert", "fps>0"]);
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("p50 < 0 ms does not hold: got "), "{}", broken.stderr);
    assert_eq!(bench(folder.path(), &["--assert", "p98<1ms"]).code, 2);
}

#[test]
fn runs_are_compared() {
    let folder = station();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("a.json"), bench(folder.path(), &["--json"]).stdout).unwrap();
    let mut second: Value = serde_json::from_slice(&std::fs::read(at("a.json")).unwrap()).unwrap();
    let half = second["latency"]["p50"].as_f64().unwrap() / 2.0;
    second["latency"]["p50"] = half.into();
    second["threads"] = 3.into();
    std::fs::write(at("b.json"), second.to_string()).unwrap();
    let compared = run(folder.path(), &["bench", "--compare", "a.json", "b.json"]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    let row = compared.stdout.lines().find(|line| line.starts_with("latency p50")).unwrap();
    assert!(row.ends_with(" 0.500"), "{row}");
    assert!(compared.stdout.contains("the runs differ in threads: 1 × 1 and 1 × 3"), "{}", compared.stdout);
    std::fs::write(at("c.json"), "{}").unwrap();
    let refused = run(folder.path(), &["bench", "--compare", "a.json", "c.json"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("c.json: is not what bench --json prints"), "{}", refused.stderr);
}

#[test]
fn plan_streams_and_soak() {
    let folder = station();
    let plan = bench(folder.path(), &["--plan"]);
    assert_eq!(plan.code, 0);
    assert!(plan.stdout.contains("direct to 2×32×32") && plan.stdout.contains("GMAC by definition"), "{}", plan.stdout);
    let streams = bench(folder.path(), &["--streams", "2", "--json"]);
    let report: Value = serde_json::from_str(&streams.stdout).unwrap();
    assert_eq!((report["streams"].as_u64(), report["threads"].as_u64()), (Some(2), Some(1)));
    assert!(report["frames"].as_u64() >= Some(12), "both streams' frames count: {report}");
    let soak = bench(folder.path(), &["--soak", "1s"]);
    assert_eq!(soak.code, 0, "{}", soak.stderr);
    assert!(soak.stdout.lines().last().unwrap().starts_with("from the first to the last line"), "{}", soak.stdout);
}

#[test]
fn bad_input_is_one_sentence_and_exit_code_2() {
    let folder = station();
    std::fs::write(folder.path().join("broken.onnx"), "not a model").unwrap();
    std::fs::write(folder.path().join("note.txt"), "not a picture").unwrap();
    for (arguments, part) in [
        (&["bench", "--model", "gone.onnx"][..], "gone.onnx"),
        (&["bench", "--model", "broken.onnx"], "broken.onnx"),
        (&["bench", "--model", "m.onnx", "--image", "gone.png"], "gone.png"),
        (&["bench", "--model", "m.onnx", "--image", "note.txt"], "note.txt"),
        (&["bench", "--model", "m.onnx", "--serve", "note.txt"], "note.txt"),
        (&["bench"], "--model"),
        (&["bench", "--model", "m.onnx", "--soak", "5"], "--soak"),
        (&["bench", "--model", "m.onnx", "--threads", "0"], "--threads"),
    ] {
        let ran = run(folder.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(part), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_script_is_served_frame_by_frame() {
    let folder = station();
    let input: Vec<u8> = (0..3 * SIDE * SIDE).flat_map(|i| ((i % 7) as f32 / 7.0).to_ne_bytes()).collect();
    std::fs::write(folder.path().join("input"), input).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(["bench", "--model", "m.onnx", "--threads", "1", "--serve", "input"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let hello: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
    assert!(hello["planned_mmacs"].as_f64() > Some(0.0), "{hello}");
    commands.write_all(b"frame\noutputs out\n").unwrap();
    assert!(answers.next().unwrap().unwrap().parse::<f64>().unwrap() > 0.0);
    assert_eq!(answers.next().unwrap().unwrap(), "done");
    let written = std::fs::read(folder.path().join("out")).unwrap();
    assert_eq!(written.len(), 2 * 2 * CELLS * CELLS * 4);
    drop(commands);
    assert!(child.wait().unwrap().success());
}
