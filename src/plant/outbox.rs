//! Messages that wait for a peer, on disk, bounded.
//!
//! Every message has a number that is never used twice: 2³² × session + sequence. A session is one start of the program; its
//! number is the time of that in seconds since 1970, or one more than the session before, where the clock is behind.
//! Within a session sequences are without gaps, so that a receiver sees what was dropped, and what it has seen before.
//! Writing costs the disk one commit every [`Outbox::flush`]; what a power cut takes is what was pushed since.

use crate::record::journal::Stamp;
use crate::run::wall_clock;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const MESSAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("messages");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Memory for pages of the file, bytes.
const CACHE: usize = 1 << 20;
/// What a message takes beside its own bytes.
const OVERHEAD: u64 = 16;

/// An outbox that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("outbox {}: {source}", path.display())]
pub struct OutboxError {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    pub source: Box<redb::Error>,
}

/// What waits for one peer.
pub struct Outbox {
    /// `None` after an error of the disk.
    database: Option<Database>,
    path: PathBuf,
    cap: u64,
    bytes: u64,
    count: u64,
    session: u32,
    sequence: u32,
    unwritten: bool,
}

/// Session and sequence of a message's number.
pub fn parts_of(number: u64) -> (u32, u32) {
    let halves = number.to_be_bytes();
    let half = |at: usize| halves.iter().skip(at).take(4).fold(0u32, |value, byte| (value << 8) | u32::from(*byte));
    (half(0), half(4))
}

impl Outbox {
    /// Opens `folder`/`name`.redb, or makes it; beyond `cap` bytes of messages the oldest are dropped. A file that is
    /// damaged beyond repair is put aside, and the sentence says so.
    ///
    /// # Errors
    /// [`OutboxError`], as where another process has it open.
    pub fn open(folder: &Path, name: &str, cap: u64) -> Result<(Self, Option<String>), OutboxError> {
        let path = folder.join(format!("{name}.redb"));
        let failed = |source: redb::Error| OutboxError { path: path.clone(), source: Box::new(source) };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        let mut notice = None;
        let mut database = match open(&path) {
            Err(error) if beyond_repair(&error) => {
                let aside = path.with_extension("redb.damaged");
                std::fs::rename(&path, &aside).map_err(|error| failed(error.into()))?;
                notice = Some(format!("{} was damaged and is now {}", path.display(), aside.display()));
                open(&path)
            }
            opened => opened,
        }
        .map_err(|error| failed(error.into()))?;
        // The file of a long outage goes back to what it holds.
        let _ = database.compact();
        let (session, bytes, count) = begin(&database).map_err(failed)?;
        let outbox = Self { database: Some(database), path, cap, bytes, count, session, sequence: 0, unwritten: false };
        Ok((outbox, notice))
    }

    /// Adds messages and gives how many were dropped for them.
    ///
    /// # Errors
    /// [`OutboxError`]; then none was added.
    pub fn push(&mut self, messages: &[Vec<u8>]) -> Result<u64, OutboxError> {
        let (cap, mut bytes, mut count, mut sequence, session) =
            (self.cap, self.bytes, self.count, self.sequence, self.session);
        let mut dropped = 0;
        self.write(Durability::None, |write| {
            let mut table = write.open_table(MESSAGES)?;
            for message in messages {
                sequence += 1;
                let size = message.len() as u64 + OVERHEAD;
                if size > cap {
                    dropped += 1;
                    continue;
                }
                while bytes + size > cap
                    && let Some((_, oldest)) = table.pop_first()?
                {
                    bytes = bytes.saturating_sub(oldest.value().len() as u64 + OVERHEAD);
                    count = count.saturating_sub(1);
                    dropped += 1;
                }
                table.insert((u64::from(session) << 32) | u64::from(sequence), message.as_slice())?;
                bytes += size;
                count += 1;
            }
            Ok(())
        })?;
        (self.bytes, self.count, self.sequence, self.unwritten) = (bytes, count, sequence, true);
        Ok(dropped)
    }

