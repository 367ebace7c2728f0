//! Releases on the disk.

use super::UpdateError;
use super::manifest::{Key, Listed, MANIFEST, Manifest, SIGNATURE, digest};
use super::stage::Staged;
use crate::config::UpdateConfig;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
const RELEASES: &str = "releases";
pub(super) const STAGING: &str = "staging";

/// The folder of releases.
pub struct Store {
    pub(super) folder: PathBuf,
    pub(super) key: Key,
    #[cfg(test)]
    pub(super) power: std::cell::Cell<Option<u32>>,
}

/// A release on the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it holds, as it was signed.
    pub manifest: Manifest,
}

impl Store {
    /// The releases of a box.
    ///
    /// # Errors
    /// [`UpdateError::Key`].
    pub fn open(settings: &UpdateConfig) -> Result<Self, UpdateError> {
        Ok(Self {
            folder: settings.folder.clone(),
            key: Key::new(&settings.key)?,
            #[cfg(test)]
            power: std::cell::Cell::new(None),
        })
    }

    /// What recipes of packages are below.
    pub fn current_folder(&self) -> PathBuf {
        self.folder.join(CURRENT)
    }

    /// The release in use; `None` before the first.
    ///
    /// # Errors
    /// [`UpdateError`] for one that is not signed with this key any more.
    pub fn current(&self) -> Result<Option<Release>, UpdateError> {
        self.linked(CURRENT)
    }

    /// The release that a roll-back goes to.
    ///
    /// # Errors
    /// As [`Store::current`].
    pub fn previous(&self) -> Result<Option<Release>, UpdateError> {
        self.linked(PREVIOUS)
    }

    /// Name of the release that `link` leads to.
    pub(super) fn target(&self, link: &str) -> Result<Option<String>, UpdateError> {
        let path = self.folder.join(link);
        match fs::read_link(&path) {
            Ok(target) => Ok(target.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(UpdateError::Io { path, source }),
        }
    }

    fn linked(&self, link: &str) -> Result<Option<Release>, UpdateError> {
        self.target(link)?.map(|name| self.release(&self.folder.join(RELEASES).join(&name), name)).transpose()
    }

    fn release(&self, folder: &Path, name: String) -> Result<Release, UpdateError> {
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read(&path).map_err(UpdateError::io(&path))
        };
        let manifest = self.key.open(&read(MANIFEST)?, &read(SIGNATURE)?, &folder.display().to_string())?;
        Ok(Release { name, folder: folder.to_owned(), manifest })
    }

    /// Takes a staged package into use, on trial. After a power cut at any moment the old one is in use or the new one.
    ///
    /// # Errors
    /// [`UpdateError`]; then the old one is in use.
    pub fn switch(&self, staged: Staged) -> Result<Release, UpdateError> {
        let Staged { release: Release { name, folder, manifest }, _lock } = staged;
        let releases = self.folder.join(RELEASES);
        fs::create_dir_all(&releases).map_err(UpdateError::io(&releases))?;
        let before = self.target(CURRENT)?;
        let used = [before.clone(), self.target(PREVIOUS)?];
        // A release that was used before and is taken anew goes beside it, so that none in use is ever touched.
        let name = (0..)
            .map(|again| if again == 0 { name.clone() } else { format!("{name}.{again}") })
            .find(|name| !used.iter().flatten().any(|used| used == name))
            .unwrap_or(name);
        let place = releases.join(&name);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(UpdateError::io(&place))?;
        }
        fs::rename(&folder, &place).map_err(UpdateError::io(&place))?;
        sync_folders(&place)?;
        sync(&releases)?;
        self.step()?;
        if let Some(before) = before {
            self.link(PREVIOUS, &before)?;
            self.step()?;
        }
        self.begin_trial(&name)?;
        self.step()?;
        self.link(CURRENT, &name)?;
        self.step()?;
        self.prune()?;
        Ok(Release { name, folder: place, manifest })
    }

    /// Makes `link` lead to the release of that name, in one step.
    pub(super) fn link(&self, link: &str, name: &str) -> Result<(), UpdateError> {
        let (path, new) = (self.folder.join(link), self.folder.join(format!(".{link}.new")));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(UpdateError::io(&new)(error)),
            _ => {}
        }
        symlink(Path::new(RELEASES).join(name), &new).map_err(UpdateError::io(&new))?;
        self.step()?;
        fs::rename(&new, &path).map_err(UpdateError::io(&path))?;
        sync(&self.folder)
    }

    /// `current` back to `previous`; gives both names, the one that was left first.
    pub(super) fn link_back(&self) -> Result<(String, String), UpdateError> {
        let none = || UpdateError::NoPrevious(self.current_folder());
        let current = self.target(CURRENT)?.ok_or_else(none)?;
        let previous = self.target(PREVIOUS)?.filter(|previous| *previous != current).ok_or_else(none)?;
        self.link(CURRENT, &previous)?;
        Ok((current, previous))
    }

    pub(super) fn current_name(&self) -> Result<Option<String>, UpdateError> {
        self.target(CURRENT)
    }

    /// Deletes releases that are neither in use nor to be gone back to.
    fn prune(&self) -> Result<(), UpdateError> {
        let kept = [self.target(CURRENT)?, self.target(PREVIOUS)?];
        self.clear(&self.folder.join(RELEASES), |name| !kept.iter().flatten().any(|kept| kept == name))
    }

    pub(super) fn clear_staging(&self, but: &str) -> Result<(), UpdateError> {
        self.clear(&self.folder.join(STAGING), |name| name != but)
    }

    fn clear(&self, folder: &Path, goes: impl Fn(&str) -> bool) -> Result<(), UpdateError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(UpdateError::io(folder)(error)),
        };
        for entry in entries.flatten().filter(|entry| goes(&entry.file_name().to_string_lossy())) {
            fs::remove_dir_all(entry.path()).map_err(UpdateError::io(&entry.path()))?;
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> Result<File, UpdateError> {
        fs::create_dir_all(&self.folder).map_err(UpdateError::io(&self.folder))?;
        let path = self.folder.join(".lock");
        let file = File::create(&path).map_err(UpdateError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(UpdateError::Busy(self.folder.clone())),
            Err(TryLockError::Error(error)) => Err(UpdateError::io(&path)(error)),
        }
    }

    /// A moment at which the power may go; tests let it.
    #[cfg(not(test))]
    pub(super) fn step(&self) -> Result<(), UpdateError> {
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn step(&self) -> Result<(), UpdateError> {
        match self.power.get() {
            Some(0) => Err(UpdateError::io(&self.folder)(std::io::Error::other("the power went"))),
            left => {
                self.power.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

impl Listed {
    /// Whether this very file is at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        path.is_file() && digest(path).is_ok_and(|(size, sha256)| size == self.size && sha256 == self.sha256)
    }
}

impl Release {
    /// Files that are not as they were signed: changed on this box, or missing.
    ///
    /// # Errors
    /// [`UpdateError::Io`].
    pub fn changed(&self) -> Result<Vec<String>, UpdateError> {
        let files = self.manifest.files.iter().filter(|file| !file.is_at(&self.folder.join(&file.path)));
        Ok(files.map(|file| file.path.clone()).collect())
    }
}

/// The package that a release came from.
pub(super) fn package(release: &str) -> &str {
    release.split_once('.').map_or(release, |(package, _)| package)
}

fn sync(folder: &Path) -> Result<(), UpdateError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(UpdateError::io(folder))
}

/// Has the disk confirm a folder and those below it.
pub(super) fn sync_folders(folder: &Path) -> Result<(), UpdateError> {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
        sync(entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
