//! What a bundle carries in `metadata_props`, one JSON value a key.

use super::{StorageReport, pb};
use crate::decide::Threshold;
use crate::map::Scoring;
use crate::preprocess::Preprocess;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the metadata that this program writes and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT: &str = "mudenet.format";
const PREPROCESS: &str = "mudenet.preprocess";
const SCORING: &str = "mudenet.scoring";
const THRESHOLD: &str = "mudenet.threshold";
const ASSUMPTIONS: &str = "mudenet.assumptions";
const TRAINING: &str = "mudenet.training";
const PARITY: &str = "mudenet.parity";
const PREFIX: &str = "mudenet.";

/// The metadata of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// `mudenet.preprocess`: frame → network input.
    pub preprocess: Preprocess,
    /// `mudenet.scoring`: level scores → anomaly map.
    pub scoring: Scoring,
    /// `mudenet.threshold`: the score above which a part is rejected.
    pub threshold: Threshold,
    /// `mudenet.assumptions`: the choice made for each assumption, `A-0xx` → choice.
    pub assumptions: BTreeMap<String, String>,
    /// `mudenet.training`: where the weights come from, for people and reports.
    pub training: BTreeMap<String, serde_json::Value>,
    /// `mudenet.parity`: how well the runtimes agree.
    pub parity: Parity,
}

/// What the freezer measured on held-back good images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// Number of images compared.
    pub images: usize,
    /// The trainer's framework against this file in the runtime.
    pub tract: RuntimeParity,
    /// Image scores of the held-back good images, sorted, as this crate computes them from this file.
    pub good_scores: Vec<f32>,
    /// What storing the model in fewer bits did; `None` for one in f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageReport>,
}

/// Largest difference of an output over the images, relative to the output's largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeParity {
    /// Of `structural`.
    pub structural: f32,
    /// Of `logical`.
    pub logical: f32,
    /// Of `memory`, where there is one.
    #[serde(default)]
    pub memory: f32,
}

impl Meta {
    pub(super) fn read(graph: &pb::ModelProto) -> Result<Self, String> {
        let props: BTreeMap<&str, &str> =
            graph.metadata_props.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        let Some(format) = props.get(FORMAT) else {
            return Err(format!(
                "is not a MuDeNet bundle: an ONNX model without the metadata key {FORMAT} (freeze it with mudenet-export)"
            ));
        };
        match format.parse::<u32>() {
            Ok(FORMAT_VERSION) => {}
            Ok(newer) if newer > FORMAT_VERSION => {
                return Err(format!(
                    "has metadata format {newer}, this program reads up to {FORMAT_VERSION}: update mudenet-edge"
                ));
            }
            _ => return Err(format!("{FORMAT}: expected {FORMAT_VERSION}, got {format:?}")),
        }
        let known = [FORMAT, PREPROCESS, SCORING, THRESHOLD, ASSUMPTIONS, TRAINING, PARITY];
        if let Some(key) = props.keys().find(|key| key.starts_with(PREFIX) && !known.contains(key)) {
            return Err(format!("has the unknown metadata key {key}"));
        }
        Ok(Self {
            preprocess: parse(&props, PREPROCESS)?,
            scoring: parse(&props, SCORING)?,
            threshold: parse(&props, THRESHOLD)?,
            assumptions: parse(&props, ASSUMPTIONS)?,
            training: parse(&props, TRAINING)?,
            parity: parse(&props, PARITY)?,
        })
    }

    pub(super) fn write(&self, graph: &mut pb::ModelProto) -> Result<(), String> {
        let mut put = |key: &str, value: String| {
            graph.metadata_props.retain(|p| p.key != key);
            graph.metadata_props.push(pb::StringStringEntryProto { key: key.into(), value });
        };
        put(FORMAT, FORMAT_VERSION.to_string());
        put(PREPROCESS, json(&self.preprocess)?);
        put(SCORING, json(&self.scoring)?);
        put(THRESHOLD, json(&self.threshold)?);
        put(ASSUMPTIONS, json(&self.assumptions)?);
        put(TRAINING, json(&self.training)?);
        put(PARITY, json(&self.parity)?);
        Ok(())
    }

    /// Refuses values that no bundle can have.
    pub(super) fn validate(&self) -> Result<(), String> {
        let Preprocess { height, width, mean, std, resize: _ } = &self.preprocess;
        let side = 64..=4096;
        if !side.contains(height) || !side.contains(width) || height % 64 != 0 || width % 64 != 0 {
            return Err(format!(
                "{PREPROCESS}: expected sides that are multiples of 64 up to 4096, got {height}×{width}"
            ));
        }
        if mean.iter().chain(std).any(|v| !v.is_finite()) || std.iter().any(|v| *v <= 0.0) {
            return Err(format!(
                "{PREPROCESS}: expected finite means and positive deviations, got {mean:?} and {std:?}"
            ));
        }
        let Scoring { ranges, weights, epsilon, gaussian, .. } = &self.scoring;
        for range in ranges.structural.iter().chain(&ranges.logical).chain(&ranges.memory) {
            if !range.min.is_finite() || !range.max.is_finite() || range.max < range.min {
                return Err(format!("{SCORING}: expected a finite range, got {} to {}", range.min, range.max));
            }
        }
        for weight in [weights.structural, weights.logical, weights.memory] {
            if !weight.is_finite() || weight < 0.0 {
                return Err(format!("{SCORING}: expected a weight ≥ 0, got {weight}"));
            }
        }
        if !epsilon.is_finite() || *epsilon < 0.0 {
            return Err(format!("{SCORING}: expected an epsilon ≥ 0, got {epsilon}"));
        }
        if !gaussian.sigma.is_finite() || gaussian.sigma < 0.0 || gaussian.radius > 1024 {
            return Err(format!(
                "{SCORING}: expected sigma ≥ 0 and radius ≤ 1024, got {} and {}",
                gaussian.sigma, gaussian.radius
            ));
        }
        if gaussian.radius > 0 && gaussian.sigma == 0.0 {
            return Err(format!("{SCORING}: a radius of {} needs a sigma above 0", gaussian.radius));
        }
        if !self.threshold.value.is_finite() {
            return Err(format!("{THRESHOLD}: expected a finite number, got {}", self.threshold.value));
        }
        rereadable(SCORING, &self.scoring)?;
        rereadable(THRESHOLD, &self.threshold)?;
        rereadable(PARITY, &self.parity)
    }
}

/// JSON has no infinity: what holds one could be written, and not be read again.
fn rereadable<T: Serialize + DeserializeOwned>(key: &str, value: &T) -> Result<(), String> {
    serde_json::from_str::<T>(&json(value)?).map(|_| ()).map_err(|_| format!("{key}: expected finite numbers only"))
}

fn parse<T: DeserializeOwned>(props: &BTreeMap<&str, &str>, key: &str) -> Result<T, String> {
    let value = props.get(key).ok_or_else(|| format!("lacks the metadata key {key}"))?;
    serde_json::from_str(value).map_err(|e| format!("{key}: {e}"))
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|e| e.to_string())
}
