//! Journal files → entries.

use super::JournalError;
use super::entry::{Entry, Stamp};
use super::keep::journal_files;
use crate::decide::Verdict;
use crate::limits::LINE;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The record of a box, to be read; another program may be writing it.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    files: Vec<PathBuf>,
    damaged: AtomicU64,
}

/// Which entries are wanted. The default is all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// From this moment on.
    pub since: Option<Stamp>,
    /// Before this moment.
    pub until: Option<Stamp>,
    /// With one of these verdicts; any where there is none.
    pub verdicts: Vec<Verdict>,
    /// With this recipe.
    pub recipe: Option<String>,
    /// Inspected with a model whose SHA-256 begins like this.
    pub model: Option<String>,
    /// With this part number.
    pub part: Option<u32>,
    /// With at least this score.
    pub min_score: Option<f32>,
    /// With a kept picture.
    pub with_image: bool,
}

impl Selection {
    /// Whether `entry` is wanted.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && (self.verdicts.is_empty() || self.verdicts.contains(&entry.verdict))
            && self.recipe.as_ref().is_none_or(|recipe| *recipe == entry.recipe)
            && self.model.as_ref().is_none_or(|model| entry.model.starts_with(model.as_str()))
            && self.part.is_none_or(|part| part == entry.part)
            && self.min_score.is_none_or(|least| entry.score.is_some_and(|score| score >= least))
            && (!self.with_image || entry.image.is_some())
    }
}

impl Records {
    /// The record in `folder`.
    ///
    /// # Errors
    /// [`JournalError::Path`] where there is none.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let files = journal_files(folder)?;
        Ok(Self { folder: folder.to_owned(), files, damaged: AtomicU64::new(0) })
    }

    /// Where it is; paths in entries are below it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lines passed over so far because they are not whole: cut by a power cut, or just being written.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Hands out the wanted entries in the order they were recorded, until `each` breaks.
    ///
    /// # Errors
    /// [`JournalError::Path`] where a file cannot be read.
    pub fn each(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        for file in &self.files {
            let taking = |entry| if selection.takes(&entry) { each(entry) } else { ControlFlow::Continue(()) };
            if self.read(file, taking)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The last `count` of the wanted entries, in the order they were recorded.
    ///
    /// # Errors
    /// [`JournalError::Path`] where a file cannot be read.
    pub fn last(&self, count: usize, selection: &Selection) -> Result<Vec<Entry>, JournalError> {
        let mut found: Vec<VecDeque<Entry>> = vec![];
        let mut missing = count;
        for file in self.files.iter().rev() {
            let mut newest = VecDeque::new();
            let _ = self.read(file, |entry| {
                if selection.takes(&entry) {
                    newest.push_back(entry);
                    if newest.len() > missing {
                        newest.pop_front();
                    }
                }
                ControlFlow::Continue(())
            })?;
            missing -= newest.len();
            found.push(newest);
            if missing == 0 {
                break;
            }
        }
        Ok(found.into_iter().rev().flatten().collect())
    }

    fn read(
        &self,
        path: &Path,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let file = match File::open(path) {
            Ok(file) => file,
            // The box that writes the record has just deleted it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(JournalError::at(path, error)),
        };
        let mut reader = BufReader::new(file);
        let mut line = vec![];
        let mut inside = false;
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE).read_until(b'\n', &mut line);
            if read.map_err(|e| JournalError::at(path, e))? == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let whole = line.ends_with(b"\n");
            // The rest of a line that is too long is not a line.
            if std::mem::replace(&mut inside, !whole) {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(entry) if whole => {
                    if each(entry).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                _ => {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}
