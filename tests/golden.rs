//! `mudenet-edge golden`: known parts must be judged right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{bundle, good, run, spotted};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

fn samples() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    for name in ["golden/good", "golden/bad"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    good(64, 64).save(folder.path().join("golden/good/0.png")).unwrap();
    spotted(64, 64, (30, 30), 12, 0).save(folder.path().join("golden/bad/0.png")).unwrap();
    folder
}

#[test]
fn passes_only_where_every_part_is_judged_right() {
    let folder = samples();
    let golden =
        |arguments: &[&str]| run(folder.path(), &[&["golden", "--model", "m.onnx", "golden"], arguments].concat());
    let passed = golden(&[]);
    assert_eq!(passed.code, 0, "{passed:?}");
    assert!(passed.stdout.starts_with("1 of 1 good parts accepted, 1 of 1 bad parts rejected\n"), "{passed:?}");
    assert!(passed.stdout.ends_with("PASSED\n"));

    let blind = golden(&["--threshold", "1e6"]);
    assert_eq!(blind.code, 1, "{blind:?}");
    assert!(blind.stdout.starts_with("golden/bad/0.png: expected reject, got accept  score "), "{blind:?}");
    let strict: Value = serde_json::from_str(&golden(&["--threshold", "-1", "--json"]).stdout).unwrap();
    assert_eq!((&strict["passed"], &strict["samples"][0]["got"]), (&false.into(), &"reject".into()));
}

#[test]
fn a_bad_part_that_cannot_be_inspected_was_not_found() {
    let folder = samples();
    fs::write(folder.path().join("golden/bad/1.png"), "no picture").unwrap();
    let failed = run(folder.path(), &["golden", "--model", "m.onnx", "golden"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stdout.contains("golden/bad/1.png: expected reject, got fault"), "{failed:?}");
}

#[test]
fn a_set_without_bad_parts_proves_nothing() {
    let folder = samples();
    fs::remove_dir_all(folder.path().join("golden/bad")).unwrap();
    run(folder.path(), &["golden", "--model", "m.onnx", "golden"]).assert_error(&["golden/bad"]);
    fs::create_dir(folder.path().join("golden/bad")).unwrap();
    run(folder.path(), &["golden", "--model", "m.onnx", "golden"]).assert_error(&["golden/bad: holds no picture"]);
}