    /// The oldest messages above `number`, at most `most`.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn after(&mut self, number: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, OutboxError> {
        let look = |database: &Database| -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(MESSAGES)?;
            let range = table.range(number.saturating_add(1)..)?.take(most);
            range
                .map(|entry| entry.map(|(key, value)| (key.value(), value.value().to_vec())))
                .collect::<Result<_, _>>()
                .map_err(redb::Error::from)
        };
        let result = match &self.database {
            Some(database) => look(database),
            None => Ok(vec![]),
        };
        result.map_err(|error| self.fail(error))
    }

    /// Removes messages that the peer has; gives how many.
    ///
    /// # Errors
    /// [`OutboxError`]; they stay and are sent again.
    pub fn remove(&mut self, numbers: RangeInclusive<u64>) -> Result<u64, OutboxError> {
        let (mut bytes, mut removed) = (self.bytes, 0);
        self.write(Durability::None, |write| {
            let mut table = write.open_table(MESSAGES)?;
            for entry in table.extract_from_if(numbers, |_, _| true)? {
                bytes = bytes.saturating_sub(entry?.1.value().len() as u64 + OVERHEAD);
                removed += 1;
            }
            Ok(())
        })?;
        (self.bytes, self.count, self.unwritten) = (bytes, self.count.saturating_sub(removed), true);
        Ok(removed)
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn flush(&mut self) -> Result<(), OutboxError> {
        if self.unwritten {
            self.write(Durability::Immediate, |_| Ok(()))?;
            self.unwritten = false;
        }
        Ok(())
    }

    /// Counts up what survives a restart, from 0; for things that a peer may not see twice.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn count_up(&mut self, what: &str) -> Result<u64, OutboxError> {
        let mut value = 0;
        self.write(Durability::Immediate, |write| {
            let mut meta = write.open_table(META)?;
            value = meta.get(what)?.map_or(0, |value| value.value().wrapping_add(1));
            meta.insert(what, value)?;
            Ok(())
        })?;
        Ok(value)
    }

    /// Opens the file anew after an error of the disk.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn mend(&mut self) -> Result<(), OutboxError> {
        if self.database.is_some() {
            return Ok(());
        }
        let failed = |source: redb::Error| OutboxError { path: self.path.clone(), source: Box::new(source) };
        let database = open(&self.path).map_err(|error| failed(error.into()))?;
        let (session, bytes, count) = begin(&database).map_err(failed)?;
        (self.session, self.bytes, self.count, self.sequence) = (session, bytes, count, 0);
        self.database = Some(database);
        Ok(())
    }

    /// Number of the message that was pushed last, in this session.
    pub fn newest(&self) -> u64 {
        (u64::from(self.session) << 32) | u64::from(self.sequence)
    }

    /// Messages that wait.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn write(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), OutboxError> {
        let done = match &self.database {
            Some(database) => transact(database, durability, work),
            None => Err(redb::Error::PreviousIo),
        };
        done.map_err(|error| self.fail(error))
    }

    /// After an error nothing in memory is trusted.
    fn fail(&mut self, source: redb::Error) -> OutboxError {
        self.database = None;
        OutboxError { path: self.path.clone(), source: Box::new(source) }
    }
}

fn open(path: &Path) -> Result<Database, DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder.create(path)
}

fn beyond_repair(error: &DatabaseError) -> bool {
    use redb::StorageError;
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) | DatabaseError::RepairAborted => true,
        // Not one of its files at all.
        DatabaseError::Storage(StorageError::Io(error)) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// A new session, and what is there from earlier ones: its number, bytes, messages.
