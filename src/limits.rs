//! Files of a stated size at most: no input makes the box take more memory than what is said here.
//!
//! | input | limit | memory while it is read, at most |
//! |---|---|---|
//! | settings: box.toml, recipes, engineers, defects_config.json, secrets and certificates of peers | [`SETTINGS`] bytes | 256 times the file and 1 MiB |
//! | model | [`crate::bundle::MAX_BYTES`] bytes, of which [`crate::bundle::MAX_STRUCTURE`] are not weights | twice the file and 2 GiB, before the network is prepared |
//! | picture, mask | [`crate::capture::MAX_PIXELS`] | 16 bytes a pixel and 64 MiB |
//! | anomaly map | [`crate::capture::MAX_PIXELS`] | 16 bytes a pixel and 64 MiB |
//! | line of the record | [`LINE`] bytes | 64 times the line |
//! | audit log | [`LOG`] bytes | 8 times the log |
//! | message on the serial line | [`mudenet_board::wire::MAX_BYTES`] bytes | those |
//! | request to the page | 64 KiB, 4 MiB from an engineer who is logged in; 64 connections | 64 times that |
//!
//! `tests/limits.rs` and the targets in `fuzz` hold them with an allocator that counts.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Most bytes of a file of settings.
pub const SETTINGS: u64 = 256 << 10;
/// Most bytes of a line of the record.
pub const LINE: u64 = 1 << 20;
/// Most bytes of an audit log: more than a million changes.
pub const LOG: u64 = 256 << 20;

/// The bytes of a file, `most` of them at most.
///
/// # Errors
/// What the system says; [`ErrorKind::FileTooLarge`] for a longer file, of which no more than `most` bytes are read.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_open(&File::open(path)?, most)
}

/// Like [`read`], for what is left of an open file.
///
/// # Errors
/// As of [`read`].
pub fn read_open(file: &File, most: u64) -> Result<Vec<u8>> {
    // A device tells 0 and may yet have no end.
    let told = file.metadata()?.len();
    let mut bytes = vec![];
    if told <= most {
        bytes.reserve_exact(told as usize + 1);
        file.take(most + 1).read_to_end(&mut bytes)?;
    }
    if told > most || bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// Like [`read`], for text.
///
/// # Errors
/// Also [`ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_is_an_error_and_what_has_no_end_is_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "0123456789");
        for (path, most) in [(path.as_path(), 9), (Path::new("/dev/zero"), 1000)] {
            let error = read(path, most).unwrap_err();
            assert_eq!(error.to_string(), format!("it is longer than {most} bytes"));
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 10).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
