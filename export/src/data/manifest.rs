//! Which images a run was made from: one JSON object a line with set, SHA-256 and path.

use super::{DataError, Entry, Images};
use mudenet_edge::record::write_file;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file's name in a run's folder.
pub const MANIFEST: &str = "manifest.jsonl";

/// What an image is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// Trained on.
    Training,
    /// For ranges and threshold, never trained on.
    HeldBack,
    /// Left out because it cannot be read (`--skip-bad`).
    Skipped,
}

/// One image of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// What it is used for.
    pub set: Set,
    /// SHA-256 of the file, lower-case hex; empty where it cannot be read.
    pub sha256: String,
    /// The file.
    pub path: PathBuf,
}

/// Every image of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest(pub Vec<Line>);

impl Manifest {
    /// The manifest of a split.
    pub fn new(training: &Images, held_back: &Images, skipped: &[PathBuf]) -> Self {
        let of = |set| move |entry: &Entry| Line { set, sha256: entry.sha256.clone(), path: entry.path.clone() };
        let bad = |path: &PathBuf| Line { set: Set::Skipped, sha256: String::new(), path: path.clone() };
        let lines = training.entries().iter().map(of(Set::Training));
        let lines = lines.chain(held_back.entries().iter().map(of(Set::HeldBack)));
        Self(lines.chain(skipped.iter().map(bad)).collect())
    }

    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// [`DataError::Manifest`], naming file and line.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(MANIFEST);
        let fail = |reason: String| DataError::Manifest { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        let parse = |(i, line)| serde_json::from_str(line).map_err(|e| fail(format!("line {}: {e}", i + 1)));
        text.lines().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Writes the manifest of a run.
    ///
    /// # Errors
    /// [`DataError::Manifest`].
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        let path = folder.join(MANIFEST);
        let write = |out: &mut std::io::BufWriter<std::fs::File>| {
            self.0.iter().try_for_each(|line| writeln!(out, "{}", serde_json::to_string(line)?))
        };
        write_file(&path, write)
            .map_err(|e| DataError::Manifest { path, reason: format!("cannot be written: {}", e.source) })
    }

    /// The files of one set.
    pub fn paths(&self, set: Set) -> Vec<PathBuf> {
        self.0.iter().filter(|line| line.set == set).map(|line| line.path.clone()).collect()
    }

    /// An image that is not what it was when the manifest was written is an error.
    ///
    /// # Errors
    /// [`DataError::Changed`].
    pub fn check(&self, set: Set, images: &Images) -> Result<(), DataError> {
        let lines = self.0.iter().filter(|line| line.set == set);
        match lines.zip(images.entries()).find(|(line, entry)| line.sha256 != entry.sha256) {
            Some((line, _)) => Err(DataError::Changed { path: line.path.clone() }),
            None => Ok(()),
        }
    }
}
