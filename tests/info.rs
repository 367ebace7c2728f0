//! `mudenet-edge inspect --info`.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod common;

use common::{bundle, run};
use mudenet_edge::bundle::{Agreement, Bundle, Difference, StorageForm, StorageReport, TestReport};

fn report() -> StorageReport {
    let agreement = Agreement {
        images: 20,
        structural: Difference { max: 0.0123, mean: 0.0045 },
        logical: Difference { max: 0.0067, mean: 0.0008 },
        memory: Some(Difference { max: 0.0021, mean: 0.0007 }),
        score: 0.0031,
        rank_correlation: Some(0.9987),
    };
    StorageReport {
        form: StorageForm::Weights,
        method: "reconstructed layer by layer".into(),
        images: 16,
        float_layers: vec!["teacher/stem/conv".into()],
        float: agreement,
        runtimes: [("onnxruntime 1.32.0".to_owned(), Agreement { score: 4e-6, ..agreement })].into(),
        test: Some(TestReport {
            images: 83,
            image_auroc: [Some(0.9778), Some(0.9786)],
            pixel_auroc: [Some(0.9752), Some(0.9751)],
            pro: [Some(0.8728), Some(0.8724)],
            flips: 2,
            rank_correlation: None,
        }),
    }
}

#[test]
fn a_quantized_model_tells_how_it_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let mut meta = bundle().meta().clone();
    meta.parity.storage = Some(report());
    Bundle::assemble(bundle().graph().clone(), &meta).unwrap().save(&folder.path().join("m.onnx")).unwrap();
    let text = run(folder.path(), &["inspect", "--model", "m.onnx", "--info"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    let sha256 = Bundle::load(&folder.path().join("m.onnx")).unwrap().sha256().to_owned();
    for part in [
        sha256.as_str(),
        "8-bit weights, computed in f32",
        "teacher/stem/conv",
        "structural mean 4.5e-3, largest 1.2e-2",
        "memory mean 7.0e-4, largest 2.1e-3",
        "rank correlation 0.9987",
        "onnxruntime 1.32.0",
        "image AUROC 97.78 +0.08",
        "PRO 87.28 -0.04",
        "2 verdicts differ",
    ] {
        assert!(text.stdout.contains(part), "{part}:\n{}", text.stdout);
    }
    let json = run(folder.path(), &["inspect", "--model", "m.onnx", "--info", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(object["sha256"], sha256);
    assert_eq!(object["parity"]["storage"]["test"]["flips"], 2);
}

#[test]
fn info_of_an_f32_model_and_of_none() {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    assert!(run(folder.path(), &["inspect", "--model", "m.onnx", "--info"]).stdout.contains("stored as  f32"));
    run(folder.path(), &["inspect", "--model", "gone.onnx", "--info"]).assert_error(&["gone.onnx"]);
    assert_eq!(run(folder.path(), &["inspect", "--model", "m.onnx", "--info", "a.png"]).code, 2);
}

#[test]
fn a_branch_without_weight_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut meta = bundle().meta().clone();
    meta.scoring.weights.logical = 0.0;
    Bundle::assemble(bundle().graph().clone(), &meta).unwrap().save(&folder.path().join("m.onnx")).unwrap();
    let text = run(folder.path(), &["inspect", "--model", "m.onnx", "--info"]);
    assert!(text.stdout.contains("without logical: its weight is 0\n"), "{}", text.stdout);
    assert!(!text.stdout.contains("without structural"), "{}", text.stdout);
    let json = run(folder.path(), &["inspect", "--model", "m.onnx", "--info", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(object["left_out"], serde_json::json!(["logical"]));
}
