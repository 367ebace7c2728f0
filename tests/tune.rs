//! `--tune` as its users run it: what is measured changes no verdict, whatever the cache holds. No test looks at how long
//! anything takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

#[path = "common/model.rs"]
mod model;

use mudenet_edge::infer::{Engine, Isa, PlanSource, Scorer, TractScorer, Tuner};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const SIDE: usize = 64;

fn station() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bundle = model::bundle(model::Network { width: 16, rows: SIDE, columns: SIDE, seed: 3 });
    bundle.save(&folder.path().join("m.onnx")).unwrap();
    let picture = image::RgbImage::from_fn(60, 60, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 90]));
    picture.save(folder.path().join("part.png")).unwrap();
    folder
}

fn run(folder: &Path, cache: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .current_dir(folder)
        .args(arguments)
        .env("XDG_CACHE_HOME", cache)
        .env_remove("CACHE_DIRECTORY")
        .output()
        .unwrap()
}

fn plans(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache.join("mudenet-edge")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A line's verdict and score.
fn verdict(output: &Output) -> (String, f64) {
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    (line["verdict"].to_string(), line["score"].as_f64().unwrap())
}

const INSPECT: [&str; 5] = ["inspect", "--model", "m.onnx", "part.png", "--json"];
const TUNED: [&str; 6] = ["inspect", "--model", "m.onnx", "part.png", "--json", "--tune"];
const INFO: [&str; 5] = ["inspect", "--model", "m.onnx", "--info", "--tune"];

#[test]
fn a_plan_is_measured_once_and_remembered() {
    let folder = station();
    let cache = folder.path().join("cache");
    let (expected, score) = verdict(&run(folder.path(), &cache, &INSPECT));
    assert!(plans(&cache).is_empty(), "nothing is measured without --tune");
    let first = run(folder.path(), &cache, &INFO);
    let text = String::from_utf8_lossy(&first.stdout);
    assert!(text.lines().any(|line| line.starts_with("computed") && line.ends_with(", measured")), "{text}");
    let [plan] = &plans(&cache)[..] else { panic!("expected one plan, got {:?}", plans(&cache)) };
    let written = std::fs::read(plan).unwrap();
    let again = run(folder.path(), &cache, &INFO);
    assert!(String::from_utf8_lossy(&again.stdout).contains(", measured earlier\n"));
    assert_eq!(std::fs::read(plan).unwrap(), written);
    let tuned = run(folder.path(), &cache, &TUNED);
    assert!(tuned.stderr.is_empty(), "{tuned:?}");
    let (verdict, other) = verdict(&tuned);
    assert_eq!(verdict, expected);
    assert!((score - other).abs() <= 1e-4 * score.abs(), "{score} became {other}");
}

#[test]
fn a_cache_that_is_no_use_is_one_warning() {
    let folder = station();
    let cache = folder.path().join("cache");
    let expected = run(folder.path(), &cache, &TUNED);
    let [plan] = &plans(&cache)[..] else { panic!("expected one plan, got {:?}", plans(&cache)) };
    for bytes in [&b"\x00\xffnonsense"[..], b"", br#"{"for": 1}"#] {
        std::fs::write(plan, bytes).unwrap();
        let output = run(folder.path(), &cache, &TUNED);
        assert_eq!((output.status.code(), verdict(&output).0), (expected.status.code(), verdict(&expected).0));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.starts_with("warning: ") && errors.contains("measured anew"), "{errors}");
        assert!(run(folder.path(), &cache, &TUNED).stderr.is_empty(), "the plan is replaced");
    }
    // A file where the folder should be: nothing can be kept.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run(folder.path(), &file, &TUNED);
    assert_eq!(verdict(&output).0, verdict(&expected).0);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.lines().all(|line| line.starts_with("warning: ")) && errors.contains("cannot be written"),
        "{errors}"
    );
}

#[test]
fn scores_of_any_plan_agree() {
    /// Shows other times with each call, so that plans differ from the estimate.
    fn uneven() -> Duration {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        Duration::from_millis(10 * calls + calls * 7919 % 10)
    }
    let bundle = model::bundle(model::Network { width: 16, rows: SIDE, columns: SIDE, seed: 4 });
    let input = model::input(SIDE, SIDE, 5);
    for isa in Isa::available() {
        let engine = Engine::Fused(isa);
        let mut plain = TractScorer::with_engine(&bundle, engine).unwrap();
        let mut tuned = TractScorer::tuned(&bundle, engine, &Tuner::new(uneven, None)).unwrap();
        assert_eq!((plain.plan_source(), tuned.plan_source()), (PlanSource::Estimated, PlanSource::Measured));
        assert_ne!(plain.operators(), tuned.operators(), "{}", isa.name());
        let (plain, tuned) = (plain.score(&input).unwrap(), tuned.score(&input).unwrap());
        for branch in mudenet_edge::map::Branch::ALL {
            let largest = plain.branch(branch).iter().fold(0f32, |most, value| most.max(*value));
            for (one, other) in plain.branch(branch).iter().zip(tuned.branch(branch)) {
                assert!((one - other).abs() <= 2e-5 * largest, "{}: {one} and {other}", isa.name());
            }
        }
    }
}
