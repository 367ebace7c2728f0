//! Who changed what and when: a log that shows when it was tampered with.
//!
//! One JSON object a line. Each holds the hash of the line before it (`prev`) and, last, its own (`hash`): SHA-256 of the
//! line without `,"hash":"…"`, lower-case hex. So no line can be changed, removed or put in between without breaking the
//! chain behind it. What a chain cannot show is that its end is missing: compare the newest hash with one noted
//! elsewhere.

use super::journal::Stamp;
use crate::bundle::hex;
use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the log in a record's folder.
pub const FILE: &str = "audit.jsonl";

/// One change of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When, UTC.
    pub time: Stamp,
    /// Person or program.
    pub who: String,
    /// What was changed, such as `threshold`.
    pub what: String,
    /// The value before.
    pub from: serde_json::Value,
    /// The value since.
    pub to: serde_json::Value,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number of the line, from 1.
    pub seq: u64,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Hash of the line before, 64 zeros on the first.
    pub prev: String,
}

/// A log whose chain holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The lines.
    pub entries: Vec<AuditEntry>,
    /// Hash of each line.
    pub hashes: Vec<String>,
    /// Bytes after the last whole line, which a power cut left.
    pub unfinished: usize,
}

/// A log that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file.
    #[error("{}: cannot be {action}: {source}", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// "read" or "written".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The chain is broken.
    #[error("{}: line {line} {reason}: the log was changed after it was written", path.display())]
    Broken {
        /// The log.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Verified {
    /// Hash of the newest line; 64 zeros for an empty log.
    pub fn head(&self) -> &str {
        self.hashes.last().map_or(FIRST, String::as_str)
    }
}

/// Reads a log and checks its chain.
///
/// # Errors
/// [`AuditError`], naming the first line that does not fit.
pub fn verify(path: &Path) -> Result<Verified, AuditError> {
    let read = limits::read(path, limits::LOG);
    check(path, &read.map_err(|source| AuditError::Io { path: path.to_owned(), action: "read", source })?)
}

/// Adds a change to the log, making the file where there is none. The line is on disk when this returns. What a power cut
/// left of a line is removed, which is a line of its own.
///
/// # Errors
/// [`AuditError`]; to a broken chain nothing is added.
pub fn append(path: &Path, change: Change) -> Result<(), AuditError> {
    let failed = |source| AuditError::Io { path: path.to_owned(), action: "written", source };
    let open = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock()?;
        let bytes = limits::read_open(&file, limits::LOG)?;
        Ok((file, bytes))
    };
    let (file, bytes) = open().map_err(failed)?;
    let log = check(path, &bytes)?;
    let mut changes = vec![];
    if log.unfinished > 0 {
        changes.push(Change {
            time: change.time,
            who: "mudenet-edge".into(),
            what: "audit log".into(),
            from: format!("an unfinished line of {} bytes", log.unfinished).into(),
            to: "removed".into(),
        });
    }
    changes.push(change);
    let mut text = String::new();
    let mut prev = log.head().to_owned();
    for (seq, change) in (log.entries.len() as u64 + 1..).zip(changes) {
        let body = serde_json::to_string(&AuditEntry { seq, change, prev }).map_err(|e| failed(e.into()))?;
        prev = hash(&body);
        text += body.strip_suffix('}').unwrap_or(&body);
        text += &format!(",\"hash\":\"{prev}\"}}\n");
    }
    put(file, (bytes.len() - log.unfinished) as u64, &text).map_err(failed)
}

fn put(mut file: File, length: u64, text: &str) -> io::Result<()> {
    file.set_len(length)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn hash(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes()))
}

