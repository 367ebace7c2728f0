//! Checkpoints: a run as it is after a step, and what continuing it needs, in a folder of its own.
//!
//! `RUN/checkpoint-00000500` holds the same files as a finished run, so that it can be frozen or trained further, and
//! `optimiser.safetensors`, `progress.toml` and, where training can stop early, `best.safetensors`.

use super::Adam;
use super::engine::Stage;
use crate::checkpoint::{CheckpointError, file, read_toml, write_toml};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::Tensor;
use tch::nn::VarStore;

const PREFIX: &str = "checkpoint-";
const OPTIMISER: &str = "optimiser.safetensors";
const BEST: &str = "best.safetensors";
const PROGRESS: &str = "progress.toml";

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps taken.
    pub step: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// Loss terms of the last step.
    pub losses: BTreeMap<String, f64>,
    /// The lowest held-back loss so far, where it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// A lowest held-back loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The loss.
    pub loss: f64,
    /// Steps taken before it.
    pub step: usize,
}

/// What a training continues from.
#[derive(Debug, Default)]
pub struct Resumed {
    /// How far it was.
    pub state: State,
    /// Adam's moments; `None`: it starts anew.
    pub moments: Option<Vec<(String, Tensor)>>,
    /// Weights at [`State::best`].
    pub best: Vec<(String, Tensor)>,
}

impl Resumed {
    /// Reads what is beside the run in a checkpoint's folder.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file.
    pub fn read(checkpoint: &Path) -> Result<Self, CheckpointError> {
        let tensors = |name: &str| {
            let path = checkpoint.join(name);
            Tensor::read_safetensors(&path).map_err(|e| file(&path, "read", &e))
        };
        let state: State = read_toml(&checkpoint.join(PROGRESS))?;
        let best = if state.best.is_some() { tensors(BEST)? } else { Vec::new() };
        Ok(Self { state, moments: Some(tensors(OPTIMISER)?), best })
    }
}

/// Writes a checkpoint and removes older ones once it is complete.
///
/// # Errors
/// [`CheckpointError`]; the earlier checkpoint is unchanged then.
pub(super) fn save(
    folder: &Path,
    stage: &dyn Stage,
    adam: &Adam,
    state: &State,
    best: &[(String, Tensor)],
) -> Result<PathBuf, CheckpointError> {
    let path = folder.join(format!("{PREFIX}{:08}", state.step));
    let part = folder.join(format!("{PREFIX}{:08}.part", state.step));
    let write = || {
        remove(&part)?;
        stage.write(&part, state)?;
        write_tensors(&part.join(OPTIMISER), &adam.moments())?;
        if state.best.is_some() {
            write_tensors(&part.join(BEST), best)?;
        }
        write_toml(&part.join(PROGRESS), state)?;
        flush(&part)?;
        remove(&path)?;
        fs::rename(&part, &path).map_err(|e| file(&path, "written", &e))
    };
    if let Err(error) = write() {
        // The partial checkpoint is of no use; that it may not be removable either changes nothing.
        let _ = remove(&part);
        return Err(error);
    }
    for (step, old) in all(folder) {
        if step != state.step {
            // An old checkpoint that stays costs room only; the newest is the one that is continued.
            let _ = remove(&old);
        }
    }
    Ok(path)
}

/// The newest checkpoint of a run: steps taken and folder.
pub fn latest(folder: &Path) -> Option<(usize, PathBuf)> {
    all(folder).into_iter().max()
}

/// Removes the checkpoints of a run that is finished.
///
/// # Errors
/// [`CheckpointError`], naming the folder that cannot be removed.
pub fn clear(folder: &Path) -> Result<(), CheckpointError> {
    all(folder).iter().try_for_each(|(_, path)| remove(path))
}

fn all(folder: &Path) -> Vec<(usize, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok();
    entries.flatten().filter_map(|entry| Some((step(&entry.path())?, entry.path()))).collect()
}

/// Every tensor of some networks, named after network and tensor; copies where `copy`.
pub(super) fn weights(networks: &[(&str, &VarStore)], copy: bool) -> Vec<(String, Tensor)> {
    let of = |(network, vars): &(&str, &VarStore)| {
        let named = |(name, tensor): (String, Tensor)| {
            (format!("{network}.{name}"), if copy { tensor.detach().copy() } else { tensor })
        };
        vars.variables().into_iter().map(named).collect::<Vec<_>>()
    };
    networks.iter().flat_map(of).collect()
}

fn write_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), CheckpointError> {
    Tensor::write_safetensors(tensors, path).map_err(|e| file(path, "written", &e))
}

fn remove(folder: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file(folder, "removed", &e)),
        _ => Ok(()),
    }
}

/// Makes sure that what was written survives a power cut.
fn flush(folder: &Path) -> Result<(), CheckpointError> {
    let sync = |path: &Path| fs::File::open(path).and_then(|f| f.sync_all());
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|e| file(folder, "read", &e))?;
    entries
        .iter()
        .map(fs::DirEntry::path)
        .chain([folder.to_owned()])
        .try_for_each(|path| sync(&path).map_err(|e| file(&path, "written", &e)))
}
