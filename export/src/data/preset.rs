//! Settings with names: the augmentation of the paper's Tables A.16–A.18, and files of one's own.

use crate::train::{Precision, Schedule};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Settings of a training, each of them optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Preset {
    /// `none`, `h`, `v` or `hv`: mirror left–right and top–bottom.
    pub flip: Option<Flip>,
    /// Largest rotation either way, degrees, 0–180.
    pub rotate: Option<f64>,
    /// Largest relative change of brightness, contrast and saturation, 0–0.9.
    pub jitter: Option<f64>,
    /// Images a step.
    pub batch: Option<u16>,
    /// Adam's learning rate.
    pub rate: Option<f64>,
    /// How the rate goes over the budget.
    pub schedule: Option<Schedule>,
    /// Passes over the images.
    pub epochs: Option<usize>,
    /// Minutes of training.
    pub minutes: Option<f64>,
    /// Of split, order, augmentation and initial weights.
    pub seed: Option<u64>,
    /// Kind of the activations in training.
    pub precision: Option<Precision>,
    /// Times the weight, added to its gradient.
    pub weight_decay: Option<f64>,
    /// Largest norm of the gradient; 0 for no limit.
    pub clip: Option<f64>,
    /// Epochs without a lower held-back loss after which training stops.
    pub patience: Option<usize>,
}

/// Which mirrorings a good part may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// None.
    #[default]
    None,
    /// Left and right.
    H,
    /// Top and bottom.
    V,
    /// Both.
    Hv,
}

/// Rotation of the paper's R, whose size it does not give.
const ROTATION: f64 = 10.0;
/// Colour jitter of the paper's C.
const JITTER: f64 = 0.1;

/// Category and its letters: H and V flips, R rotation, C colour jitter.
const TABLE: [(&str, &str); 32] = [
    ("mvtec-ad/bottle", "HVRC"),
    ("mvtec-ad/cable", "HC"),
    ("mvtec-ad/capsule", "HV"),
    ("mvtec-ad/carpet", "HVRC"),
    ("mvtec-ad/grid", "HVRC"),
    ("mvtec-ad/hazelnut", "HVRC"),
    ("mvtec-ad/leather", "HVRC"),
    ("mvtec-ad/metal_nut", "HV"),
    ("mvtec-ad/pill", "HV"),
    ("mvtec-ad/screw", "HVRC"),
    ("mvtec-ad/tile", "HVRC"),
    ("mvtec-ad/toothbrush", "HVR"),
    ("mvtec-ad/transistor", "HVR"),
    ("mvtec-ad/wood", "HVRC"),
    ("mvtec-ad/zipper", "HVRC"),
    ("mvtec-loco/breakfast_box", "HV"),
    ("mvtec-loco/juice_bottle", "HV"),
    ("mvtec-loco/pushpins", "HVR"),
    ("mvtec-loco/screw_bag", "HVR"),
    ("mvtec-loco/splicing_connectors", "HVRC"),
    ("visa/candle", "HVR"),
    ("visa/capsules", "HVR"),
    ("visa/cashew", "HV"),
    ("visa/chewinggum", "HVR"),
    ("visa/fryum", "HVR"),
    ("visa/macaroni1", "HVR"),
    ("visa/macaroni2", "HVR"),
    ("visa/pcb1", "HV"),
    ("visa/pcb2", "HV"),
    ("visa/pcb3", "HV"),
    ("visa/pcb4", "HV"),
    ("visa/pipe_fryum", "HVR"),
];

/// The names of the built-in presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

impl Preset {
    /// A built-in preset (`mvtec-ad/cable`), or a TOML file of settings.
    ///
    /// # Errors
    /// A sentence naming the file and the key, or that there is no such preset.
    pub fn find(name: &str) -> Result<Self, String> {
        if let Some((_, letters)) = TABLE.iter().find(|(known, _)| *known == name) {
            return Ok(Self::of_letters(letters));
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: cannot be read: {e}"))?;
            return toml::from_str(&text).map_err(|e| format!("{name}: {}", e.to_string().trim_end()));
        }
        let near = preset_names().filter(|known| known.split('/').next_back() == name.split('/').next_back());
        let near: Vec<&str> = near.collect();
        let hint = if near.is_empty() {
            "see `mudenet-export presets`".into()
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        Err(format!("{name}: is neither a built-in preset nor a .toml file; {hint}"))
    }

    fn of_letters(letters: &str) -> Self {
        let flip = match (letters.contains('H'), letters.contains('V')) {
            (true, true) => Flip::Hv,
            (true, false) => Flip::H,
            (false, true) => Flip::V,
            (false, false) => Flip::None,
        };
        let when = |letter, amount| Some(if letters.contains(letter) { amount } else { 0.0 });
        Self { flip: Some(flip), rotate: when('R', ROTATION), jitter: when('C', JITTER), ..Self::default() }
    }
}
