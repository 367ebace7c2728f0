//! The record of a box: one line for every part, and the pictures worth keeping.
//!
//! ```text
//! FOLDER/journal/000001.jsonl    one [`Entry`] a line, in files that are changed at a size
//! FOLDER/pictures/2026-11-23/224512.345-000017-reject.png    the picture as it was taken
//! FOLDER/pictures/2026-11-23/224512.345-000017-reject.tiff   its anomaly map, 32-bit float, size of the network's input;
//!                                                           not with pictures of ordinary good parts
//! FOLDER/audit.jsonl             see [`crate::record::audit`]
//! ```
//!
//! [`Journal::record`] never waits: lines and pictures go through bounded queues to threads of their own, and what finds
//! no room is counted. After a power cut the lines that the disk had not confirmed are missing, usually the last one; a
//! line cut in two is passed over by [`Records`]; pictures are whole or absent.

mod entry;
mod keep;
mod lines;
mod pictures;
mod read;
mod settings;

use crate::capture::{Frame, Look};
use crate::decide::Verdict;
use crate::map::{AnomalyMap, ImageScore};
pub use entry::{Entry, Kind, Stamp};
use keep::Keeper;
use lines::Lines;
use pictures::{Picture, PictureName, Pictures};
pub use read::{Records, Selection};
pub use settings::{Confirm, Settings};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What was inspected: one part, as the inspection loop hands it over.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its number on the line.
    pub id: u32,
    /// Trigger, wall clock.
    pub time: SystemTime,
    /// What became of it.
    pub verdict: Verdict,
    /// `None` for a fault.
    pub score: Option<ImageScore>,
    /// The zone that the score is of.
    pub zone: Option<Arc<str>>,
    /// As in [`crate::inspector::Inspection::areas`].
    pub areas: Vec<f32>,
    /// The threshold in use.
    pub threshold: f32,
    /// What it was inspected with.
    pub context: Arc<Context>,
    /// How long it took.
    pub latency: Latency,
    /// Light and focus of its picture.
    pub look: Option<Look>,
    /// Its picture, where there is one.
    pub frame: Option<Arc<Frame>>,
    /// Its map at the size of the network's input.
    pub map: Option<Arc<AnomalyMap>>,
    /// What failed, one sentence.
    pub error: Option<String>,
}

/// What parts are inspected with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the recipe.
    pub recipe: String,
    /// SHA-256 of the model file, lower-case hex.
    pub model: String,
    /// Names of the recipe's zones.
    pub zones: Vec<Arc<str>>,
}

/// How long a part took; `None` where that stage was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// From the trigger to the picture.
    pub capture: Option<Duration>,
    /// From the picture to the verdict.
    pub inspect: Option<Duration>,
    /// From the trigger to the result on the line.
    pub total: Option<Duration>,
}

/// What the journal did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Lines on disk.
    pub lines: u64,
    /// Lines that found no room in the queue: parts without a record.
    pub lines_dropped: u64,
    /// Lines that could not be written.
    pub lines_failed: u64,
    /// Pictures on disk.
    pub pictures: u64,
    /// Pictures that were to be kept but found no room in the queue.
    pub pictures_dropped: u64,
    /// Pictures that could not be written.
    pub pictures_failed: u64,
    /// The last thing that failed, one sentence.
    pub last_error: Option<String>,
}

/// A record that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Folder or file.
    #[error("{}: {reason}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another program keeps its record here.
    #[error("{}: another program is writing this record", path.display())]
    InUse {
        /// The record's folder.
        path: PathBuf,
    },
    /// A setting that cannot work.
    #[error("{key}: expected {expected}, got {got}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
        /// The value.
        got: String,
    },
}

impl JournalError {
    fn at(path: &Path, error: impl std::fmt::Display) -> Self {
        Self::Path { path: path.to_owned(), reason: error.to_string() }
    }
}

/// Keeps the record of a box, see the [module](self).
#[derive(Debug)]
pub struct Journal {
    settings: Settings,
    lines: Option<SyncSender<Line>>,
    pictures: Option<SyncSender<Picture>>,
    /// Each disconnects when its thread has ended.
    ended: [Receiver<()>; 2],
    counters: Arc<Counters>,
    /// Good parts so far.
    good: AtomicU64,
    last_part: Option<u32>,
    _lock: File,
}

