//! Lines → journal files.

use super::entry::{Entry, Stamp};
use super::keep::{JOURNAL, Keeper, journal_files, number};
use super::settings::{Confirm, Settings};
use super::{Counters, JournalError, Line};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are written and confirmed together at most.
const BATCH: usize = 256;

/// Writes lines, in a thread of its own.
pub(super) struct Lines {
    folder: PathBuf,
    limit: u64,
    confirm: Confirm,
    keeper: Arc<Mutex<Keeper>>,
    counters: Arc<Counters>,
    next: u64,
    pub(super) current: Option<Current>,
}

/// The journal file in use.
pub(super) struct Current {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes of whole lines in it.
    pub(super) length: u64,
}

impl Lines {
    /// Goes on with the newest journal file where it is whole and has room.
    pub(super) fn open(
        settings: &Settings,
        keeper: Arc<Mutex<Keeper>>,
        counters: Arc<Counters>,
    ) -> Result<Self, JournalError> {
        let limit = settings.file_mib << 20;
        let newest = journal_files(&settings.folder)?.pop();
        let next = newest.as_deref().and_then(number).map_or(1, |number| number + 1);
        let current = match newest {
            Some(path) => reopen(&path, limit).map_err(|e| JournalError::at(&path, e))?,
            None => None,
        };
        if current.is_some() {
            keeper.lock().unwrap_or_else(PoisonError::into_inner).take_newest_journal();
        }
        let folder = settings.folder.join(JOURNAL);
        Ok(Self { folder, limit, confirm: settings.confirm, keeper, counters, next, current })
    }

    /// Writes what comes until nobody can send more.
    pub(super) fn run(mut self, queue: &Receiver<Line>) {
        while let Ok(first) = queue.recv() {
            let more = queue.try_iter().take(BATCH - 1);
            let entries: Vec<Entry> = std::iter::once(first).chain(more).map(Entry::new).collect();
            let count = entries.len() as u64;
            match self.write(&entries) {
                Ok(()) => Counters::add(&self.counters.lines, count),
                Err((path, error)) => {
                    let reason = format!("{}: cannot be written: {error}", path.display());
                    self.counters.failed(&self.counters.lines_failed, count, &reason);
                }
            }
        }
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), (PathBuf, io::Error)> {
        let now = entries.iter().map(|e| e.time).max().unwrap_or(Stamp::from_millis(0));
        let mut text = vec![];
        for entry in entries {
            serde_json::to_writer(&mut text, entry).map_err(|e| (self.folder.clone(), e.into()))?;
            text.push(b'\n');
        }
        self.keeper().make_room(now, text.len() as u64);
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin()?,
        };
        if let Err(error) = append(&mut current, &text, self.confirm) {
            // Half a line must not precede the next one: the file is cut back, and a new one begun.
            let _ = current.file.set_len(current.length);
            let path = current.path.clone();
            self.keeper().close_journal(current.path, current.length, now);
            return Err((path, error));
        }
        self.keeper().grew(text.len() as u64);
        if current.length < self.limit {
            self.current = Some(current);
        } else {
            self.keeper().close_journal(current.path, current.length, now);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Current, (PathBuf, io::Error)> {
        let path = self.folder.join(format!("{:06}.jsonl", self.next));
        let make = || {
            let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|e| (path.clone(), e))?;
        self.next += 1;
        Ok(Current { file, path, length: 0 })
    }

    fn keeper(&self) -> std::sync::MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(current: &mut Current, text: &[u8], confirm: Confirm) -> io::Result<()> {
    current.file.write_all(text)?;
    if confirm == Confirm::Each {
        current.file.sync_data()?;
    }
    current.length += text.len() as u64;
    Ok(())
}

/// `None` where it is full or its last line was cut by a power cut.
fn reopen(path: &Path, limit: u64) -> io::Result<Option<Current>> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    if length >= limit {
        return Ok(None);
    }
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            return Ok(None);
        }
    }
    Ok(Some(Current { file, path: path.to_owned(), length }))
}
