//! Runs on disk: weights as safetensors under the reference's names, every setting beside them as TOML.

use crate::backbone::{TargetKind, ZScore};
use crate::data::Augmentation;
use crate::distill::MatchSizes;
use crate::first_stage::FIRST_STAGE;
use crate::model::{Architecture, Network};
use crate::train::{Budget, JointChoices, Losses, Networks, Optimiser, Precision, clear, latest};
use mudenet_edge::record::write_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use tch::Device;

/// Weights of T.
pub const TEACHER: &str = "teacher.safetensors";
const STRUCTURAL: &str = "structural_student.safetensors";
const AUTOENCODER: &str = "autoencoder.safetensors";
const LOGICAL: &str = "logical_student.safetensors";
const TEACHER_RUN: &str = "teacher.toml";
const MODEL_RUN: &str = "model.toml";

/// What both stages are set up with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of split, order, augmentation and initial weights.
    pub seed: u64,
    /// Images a step.
    pub batch: usize,
    /// Adam's learning rate.
    pub rate: f64,
    /// When it ends.
    pub budget: Budget,
    /// Kind of the activations.
    pub precision: Precision,
    /// What is varied.
    pub augmentation: Augmentation,
    /// Schedule, early stop, weight decay and clipping.
    #[serde(default)]
    pub optimiser: Optimiser,
    /// What the paper leaves open in stage 2.
    #[serde(default)]
    pub joint: JointChoices,
}

/// How a teacher came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRun {
    /// Its size.
    pub architecture: Architecture,
    /// The backbone's file name.
    pub backbone: String,
    /// How the backbone's features became targets.
    #[serde(default)]
    pub target: TargetKind,
    /// Sampled channels of the backbone (Eq. 15); none for principal components.
    pub channels: Vec<i64>,
    /// Whether the backbone saw mirrored borders.
    pub mirror: bool,
    /// Settings.
    pub settings: Settings,
    /// Folders of good images.
    pub data: Vec<PathBuf>,
    /// Images trained on.
    pub images: usize,
    /// Steps taken.
    pub steps: usize,
    /// L_dist of the last step (Eq. 16).
    pub loss: f64,
    /// The backbone's file, absolute; runs of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_path: Option<PathBuf>,
    ///
    #[serde(default)]
    pub match_sizes: MatchSizes,
    ///
    #[serde(default)]
    pub z_score: ZScore,
    /// Channels of the backbone's first stage that the memory sees with, 0 for none; runs of earlier versions have
    /// none.
    #[serde(default)]
    pub first_stage: usize,
    /// SHA-256 of the backbone's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_sha256: Option<String>,
}

/// How the networks of a product came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRun {
    /// Steps taken.
    pub steps: usize,
    /// Images trained on.
    pub training: Vec<PathBuf>,
    /// Images for ranges and threshold, never trained on.
    pub held_back: Vec<PathBuf>,
    /// The networks' size.
    pub architecture: Architecture,
    /// Loss terms of the last step.
    pub losses: Losses,
    /// Settings.
    pub settings: Settings,
    /// The teacher's run.
    pub teacher: TeacherRun,
}

/// A run that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder.
    #[error("{}: cannot be {action}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// "read", "written" or "removed".
        action: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// Weights that are no numbers are not kept.
    #[error("after step {step} the weights are no longer finite numbers, so they are not saved")]
    NotFinite {
        /// Steps taken.
        step: usize,
    },
    /// A folder that would be overwritten.
    #[error("{}: holds {what}; choose another folder, or give --overwrite to replace it", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// A finished run or a checkpoint.
        what: String,
    },
}

impl TeacherRun {
    /// Choices that contradict each other are an error.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn check(&self) -> Result<(), String> {
        if self.target == TargetKind::Principal && self.z_score == ZScore::Global {
            return Err(
                "--z-score global (A-011) standardises sampled channels, and --target principal (A-025) samples \
                        none: give --target sample"
                    .into(),
            );
        }
        Ok(())
    }

    /// Reads `teacher.toml` in `folder`.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file and the key.
    pub fn read(folder: &Path) -> Result<Self, CheckpointError> {
        read_toml(&folder.join(TEACHER_RUN))
    }

    /// Writes weights and settings into `folder`, which is made.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn write<N>(&self, folder: &Path, teacher: &Network<N>) -> Result<(), CheckpointError> {
        create(folder)?;
        save_weights(teacher, &folder.join(TEACHER))?;
        write_toml(&folder.join(TEACHER_RUN), self)
    }
}

