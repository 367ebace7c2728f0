//! Settings with names: the paper's method, the augmentation of its Tables A.16–A.18, and files of one's own.

use crate::backbone::TargetKind;
use crate::train::{Precision, Schedule};
use mudenet_edge::config::parse_toml;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Settings of `distill`, `train` and `freeze`, each of them optional; a command takes those that it has.
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
    /// What the teacher learns to give.
    pub target: Option<TargetKind>,
    /// Mirrored borders instead of the backbone's zero padding.
    pub mirror: Option<bool>,
    /// Channels of the backbone's first stage to keep for the memory, 0–256.
    pub first_stage: Option<usize>,
    /// Embeddings of good parts to remember.
    pub memory: Option<usize>,
    /// Outer cells of the map to leave out.
    pub margin: Option<usize>,
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

/// The name of the preset that does everything as the paper does.
const PAPER: &str = "paper";

/// The names of the built-in presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(PAPER).chain(TABLE.iter().map(|(name, _)| *name))
}

impl Preset {
    /// All of `names` together, where a later one goes before an earlier one.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn all(names: &[String]) -> Result<Self, String> {
        names.iter().try_fold(Self::default(), |settings, name| Ok(Self::find(name)?.or(settings)))
    }

    /// A built-in preset (`paper`, `mvtec-ad/cable`), or a TOML file of settings.
    ///
    /// # Errors
    /// A sentence naming the file and the key, or that there is no such preset.
    pub fn find(name: &str) -> Result<Self, String> {
        if name == PAPER {
            return Ok(Self::paper());
        }
        if let Some((_, letters)) = TABLE.iter().find(|(known, _)| *known == name) {
            return Ok(Self::of_letters(letters));
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: cannot be read: {e}"))?;
            return parse_toml(&text).map_err(|(line, reason)| format!("{name}:{line}: {reason}"));
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

    /// The paper's training, and its networks and map without what this project adds. What the paper leaves open
    /// has the same defaults with and without it, see ASSUMPTIONS.md.
    fn paper() -> Self {
        Self {
            batch: Some(8),
            rate: Some(1e-3),
            schedule: Some(Schedule::Constant),
            epochs: Some(500),
            target: Some(TargetKind::Sample),
            mirror: Some(false),
            first_stage: Some(0),
            memory: Some(0),
            margin: Some(0),
            ..Self::default()
        }
    }

    /// These settings, and `other`'s where there are none.
    fn or(self, other: Self) -> Self {
        Self {
            flip: self.flip.or(other.flip),
            rotate: self.rotate.or(other.rotate),
            jitter: self.jitter.or(other.jitter),
            batch: self.batch.or(other.batch),
            rate: self.rate.or(other.rate),
            schedule: self.schedule.or(other.schedule),
            epochs: self.epochs.or(other.epochs),
            minutes: self.minutes.or(other.minutes),
            seed: self.seed.or(other.seed),
            precision: self.precision.or(other.precision),
            weight_decay: self.weight_decay.or(other.weight_decay),
            clip: self.clip.or(other.clip),
            patience: self.patience.or(other.patience),
            target: self.target.or(other.target),
            mirror: self.mirror.or(other.mirror),
            first_stage: self.first_stage.or(other.first_stage),
            memory: self.memory.or(other.memory),
            margin: self.margin.or(other.margin),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_preset_goes_before_an_earlier_one() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own.toml");
        std::fs::write(&own, "epochs = 40\nmargin = 2\nfirst-stage = 64\n").unwrap();
        let own = own.to_str().unwrap();
        let both = Preset::all(&names(&["paper", "mvtec-ad/cable", own])).unwrap();
        assert_eq!((both.epochs, both.margin, both.first_stage), (Some(40), Some(2), Some(64)));
        assert_eq!((both.memory, both.mirror, both.target), (Some(0), Some(false), Some(TargetKind::Sample)));
        assert_eq!((both.flip, both.rotate), (Some(Flip::H), Some(0.0)));
        let other = Preset::all(&names(&[own, "paper"])).unwrap();
        assert_eq!((other.epochs, other.margin, other.first_stage), (Some(500), Some(0), Some(0)));
        let error = Preset::all(&names(&["paper", "paperr"])).unwrap_err();
        assert!(error.contains("paperr: is neither"), "{error}");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_one_sentence_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own.toml");
        let own = own.to_str().unwrap();
        for (text, line, reason) in [("epochs = 4\nflop = 1\n", 2, "unknown field `flop`"), ("[a", 1, "unclosed table")]
        {
            std::fs::write(own, text).unwrap();
            let error = Preset::find(own).unwrap_err();
            assert!(error.starts_with(&format!("{own}:{line}: {reason}")) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_presets_print_is_read_as_the_same() {
        for name in preset_names() {
            let preset = Preset::find(name).unwrap();
            assert_eq!(toml::from_str::<Preset>(&toml::to_string(&preset).unwrap()).unwrap(), preset, "{name}");
        }
    }
}
