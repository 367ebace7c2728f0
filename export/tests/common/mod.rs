//! What several tests of the exporter share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mudenet_edge::bundle::{Meta, Parity, RuntimeParity};
use mudenet_edge::decide::Threshold;
use mudenet_edge::map::{Gaussian, Range, Ranges, Scoring, Upsample, Weights};
use mudenet_edge::preprocess::Preprocess;
use mudenet_export::backbone::{TargetKind, ZScore};
use mudenet_export::checkpoint::{Settings, TeacherRun};
use mudenet_export::data::Augmentation;
use mudenet_export::distill::MatchSizes;
use mudenet_export::model::{Architecture, LEVELS};
use mudenet_export::random;
use mudenet_export::train::{Budget, JointChoices, Optimiser, Precision};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// Held by every test that draws from libtorch's generator, which is one for the whole process.
pub fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Metadata that fits any graph of the exporter at `size`.
pub fn meta(size: usize) -> Meta {
    let ranges = vec![Range { min: 0.0, max: 1.0 }; LEVELS];
    Meta {
        preprocess: Preprocess::imagenet(size),
        scoring: Scoring {
            ranges: Ranges { structural: ranges.clone(), logical: ranges, ..Ranges::default() },
            epsilon: 1e-8,
            clamp: false,
            margin: 1,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(1.0),
            top: std::num::NonZeroUsize::MIN,
        },
        threshold: Threshold::manual(1.0),
        assumptions: [].into(),
        training: [].into(),
        parity: Parity { images: 0, tract: RuntimeParity::default(), good_scores: vec![], storage: None },
    }
}

/// Settings of a short training.
pub fn settings(epochs: usize) -> Settings {
    Settings {
        seed: 3,
        batch: 4,
        rate: 1e-3,
        budget: Budget::Epochs(epochs),
        precision: Precision::F32,
        augmentation: Augmentation { horizontal: true, vertical: false, rotation: 5.0, jitter: 0.1, damage: 0.0 },
        optimiser: Optimiser::default(),
        joint: JointChoices::default(),
    }
}

/// A folder with a teacher of seeded weights, as `distill` writes it.
pub fn teacher(folder: &Path, architecture: &Architecture) -> PathBuf {
    let folder = folder.join("teacher");
    let run = TeacherRun {
        architecture: *architecture,
        backbone: "none".into(),
        channels: vec![],
        mirror: true,
        settings: settings(1),
        data: vec![],
        images: 0,
        steps: 0,
        loss: 0.0,
        backbone_path: None,
        backbone_sha256: None,
        match_sizes: MatchSizes::default(),
        z_score: ZScore::default(),
        first_stage: 0,
        target: TargetKind::Sample,
    };
    run.write(&folder, &random::networks(architecture, 11).teacher).unwrap();
    folder
}

/// A folder with `count` pictures of a grey disc on a gradient, each a little elsewhere.
pub fn discs(folder: &Path, count: u32) -> PathBuf {
    let folder = folder.join("good");
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..count {
        let (cx, cy) = (48.0 + f64::from(i % 5), 46.0 + f64::from(i % 3));
        let picture = image::RgbImage::from_fn(96, 96, |x, y| {
            let inside = (f64::from(x) - cx).hypot(f64::from(y) - cy) < 24.0;
            let noise = (x * 7 + y * 13 + i * 29) % 11;
            let base = if inside { 180 } else { 60 + x / 2 };
            image::Rgb([base + noise, base, base - noise].map(|v| v as u8))
        });
        picture.save(folder.join(format!("{i:03}.png"))).unwrap();
    }
    folder
}

/// Runs a script of `tests/oracle` with the Python that `./check` prepares.
pub fn oracle(script: &str, arguments: &[&Path]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".venv/bin/python");
    let output = Command::new(&python)
        .arg(root.join("tests/oracle").join(script))
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}; ./check makes it", python.display()));
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Largest absolute difference, relative to the largest expected value.
pub fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.size(), expected.size());
    let largest = expected.abs().max().double_value(&[]);
    let error = (got - expected).abs().max().double_value(&[]);
    assert!(error.is_finite());
    error / largest
}
