//! A frozen file in other runtimes, through the Python that has them.

use super::FreezeError;
use super::stored::Scored;
use mudenet_edge::bundle::{Agreement, AgreementObserver, Bundle, LOGICAL, MEMORY, STRUCTURAL};
use mudenet_edge::infer::LevelScores;
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = include_str!("peers.py");

#[derive(Deserialize)]
struct Peer {
    runtime: String,
    version: String,
}

/// `bundle` on `inputs` in every runtime that `python` has, against `expected`.
///
/// # Errors
/// [`FreezeError::Peers`] where the Python cannot be started, has no runtime, or a runtime refuses the file.
pub(super) fn compare(
    python: &Path,
    bundle: &Bundle,
    inputs: &[ModelInput],
    expected: &[Scored],
) -> Result<BTreeMap<String, Agreement>, FreezeError> {
    let cells = bundle.output_shape(MEMORY);
    let remembers = cells.is_some();
    let failed = |reason: String| FreezeError::Peers { python: python.to_owned(), reason };
    let io = |error: std::io::Error| failed(error.to_string());
    let folder = tempfile::tempdir().map_err(io)?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("peers.py"), SCRIPT).map_err(io)?;
    bundle.save(&at("model.onnx")).map_err(|e| failed(e.to_string()))?;
    let values: Vec<u8> = inputs.iter().flat_map(|input| input.values()).flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(at("inputs"), values).map_err(io)?;
    let output = Command::new(python)
        .args([at("peers.py"), at("model.onnx"), at("inputs")])
        .arg(inputs.len().to_string())
        .arg(folder.path())
        .args(remembers.then_some(MEMORY))
        .output()
        .map_err(io)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(failed(text.lines().last().unwrap_or("it failed without a word").to_owned()));
    }
    let mut runtimes = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(peer) = serde_json::from_str::<Peer>(line) else { continue };
        let read = |name: &str| -> Result<Vec<f32>, FreezeError> {
            let bytes = std::fs::read(at(&format!("{}.{name}", peer.runtime))).map_err(io)?;
            Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let (structural, logical) = (read(STRUCTURAL)?, read(LOGICAL)?);
        let memory = if remembers { read(MEMORY)? } else { Vec::new() };
        let mut observer = AgreementObserver::default();
        for (index, expected) in expected.iter().enumerate() {
            let (levels, height, width) =
                (expected.levels.levels(Branch::Structural), expected.levels.height(), expected.levels.width());
            let length = levels * height * width;
            let part = |values: &[f32]| values.get(index * length..(index + 1) * length).unwrap_or_default().to_vec();
            let mut levels = LevelScores::new(levels, height, width, part(&structural), part(&logical))?;
            if let Some([.., height, width]) = cells.as_deref() {
                let (height, width) = (*height as usize, *width as usize);
                let area = height * width * expected.levels.levels(Branch::Memory);
                let part = memory.get(index * area..(index + 1) * area).unwrap_or_default();
                levels = levels.with_memory(height, width, part)?;
            }
            let score = super::stored::image_score(bundle.meta(), &levels)?;
            observer.observe((&levels, score), (&expected.levels, expected.score));
        }
        runtimes.insert(format!("{} {}", peer.runtime, peer.version), observer.finish());
    }
    if runtimes.is_empty() {
        return Err(failed("has neither onnxruntime nor openvino".into()));
    }
    Ok(runtimes)
}
