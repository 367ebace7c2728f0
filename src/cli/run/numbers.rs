//! Part numbers that do not repeat across restarts (`board/WIRE.md`, rule 5).

use anyhow::Context;
use mudenet_edge::record::write_file;
use mudenet_edge::run::station::Counters;
use mudenet_edge::sentence::sentence;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Numbers set aside at a start, for a program that ends without saying how far it came.
const RESERVED: u32 = 1 << 24;

/// The next part's number, kept in a file.
pub(super) struct PartNumbers {
    file: Option<PathBuf>,
    first: u32,
}

impl PartNumbers {
    /// Goes on from the number in `folder`; without a folder, from 1.
    pub(super) fn open(folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else { return Ok(Self { file: None, first: 1 }) };
        let file = folder.join("next-part");
        let first = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().with_context(|| {
                format!("{}: expected the next part's number, got {:?}", file.display(), text.trim())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 1,
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        };
        let numbers = Self { file: Some(file), first };
        numbers.write(first.wrapping_add(RESERVED))?;
        Ok(numbers)
    }

    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// Gives back what was set aside and not used.
    pub(super) fn keep(&mut self, counters: &Counters) {
        let used = u32::try_from(counters.parts()).unwrap_or(RESERVED);
        if let Err(error) = self.write(self.first.wrapping_add(used)) {
            crate::cli::print_error(&sentence(&*error));
        }
    }

    fn write(&self, next: u32) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        Ok(write_file(file, |out| writeln!(out, "{next}"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_a_stop_and_skip_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = PartNumbers::open(Some(folder.path())).unwrap();
        assert_eq!(first.first(), 1);
        first.keep(&Counters { triggered: 7, missed: 2, unseen: 1, ..Counters::default() });
        let second = PartNumbers::open(Some(folder.path())).unwrap();
        assert_eq!(second.first(), 11);
        let crashed = PartNumbers::open(Some(folder.path())).unwrap();
        assert_eq!(crashed.first(), 11 + RESERVED);
        std::fs::write(folder.path().join("next-part"), "many").unwrap();
        let error = PartNumbers::open(Some(folder.path())).err().unwrap().to_string();
        assert!(error.contains("next-part") && error.contains("\"many\""), "{error}");
    }
}