impl Journal {
    /// Opens the record in `settings.folder`, making the folder where it is missing; what a power cut left half-done is
    /// cleaned up.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(settings: Settings) -> Result<Self, JournalError> {
        settings.check()?;
        let folder = &settings.folder;
        std::fs::create_dir_all(folder).map_err(|e| JournalError::at(folder, e))?;
        let lock = lock(folder)?;
        let counters = Arc::new(Counters::default());
        let keeper = Arc::new(Mutex::new(Keeper::open(&settings)?));
        let last_part = Records::open(folder)?.last(1, &Selection::default())?.last().map(|entry| entry.part);
        let lines = Lines::open(&settings, Arc::clone(&keeper), Arc::clone(&counters))?;
        let pictures = Pictures::new(&settings, keeper, Arc::clone(&counters));
        let (line_sender, line_queue) = sync_channel(settings.queue);
        let (picture_sender, picture_queue) = sync_channel(settings.picture_queue);
        let ended = [
            spawn(folder, "record-lines", move || lines.run(&line_queue))?,
            spawn(folder, "record-pictures", move || pictures.run(&picture_queue))?,
        ];
        let (lines, pictures, good) = (Some(line_sender), Some(picture_sender), AtomicU64::new(0));
        Ok(Self { settings, lines, pictures, ended, counters, good, last_part, _lock: lock })
    }

    /// Number of the last part recorded before this start, so that numbers need not repeat.
    pub fn last_part(&self) -> Option<u32> {
        self.last_part
    }

    /// Takes a part and returns at once. Its picture is kept where it was rejected or a fault, where its score is near the
    /// threshold, and for one good part in N; where a queue is full, that is counted in [`Journal::status`].
    pub fn record(&self, mut part: Part) {
        let kind = Kind::of(part.verdict, part.score.map(|s| s.value), part.threshold, self.settings.near);
        let (frame, map) = (part.frame.take(), part.map.take());
        let mut kept = None;
        if let (true, Some(frame), Some(pictures)) = (self.is_kept(kind), frame, &self.pictures) {
            let name = PictureName { time: Stamp::from(part.time), part: part.id, kind };
            let picture = Picture { name, frame, map: map.filter(|_| kind != Kind::Good) };
            let with_map = picture.map.is_some();
            match pictures.try_send(picture) {
                Ok(()) => kept = Some(Kept { name, with_map }),
                Err(_) => Counters::add(&self.counters.pictures_dropped, 1),
            }
        }
        let taken = self.lines.as_ref().is_some_and(|lines| lines.try_send(Line { part, kept }).is_ok());
        if !taken {
            Counters::add(&self.counters.lines_dropped, 1);
        }
    }

    fn is_kept(&self, kind: Kind) -> bool {
        let one_in = self.settings.good;
        kind != Kind::Good || one_in > 0 && self.good.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in)
    }

    /// What happened so far.
    pub fn status(&self) -> Status {
        self.counters.status()
    }

    /// Writes what is queued and ends, waiting at most `patience` for each of the two queues; whether all was written.
    /// Dropping the journal does the same with two seconds.
    pub fn close(mut self, patience: Duration) -> bool {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> bool {
        (self.lines, self.pictures) = (None, None);
        let [lines, pictures] =
            [0, 1].map(|i| self.ended[i].recv_timeout(patience) == Err(RecvTimeoutError::Disconnected));
        lines && pictures
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end(Duration::from_secs(2));
    }
}

/// A part on its way to the journal.
struct Line {
    part: Part,
    kept: Option<Kept>,
}

/// A picture on its way to its file, and that of its map.
#[derive(Clone, Copy)]
struct Kept {
    name: PictureName,
    with_map: bool,
}

#[derive(Default, Debug)]
struct Counters {
    lines: AtomicU64,
    lines_dropped: AtomicU64,
    lines_failed: AtomicU64,
    pictures: AtomicU64,
    pictures_dropped: AtomicU64,
    pictures_failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Counters {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn failed(&self, counter: &AtomicU64, count: u64, error: &dyn std::fmt::Display) {
        Self::add(counter, count);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            lines: read(&self.lines),
            lines_dropped: read(&self.lines_dropped),
            lines_failed: read(&self.lines_failed),
            pictures: read(&self.pictures),
            pictures_dropped: read(&self.pictures_dropped),
            pictures_failed: read(&self.pictures_failed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Held as long as the file is open.
fn lock(folder: &Path) -> Result<File, JournalError> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(|e| JournalError::at(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::at(&path, error)),
    }
}

/// Starts a thread; what it gives back disconnects when the thread has ended.
fn spawn(folder: &Path, name: &str, work: impl FnOnce() + Send + 'static) -> Result<Receiver<()>, JournalError> {
    let (alive, ended) = sync_channel::<()>(0);
    let body = move || {
        work();
        drop(alive);
    };
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    thread.map(|_| ended).map_err(|e| JournalError::at(folder, e))
}

#[cfg(test)]
mod tests;
