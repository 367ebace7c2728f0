//! What README and docs tell their readers to type: the training of README is run, on a tiny network, and every command and
//! option of `mudenet-export` exists. Options that stand alone in a sentence are those of one of the two programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;
#[path = "../../tests/common/documents.rs"]
mod documents;

use common::discs;
use documents::{Program, arguments, blocks, documents, is_option, spans, words};
use std::path::Path;
use std::process::Command;
use tch::{Kind, Tensor};

const EXPORT: &str = env!("CARGO_BIN_EXE_mudenet-export");

/// What README trains for an hour, here in seconds.
const SMALLER: [(&str, &str); 3] =
    [("--width half", "--width 8 --size 64"), ("--minutes 13", "--epochs 1"), ("--minutes 35", "--epochs 1")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A ResNet-50 v2 of seeded noise, in Gluon names.
fn backbone(path: &Path) {
    tch::manual_seed(7);
    let mut tensors: Vec<(String, Tensor)> = vec![];
    let norm = |tensors: &mut Vec<(String, Tensor)>, name: String, channels: i64| {
        for (part, value) in [("gamma", 1.0), ("beta", 0.1), ("running_mean", 0.0), ("running_var", 1.0)] {
            let values = Tensor::full([channels], value, (Kind::Float, tch::Device::Cpu));
            tensors.push((format!("{name}.{part}"), values));
        }
    };
    let conv = |tensors: &mut Vec<(String, Tensor)>, name: String, shape: [i64; 4]| {
        let spread = (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
        tensors.push((format!("{name}.weight"), Tensor::randn(shape, (Kind::Float, tch::Device::Cpu)) * spread));
    };
    conv(&mut tensors, "conv0".into(), [64, 3, 7, 7]);
    norm(&mut tensors, "batchnorm0".into(), 3);
    norm(&mut tensors, "batchnorm1".into(), 64);
    let mut inputs = 64;
    for (stage, blocks, inner) in [(1, 3, 64), (2, 4, 128), (3, 6, 256)] {
        let mut index = 0;
        for block in 0..blocks {
            let mut shapes = vec![[inner, inputs, 1, 1], [inner, inner, 3, 3], [4 * inner, inner, 1, 1]];
            if block == 0 {
                shapes.push([4 * inner, inputs, 1, 1]);
            }
            for shape in shapes {
                conv(&mut tensors, format!("stage{stage}.conv{index}"), shape);
                index += 1;
            }
            for (i, channels) in [inputs, inner, inner].into_iter().enumerate() {
                norm(&mut tensors, format!("stage{stage}.batchnorm{}", 3 * block + i), channels);
            }
            inputs = 4 * inner;
        }
    }
    norm(&mut tensors, "stage4.batchnorm0".into(), inputs);
    Tensor::write_safetensors(&tensors, path).unwrap();
}

#[test]
fn the_training_of_readme_works() {
    let folder = tempfile::tempdir().unwrap();
    backbone(&folder.path().join("resnet50v2.safetensors"));
    discs(folder.path(), 12);
    let (name, readme) = &documents(root())[0];
    assert_eq!(name, "README.md");
    let mut done = vec![];
    for shown in blocks(readme) {
        let Some(given) = arguments(&shown, "mudenet-export") else { continue };
        let command = SMALLER.iter().fold(given.join(" "), |command, (there, here)| command.replace(there, here));
        let output = Command::new(EXPORT).args(words(&command)).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {}: {said}", output.status);
        done.push(given[0].clone());
    }
    assert_eq!(done, ["distill", "train", "freeze"]);
    assert!(folder.path().join("part.onnx").is_file());
}

#[test]
fn commands_and_options_of_the_documents_exist() {
    let mut export = Program::new(EXPORT);
    let (mut options, mut alone) = (0, 0);
    // Both are built where the tests of the workspace are.
    let edge = Path::new(EXPORT).with_file_name("mudenet-edge");
    assert!(edge.exists(), "{} is missing; run this test with: cargo test --workspace --features full", edge.display());
    let mut edge = Program::new(edge);
    for (document, text) in documents(root()) {
        for shown in blocks(&text).into_iter().chain(spans(&text)) {
            let given = arguments(&shown, "mudenet-export").unwrap_or_default();
            if !given.is_empty() {
                options += export.knows(&given).unwrap_or_else(|why| panic!("{document}: {shown}: {why}"));
            } else if let Some(option) = words(&shown).first().filter(|word| word.starts_with("--") && is_option(word))
            {
                let option = option.split('=').next().unwrap_or_default();
                let known = export.has_somewhere(option) || edge.has_somewhere(option) || option == "--features";
                assert!(known, "{document}: `{shown}`: neither program has this option");
                alone += 1;
            }
        }
    }
    assert!(options >= 30 && alone >= 60, "{options} options of commands and {alone} alone found");
}