fn check(path: &Path, bytes: &[u8]) -> Result<Verified, AuditError> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut log = Verified { entries: vec![], hashes: vec![], unfinished: bytes.len() - whole };
    for (i, line) in bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate() {
        let broken = |reason: &str| AuditError::Broken { path: path.to_owned(), line: i + 1, reason: reason.into() };
        let line = std::str::from_utf8(line).map_err(|_| broken("is not text"))?.trim_end_matches('\n');
        let (body, end) = line.rsplit_once(",\"hash\":\"").ok_or_else(|| broken("has no hash"))?;
        let body = format!("{body}}}");
        let hash = hash(&body);
        if end.strip_suffix("\"}") != Some(hash.as_str()) {
            return Err(broken("does not have the hash of its content"));
        }
        let entry: AuditEntry = serde_json::from_str(&body).map_err(|e| broken(&format!("is no entry ({e})")))?;
        if entry.prev != log.head() {
            return Err(broken("does not follow the line before it"));
        }
        if entry.seq != i as u64 + 1 {
            return Err(broken(&format!("has the number {}", entry.seq)));
        }
        log.entries.push(entry);
        log.hashes.push(hash);
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn change(i: i64) -> Change {
        let time = Stamp::from_millis(1_795_473_912_345 + i);
        Change { time, who: "anna \"qs\"".into(), what: "threshold".into(), from: json!(i), to: json!({"value": 0.1}) }
    }

    fn log(folder: &tempfile::TempDir, count: i64) -> PathBuf {
        let path = folder.path().join("a/audit.jsonl");
        (0..count).for_each(|i| append(&path, change(i)).unwrap());
        path
    }

    // python: hashlib.sha256(b'{"seq":1,"time":"2026-11-23T22:45:12.345Z","who":"anna \\"qs\\"","what":"threshold",'
    //   b'"from":0,"to":{"value":0.1},"prev":"' + b'0' * 64 + b'"}').hexdigest()
    const HASH_OF_FIRST: &str = "f85a4324781ec2e3e337f5963393b6f001ffbdb90d5700fef197ec2b185c6f6c";

    #[test]
    fn the_first_line_has_the_hash_that_python_gives() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(&folder, 1);
        assert_eq!(verify(&path).unwrap().head(), HASH_OF_FIRST);
        assert!(fs::read_to_string(path).unwrap().ends_with(&format!(",\"hash\":\"{HASH_OF_FIRST}\"}}\n")));
    }

    #[test]
    fn entries_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let verified = verify(&log(&folder, 5)).unwrap();
        assert_eq!(verified.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(verified.entries[3].change, change(3));
    }

    #[test]
    fn no_byte_can_be_changed_and_no_line_taken_out_moved_or_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(&folder, 3);
        let good = fs::read(&path).unwrap();
        let broken = |bytes: &[u8]| matches!(check(&path, bytes), Err(AuditError::Broken { .. }));
        for i in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[i] ^= 1;
            assert!(broken(&bad), "byte {i}");
        }
        let lines: Vec<&[u8]> = good.split_inclusive(|b| *b == b'\n').collect();
        for bad in [vec![1, 2], vec![0, 2], vec![0, 2, 1], vec![0, 1, 1, 2]] {
            assert!(broken(&bad.iter().flat_map(|i| lines[*i]).copied().collect::<Vec<u8>>()), "{bad:?}");
        }
        // The one thing a chain does not show: the head tells.
        let shorter = check(&path, &[lines[0], lines[1]].concat()).unwrap();
        assert_ne!(shorter.head(), verify(&path).unwrap().head());
    }

    #[test]
    fn to_a_broken_log_nothing_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(&folder, 2);
        let text = fs::read_to_string(&path).unwrap().replacen("anna", "anne", 1);
        fs::write(&path, &text).unwrap();
        let error = append(&path, change(9)).unwrap_err().to_string();
        assert!(error.contains("line 1 does not have the hash of its content: the log was changed"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_line_cut_by_a_power_cut_is_removed_and_that_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(&folder, 3);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        assert_eq!(verify(&path).unwrap().entries.len(), 2);
        append(&path, change(7)).unwrap();
        let entries = verify(&path).unwrap().entries;
        assert_eq!((entries.len(), entries[2].change.what.as_str()), (4, "audit log"));
        assert_eq!(entries[3].change, change(7));
    }
}
