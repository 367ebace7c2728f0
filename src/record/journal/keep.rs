//! How much is kept: the record's files by age, and what has to go.

use super::entry::Stamp;
use super::pictures::PictureName;
use super::settings::{Settings, bytes};
use super::{JournalError, Kind};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Folder of the lines, below the record's.
pub(super) const JOURNAL: &str = "journal";
/// Folder of the pictures, below the record's.
pub(super) const PICTURES: &str = "pictures";

/// Every file of the record, and the caps on them.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    max_bytes: u64,
    max_days: u32,
    min_free: u64,
    /// In the order in which they have to go, each from the oldest: pictures of good parts, near ones, rejects and faults,
    /// journal files.
    shelves: [VecDeque<Stored>; 4],
    /// Bytes of all files, the journal file in use included.
    total: u64,
}

#[derive(Debug)]
struct Stored {
    file: StoredFile,
    bytes: u64,
    time: Stamp,
}

/// Where it is. A full disk holds a million pictures, so those have no path of their own.
#[derive(Debug)]
enum StoredFile {
    Image(PictureName),
    Map(PictureName),
    /// A journal file, or a picture under a name that the box does not give.
    Other(PathBuf),
}

impl StoredFile {
    fn picture(folder: &Path, path: &Path, name: PictureName) -> Self {
        if path == folder.join(name.image()) {
            Self::Image(name)
        } else if path == folder.join(name.map()) {
            Self::Map(name)
        } else {
            Self::Other(path.to_owned())
        }
    }

    fn path(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Image(name) => folder.join(name.image()),
            Self::Map(name) => folder.join(name.map()),
            Self::Other(path) => path.clone(),
        }
    }
}

/// Shelf of the journal files.
const JOURNAL_SHELF: usize = 3;

impl Keeper {
    /// Lists the record; files that a power cut left half-written are deleted.
    pub(super) fn open(settings: &Settings) -> Result<Self, JournalError> {
        let folder = settings.folder.clone();
        let mut keeper = Self {
            max_bytes: bytes(settings.max_gib),
            max_days: settings.max_days,
            min_free: bytes(settings.min_free_gib),
            shelves: Default::default(),
            total: 0,
            folder,
        };
        for name in [JOURNAL, PICTURES] {
            let below = keeper.folder.join(name);
            std::fs::create_dir_all(&below).map_err(|e| JournalError::at(&below, e))?;
        }
        keeper.list()?;
        Ok(keeper)
    }

    fn list(&mut self) -> Result<(), JournalError> {
        for entry in WalkDir::new(self.folder.join(PICTURES)) {
            let entry = entry.map_err(|e| JournalError::at(&self.folder, e))?;
            let path = entry.path();
            if !entry.file_type().is_file() {
                continue;
            }
            if entry.file_name().to_string_lossy().ends_with(".part") {
                std::fs::remove_file(path).map_err(|e| JournalError::at(path, e))?;
            } else if let (Some(name), Ok(data)) = (PictureName::of(path), entry.metadata()) {
                self.add_picture(path, data.len(), name);
            }
        }
        for path in journal_files(&self.folder)? {
            let data = std::fs::metadata(&path).map_err(|e| JournalError::at(&path, e))?;
            let time = data.modified().map_or(Stamp::from_millis(0), Stamp::from);
            self.total += data.len();
            self.close_journal(path, data.len(), time);
        }
        for shelf in &mut self.shelves {
            shelf.make_contiguous().sort_by_cached_key(|stored| (stored.time, stored.file.path(&self.folder)));
        }
        Ok(())
    }

    /// A picture or map was written.
    pub(super) fn add_picture(&mut self, path: &Path, bytes: u64, name: PictureName) {
        let file = StoredFile::picture(&self.folder, path, name);
        self.total += bytes;
        self.shelves[shelf(name.kind)].push_back(Stored { file, bytes, time: name.time });
    }

    /// Takes the newest journal file off its shelf, to be written on.
    pub(super) fn take_newest_journal(&mut self) {
        self.shelves[JOURNAL_SHELF].pop_back();
    }

    /// The journal file in use grew.
    pub(super) fn grew(&mut self, bytes: u64) {
        self.total += bytes;
    }

    /// A journal file that is written on no more.
    pub(super) fn close_journal(&mut self, path: PathBuf, bytes: u64, time: Stamp) {
        self.shelves[JOURNAL_SHELF].push_back(Stored { file: StoredFile::Other(path), bytes, time });
    }

    /// Deletes what is over the caps at `now`, for `more` bytes to come; whether there is room for them then.
    pub(super) fn make_room(&mut self, now: Stamp, more: u64) -> bool {
        let oldest = now.days_before(self.max_days);
        for shelf in 0..self.shelves.len() {
            while self.shelves[shelf].front().is_some_and(|stored| stored.time < oldest) {
                self.delete_oldest(shelf);
            }
        }
        loop {
            if self.total + more <= self.max_bytes && free(&self.folder).is_none_or(|free| free >= self.min_free + more)
            {
                return true;
            }
            let Some(shelf) = (0..self.shelves.len()).find(|shelf| !self.shelves[*shelf].is_empty()) else {
                return false;
            };
            self.delete_oldest(shelf);
        }
    }

    fn delete_oldest(&mut self, shelf: usize) {
        let Some(stored) = self.shelves[shelf].pop_front() else { return };
        // A file that cannot be deleted is somebody else's now: it is no longer counted.
        let path = stored.file.path(&self.folder);
        let _ = std::fs::remove_file(&path);
        self.total = self.total.saturating_sub(stored.bytes);
        if let (true, Some(day)) = (shelf != JOURNAL_SHELF, path.parent()) {
            // Only empty folders can be removed.
            let _ = std::fs::remove_dir(day);
        }
    }
}

fn shelf(kind: Kind) -> usize {
    match kind {
        Kind::Good => 0,
        Kind::Near => 1,
        Kind::Reject | Kind::Fault => 2,
    }
}

/// Free bytes of the disk that `folder` is on; `None` where the system does not say.
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The journal files of a record, oldest first.
pub(super) fn journal_files(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let below = folder.join(JOURNAL);
    let mut files = vec![];
    for entry in std::fs::read_dir(&below).map_err(|e| JournalError::at(&below, e))? {
        let path = entry.map_err(|e| JournalError::at(&below, e))?.path();
        if number(&path).is_some() {
            files.push(path);
        }
    }
    files.sort_by_key(|path| number(path));
    Ok(files)
}

/// Number of a journal file.
pub(super) fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()
}
