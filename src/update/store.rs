//! Releases on the disk.

use super::UpdateError;
use super::fetch::Source;
use super::manifest::{Key, LONGEST, LONGEST_SIGNATURE, Listed, MANIFEST, Manifest, SIGNATURE, digest};
use crate::bundle::hex;
use crate::config::UpdateConfig;
use crate::record::write_file;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
const RELEASES: &str = "releases";
const STAGING: &str = "staging";
/// Left free on the disk, bytes.
const SPARE: u64 = 64 << 20;

/// The folder of releases.
pub struct Store {
    pub(super) folder: PathBuf,
    key: Key,
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

/// A package that was fetched and verified, and is not used yet.
pub struct Staged {
    /// It.
    pub release: Release,
    /// Nobody else updates as long as this is held.
    _lock: File,
}

/// What may be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A package with a lower serial number too.
    pub older: bool,
    /// One that was rolled back too.
    pub again: bool,
    /// Also where files in use were changed on this box.
    pub discard: bool,
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

    /// The list of a package, verified, and nothing else of it.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn look(&self, source: &Source) -> Result<Manifest, UpdateError> {
        self.list(source).map(|(.., manifest)| manifest)
    }

    fn list(&self, source: &Source) -> Result<(Vec<u8>, Vec<u8>, Manifest), UpdateError> {
        let list = source.bytes(MANIFEST, LONGEST)?;
        let signature = source.bytes(SIGNATURE, LONGEST_SIGNATURE)?;
        let manifest = self.key.open(&list, &signature, &source.name())?;
        Ok((list, signature, manifest))
    }

    /// Fetches what is new of a package and verifies all of it; `None` where it is in use already. What an earlier try
    /// fetched is not fetched again. `told` is called with each file and whether it has to be fetched.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing that is in use was touched.
    pub fn stage(
        &self,
        source: &Source,
        station: &str,
        wanted: Wanted,
        mut told: impl FnMut(&Listed, bool),
    ) -> Result<Option<Staged>, UpdateError> {
        let lock = self.lock()?;
        let (list, signature, manifest) = self.list(source)?;
        let name = format!("{:06}-{}", manifest.serial, hex(&Sha256::digest(&list)).get(..12).unwrap_or_default());
        let current = self.current()?;
        let bad = |reason: String| Err(UpdateError::Manifest { from: source.name(), reason });
        if !manifest.boxes.is_empty() && !manifest.boxes.iter().any(|name| name == station) {
            return bad(format!("is for {}, not for {station}", manifest.boxes.join(", ")));
        }
        if let Some(current) = &current {
            let changed = current.changed()?;
            let same = package(&current.name) == name;
            if same && (changed.is_empty() || !wanted.discard) {
                return Ok(None);
            }
            let (installed, offered) = (current.manifest.serial, manifest.serial);
            if offered <= installed && !same && !wanted.older {
                return Err(UpdateError::Older { installed, offered });
            }
            if !changed.is_empty() && !wanted.discard {
                return Err(UpdateError::Changed(changed));
            }
        }
        if let Some(reason) = self.refused(&name).filter(|_| !wanted.again) {
            return Err(UpdateError::Refused { name, reason });
        }
        let folder = self.folder.join(STAGING).join(&name);
        self.clear_staging(&name)?;
        fs::create_dir_all(&folder).map_err(UpdateError::io(&folder))?;
        self.room_for(&manifest)?;
        for file in &manifest.files {
            self.get(source, current.as_ref(), file, &folder, &mut told)?;
            self.step()?;
        }
        self.drop_others(&manifest, &folder)?;
        for (name, bytes) in [(MANIFEST, &list), (SIGNATURE, &signature)] {
            let path = folder.join(name);
            write_file(&path, |out| out.write_all(bytes))
                .map_err(|error| UpdateError::io(&error.path)(error.source))?;
        }
        sync_folders(&folder)?;
        Ok(Some(Staged { release: Release { name, folder, manifest }, _lock: lock }))
    }

    /// Puts one file into the staging folder: what is there, what the release in use has, or what the source gives.
    fn get(
        &self,
        source: &Source,
        current: Option<&Release>,
        file: &Listed,
        folder: &Path,
        told: &mut impl FnMut(&Listed, bool),
    ) -> Result<(), UpdateError> {
        let path = folder.join(&file.path);
        if file.is_at(&path) {
            told(file, false);
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(UpdateError::io(parent))?;
        }
        let part = folder.join(".part");
        let _ = fs::remove_file(&part);
        let same = current.and_then(|release| {
            let same = release.manifest.files.iter().find(|other| other.sha256 == file.sha256)?;
            Some(release.folder.join(&same.path)).filter(|path| file.is_at(path))
        });
        told(file, same.is_none());
        match same {
            // A copy, so that a damaged file is one of one release only.
            Some(same) => fs::copy(&same, &part).map(|_| ()).map_err(UpdateError::io(&part))?,
            None => {
                let mut out = BufWriter::new(File::create(&part).map_err(UpdateError::io(&part))?);
                source.fetch(&file.path, file.size, &mut out)?;
                out.flush().map_err(UpdateError::io(&part))?;
            }
        }
        File::open(&part).and_then(|file| file.sync_all()).map_err(UpdateError::io(&part))?;
        let (size, sha256) = digest(&part).map_err(UpdateError::io(&part))?;
        let bad = |reason: String| UpdateError::File { path: file.path.clone(), reason };
        if size != file.size {
            return Err(bad(format!("{} bytes expected, got {size}", file.size)));
        }
        if sha256 != file.sha256 {
            return Err(bad(format!(
                "has not the content that was signed: SHA-256 {} expected, got {sha256}",
                file.sha256
            )));
        }
        fs::rename(&part, &path).map_err(UpdateError::io(&path))
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

    fn clear_staging(&self, but: &str) -> Result<(), UpdateError> {
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

    /// Removes what the list does not name from a staging folder.
    fn drop_others(&self, manifest: &Manifest, folder: &Path) -> Result<(), UpdateError> {
        for entry in walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| !entry.file_type().is_dir()) {
            let below = entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_string_lossy().into_owned();
            if manifest.file(&below).is_none() {
                fs::remove_file(entry.path()).map_err(UpdateError::io(entry.path()))?;
            }
        }
        Ok(())
    }

    fn room_for(&self, manifest: &Manifest) -> Result<(), UpdateError> {
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = manifest.bytes().unwrap_or(u64::MAX).saturating_add(SPARE);
        if free < needed {
            let reason = format!("{} MB free, the package needs {} MB", free / 1_000_000, needed / 1_000_000);
            return Err(UpdateError::io(&self.folder)(std::io::Error::other(reason)));
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
fn sync_folders(folder: &Path) -> Result<(), UpdateError> {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
        sync(entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