fn begin(database: &Database) -> Result<(u32, u64, u64), redb::Error> {
    let (mut session, mut bytes, mut count) = (0, 0, 0);
    transact(database, Durability::Immediate, |write| {
        let table = write.open_table(MESSAGES)?;
        count = table.len()?;
        for entry in table.iter()? {
            bytes += entry?.1.value().len() as u64 + OVERHEAD;
        }
        let mut meta = write.open_table(META)?;
        let after = meta.get("session")?.map_or(1, |value| value.value().saturating_add(1));
        session = after.max(u64::try_from(Stamp::from(wall_clock()).millis() / 1000).unwrap_or(0));
        meta.insert("session", session)?;
        Ok(())
    })?;
    Ok((u32::try_from(session).unwrap_or(u32::MAX), bytes, count))
}

fn transact(
    database: &Database,
    durability: Durability,
    work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(durability)?;
    work(&write)?;
    write.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions, the first as 1, and sequences.
    fn numbers(outbox: &mut Outbox) -> Vec<(u32, u32)> {
        let waiting = outbox.after(0, usize::MAX).unwrap();
        let numbers: Vec<_> = waiting.into_iter().map(|(number, _)| parts_of(number)).collect();
        let mut sessions: Vec<u32> = numbers.iter().map(|(session, _)| *session).collect();
        sessions.dedup();
        let place = |session| 1 + sessions.iter().position(|other| *other == session).unwrap() as u32;
        numbers.iter().map(|(session, sequence)| (place(*session), *sequence)).collect()
    }

    fn messages(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| vec![i as u8; 84]).collect()
    }

    #[test]
    fn what_was_written_survives_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), "peer", 10_000).unwrap();
        assert_eq!(outbox.push(&messages(3)).unwrap(), 0);
        let first = outbox.after(0, 1).unwrap()[0].0;
        assert_eq!(outbox.remove(first..=first).unwrap(), 1);
        assert_eq!(outbox.remove(first..=first).unwrap(), 0);
        outbox.flush().unwrap();
        assert_eq!((outbox.count_up("birth").unwrap(), outbox.count_up("birth").unwrap()), (0, 1));
        // As a power cut would take it.
        assert_eq!(outbox.push(&messages(2)).unwrap(), 0);
        let (copy, _) = copy_of(&folder, "peer");
        drop(outbox);
        let (mut outbox, notice) = Outbox::open(copy.path(), "peer", 10_000).unwrap();
        assert_eq!((numbers(&mut outbox), notice), (vec![(1, 2), (1, 3)], None));
        outbox.push(&messages(1)).unwrap();
        assert_eq!(numbers(&mut outbox), [(1, 2), (1, 3), (2, 1)]);
        assert_eq!((outbox.count(), outbox.count_up("birth").unwrap()), (3, 2));
    }

    fn copy_of(folder: &tempfile::TempDir, name: &str) -> (tempfile::TempDir, PathBuf) {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join(format!("{name}.redb"));
        std::fs::copy(folder.path().join(format!("{name}.redb")), &path).unwrap();
        (copy, path)
    }

    #[test]
    fn a_full_outbox_drops_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(folder.path(), "peer", 1000).unwrap();
        assert_eq!(outbox.push(&messages(25)).unwrap(), 15);
        assert_eq!(numbers(&mut outbox), (16..=25).map(|sequence| (1, sequence)).collect::<Vec<_>>());
        // One that would never fit takes a number and nobody's place.
        assert_eq!(outbox.push(&[vec![0; 1000]]).unwrap(), 1);
        assert_eq!(outbox.push(&messages(1)).unwrap(), 1);
        assert_eq!(numbers(&mut outbox).last(), Some(&(1, 27)));
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_a_second_user_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("peer.redb"),
            "not an outbox at all, and long enough to be looked at ".repeat(400),
        )
        .unwrap();
        let (mut outbox, notice) = Outbox::open(folder.path(), "peer", 1000).unwrap();
        assert!(notice.unwrap().contains("was damaged"));
        outbox.push(&messages(1)).unwrap();
        assert!(folder.path().join("peer.redb.damaged").is_file());
        let error = Outbox::open(folder.path(), "peer", 1000).err().unwrap().to_string();
        assert!(error.contains("peer.redb"), "{error}");
    }
}