impl ModelRun {
    /// Reads settings and networks of a training.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file.
    pub fn read(folder: &Path) -> Result<(Self, Networks), CheckpointError> {
        Self::read_on(folder, Device::Cpu)
    }

    /// Like [`ModelRun::read`], with the networks on `device`.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file.
    pub fn read_on(folder: &Path, device: Device) -> Result<(Self, Networks), CheckpointError> {
        let run: ModelRun = read_toml(&folder.join(MODEL_RUN))?;
        let mut networks = Networks::with_teacher(folder, &run.architecture, device)?;
        load_weights(&mut networks.structural, &folder.join(STRUCTURAL))?;
        load_weights(&mut networks.autoencoder, &folder.join(AUTOENCODER))?;
        load_weights(&mut networks.logical, &folder.join(LOGICAL))?;
        Ok((run, networks))
    }

    /// Writes weights and settings into `folder`, which is made.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn write(&self, folder: &Path, networks: &Networks) -> Result<(), CheckpointError> {
        create(folder)?;
        save_weights(&networks.teacher, &folder.join(TEACHER))?;
        save_weights(&networks.structural, &folder.join(STRUCTURAL))?;
        save_weights(&networks.autoencoder, &folder.join(AUTOENCODER))?;
        save_weights(&networks.logical, &folder.join(LOGICAL))?;
        if let Some(stage) = &networks.first_stage {
            stage.write(folder)?;
        }
        write_toml(&folder.join(MODEL_RUN), self)
    }
}

/// Makes a run's folder.
///
/// # Errors
/// [`CheckpointError`].
pub fn create(folder: &Path) -> Result<(), CheckpointError> {
    std::fs::create_dir_all(folder).map_err(|e| file(folder, "written", &e))
}

/// Makes `folder` ready for a new run: what an earlier run left there is an error, or removed where `overwrite`.
///
/// # Errors
/// [`CheckpointError::Taken`], or [`CheckpointError::File`] where it cannot be made or cleared.
pub fn claim(folder: &Path, overwrite: bool) -> Result<(), CheckpointError> {
    let finished = [TEACHER_RUN, MODEL_RUN].iter().find(|name| folder.join(name).exists());
    let what = match (finished, latest(folder)) {
        (_, Some((step, _))) => Some(format!("a run that stopped at step {step} and can be continued with --resume")),
        (Some(name), None) => Some(format!("a finished run ({name})")),
        (None, None) => None,
    };
    match what {
        Some(what) if !overwrite => return Err(CheckpointError::Taken { path: folder.to_owned(), what }),
        Some(_) => {
            clear(folder)?;
            for name in
                [TEACHER_RUN, MODEL_RUN, FIRST_STAGE].iter().map(|name| folder.join(name)).filter(|path| path.exists())
            {
                std::fs::remove_file(&name).map_err(|e| file(&name, "removed", &e))?;
            }
        }
        None => {}
    }
    create(folder)
}

/// Replaces a network's weights by those of a file.
///
/// # Errors
/// [`CheckpointError`], naming the file.
pub fn load_weights<N>(network: &mut Network<N>, path: &Path) -> Result<(), CheckpointError> {
    network.load(path).map_err(|error| {
        // The lines after the first are libtorch's stack.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        if first.contains("must match the size") {
            let reason = format!("holds a network of another architecture than the run's settings say ({first})");
            return CheckpointError::File { path: path.to_owned(), action: "read", reason };
        }
        file(path, "read", &first)
    })
}

fn save_weights<N>(network: &Network<N>, path: &Path) -> Result<(), CheckpointError> {
    network.save(path).map_err(|e| file(path, "written", &e))
}

pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    let text = std::fs::read_to_string(path).map_err(|e| file(path, "read", &e))?;
    toml::from_str(&text).map_err(|e| file(path, "read", &e))
}

pub(crate) fn write_toml(path: &Path, value: &impl Serialize) -> Result<(), CheckpointError> {
    let text = toml::to_string(value).map_err(|e| file(path, "written", &e))?;
    write_file(path, |out| out.write_all(text.as_bytes())).map_err(|e| file(path, "written", &e.source))
}

/// A file that cannot be written, for the program.
pub fn file_error(path: &Path, reason: &dyn std::fmt::Display) -> CheckpointError {
    file(path, "written", reason)
}

pub(crate) fn file(path: &Path, action: &'static str, reason: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::File { path: path.to_owned(), action, reason: reason.to_string() }
}
