//! A new release is on trial until the box has loaded it.

use super::UpdateError;
use super::store::{Store, package};
use crate::record::write_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const TRIAL: &str = "trial";
const REFUSED: &str = "refused";
/// Loads of a release that may end the program before the one of before is used again.
const TRIES: u32 = 2;
/// Refused releases that are remembered.
const REMEMBERED: usize = 32;

#[derive(Serialize, Deserialize)]
struct Trial {
    release: String,
    tries: u32,
}

/// How the release in use stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was loaded before, or there is none.
    Proven,
    /// It is to be loaded for the first time: say [`Store::confirm`] or [`Store::roll_back`].
    OnTrial(String),
    /// The box ended twice while it loaded this one, and uses another now.
    RolledBack {
        /// What was left.
        from: String,
        /// What is used now.
        to: String,
    },
}

impl Store {
    fn trial_file(&self) -> PathBuf {
        self.folder.join(TRIAL)
    }

    fn trial(&self) -> Option<Trial> {
        serde_json::from_slice(&fs::read(self.trial_file()).ok()?).ok()
    }

    pub(super) fn begin_trial(&self, release: &str) -> Result<(), UpdateError> {
        self.write_trial(&Trial { release: release.to_owned(), tries: 0 })
    }

    fn write_trial(&self, trial: &Trial) -> Result<(), UpdateError> {
        self.write(&self.trial_file(), trial)
    }

    fn write(&self, path: &std::path::Path, content: &impl Serialize) -> Result<(), UpdateError> {
        let text = serde_json::to_vec(content).map_err(|error| UpdateError::io(path)(error.into()))?;
        write_file(path, |out| out.write_all(&text)).map_err(|error| UpdateError::io(&error.path)(error.source))
    }

    /// The release that waits for its first load.
    ///
    /// # Errors
    /// [`UpdateError::Io`].
    pub fn waiting(&self) -> Result<Option<String>, UpdateError> {
        let current = self.current_name()?;
        // Where the power went before the switch, the trial is of a release that is not in use.
        Ok(self.trial().map(|trial| trial.release).filter(|release| Some(release) == current.as_ref()))
    }

    /// Called before a recipe of the release in use is loaded.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn begin(&self) -> Result<Standing, UpdateError> {
        let current = self.current_name()?;
        match self.trial() {
            Some(trial) if Some(&trial.release) == current.as_ref() => {
                if trial.tries >= TRIES {
                    let (from, to) = self.roll_back("the box ended twice while it loaded this release")?;
                    return Ok(Standing::RolledBack { from, to });
                }
                let release = trial.release.clone();
                self.write_trial(&Trial { tries: trial.tries + 1, ..trial })?;
                Ok(Standing::OnTrial(release))
            }
            _ => Ok(Standing::Proven),
        }
    }

    /// The release in use was loaded: its trial is over.
    ///
    /// # Errors
    /// [`UpdateError::Io`].
    pub fn confirm(&self) -> Result<(), UpdateError> {
        let path = self.trial_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(UpdateError::io(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Back to the release of before; the one that is left will not be taken again by itself. Gives the names of both, the
    /// one that was left first.
    ///
    /// # Errors
    /// [`UpdateError`], such as where there is none before.
    pub fn roll_back(&self, reason: &str) -> Result<(String, String), UpdateError> {
        let names = self.link_back()?;
        self.step()?;
        self.refuse(&names.0, reason)?;
        self.confirm()?;
        Ok(names)
    }

    fn refuse(&self, release: &str, reason: &str) -> Result<(), UpdateError> {
        let mut refused = self.all_refused();
        refused.insert(package(release).to_owned(), reason.to_owned());
        while refused.len() > REMEMBERED {
            refused.pop_first();
        }
        self.write(&self.folder.join(REFUSED), &refused)
    }

    fn all_refused(&self) -> BTreeMap<String, String> {
        let read = fs::read(self.folder.join(REFUSED)).unwrap_or_default();
        serde_json::from_slice(&read).unwrap_or_default()
    }

    /// Why this release was rolled back, where it was.
    pub fn refused(&self, release: &str) -> Option<String> {
        self.all_refused().remove(package(release))
    }

    /// Forgets that a release was rolled back.
    ///
    /// # Errors
    /// [`UpdateError::Io`].
    pub fn forgive(&self, release: &str) -> Result<(), UpdateError> {
        let mut refused = self.all_refused();
        if refused.remove(package(release)).is_some() {
            self.write(&self.folder.join(REFUSED), &refused)?;
        }
        Ok(())
    }
}
