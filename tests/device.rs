//! `--device`.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod common;

use common::{bundle, good, run};
use mudenet_edge::infer::check_cuda;
use tempfile::TempDir;

/// Arguments of every command that computes networks, but for those that need a station.
const COMMANDS: [&[&str]; 6] = [
    &["inspect", "--model", "m.onnx", "good.png"],
    &["inspect", "--model", "m.onnx", "--info"],
    &["evaluate", "--model", "m.onnx", "--good", "good", "--bad", "good"],
    &["calibrate", "--model", "m.onnx", "--good", "good", "-o", "n.onnx"],
    &["golden", "--model", "m.onnx", "good"],
    &["bench", "--model", "m.onnx"],
];

fn station() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    good(64, 64).save(folder.path().join("good.png")).unwrap();
    std::fs::create_dir(folder.path().join("good")).unwrap();
    folder
}

#[test]
fn a_device_that_does_not_exist_is_refused() {
    let folder = station();
    for command in COMMANDS {
        let run = run(folder.path(), &[command, &["--device", "tpu"]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command:?}");
        assert!(run.stderr.contains("'tpu'") && run.stderr.contains("[possible values: cpu, cuda]"), "{}", run.stderr);
    }
}

#[test]
fn the_processor_is_the_default() {
    let folder = station();
    let verdict = |arguments: &[&str]| {
        let run = run(folder.path(), &[&["inspect", "--model", "m.onnx", "good.png", "--json"], arguments].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        run.lines()[0]["score"].as_f64().unwrap()
    };
    assert_eq!(verdict(&[]).to_bits(), verdict(&["--device", "cpu"]).to_bits());
}

/// On a machine with a GPU and in a program that was built for it, the device is used; anywhere else nothing is computed.
#[test]
fn a_missing_gpu_is_one_sentence() {
    let folder = station();
    let usable = check_cuda();
    for command in COMMANDS {
        let run = run(folder.path(), &[command, &["--device", "cuda"]].concat());
        match &usable {
            Ok(()) => assert!(!run.stderr.contains("CUDA device"), "{command:?}: {}", run.stderr),
            Err(reason) => {
                assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command:?}");
                let expected = format!("error: {}\n", reason.to_string().replace('\n', " "));
                assert_eq!(run.stderr, expected, "{command:?}");
                assert!(expected.starts_with("error: no CUDA device can be used: "));
            }
        }
    }
    if !cfg!(feature = "cuda") {
        let expected = "no CUDA device can be used: this program was built without the feature cuda";
        assert_eq!(usable.unwrap_err().to_string(), expected);
    }
}
