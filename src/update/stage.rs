//! A package on its way into the store: fetched, verified, and not used yet.

use super::UpdateError;
use super::fetch::Source;
use super::manifest::{LONGEST, LONGEST_SIGNATURE, Listed, MANIFEST, Manifest, SIGNATURE, digest};
use super::store::{Release, STAGING, Store, package, sync_folders};
use crate::bundle::hex;
use crate::record::write_file;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Left free on the disk, bytes.
const SPARE: u64 = 64 << 20;

/// A package that was fetched and verified, and is not used yet.
pub struct Staged {
    /// It.
    pub release: Release,
    /// Nobody else updates as long as this is held.
    pub(super) _lock: File,
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
}
