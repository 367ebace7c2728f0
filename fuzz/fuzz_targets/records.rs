//! The record and the audit log, by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::record::audit::{self, Change};
use mudenet_edge::record::journal::{Records, Selection, Stamp};
use mudenet_fuzz::{FEW, bounded, file, folder};
use std::ops::ControlFlow;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = folder();
    std::fs::create_dir(folder.path().join("journal")).expect("made");
    folder
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    if kind % 2 == 0 {
        let _ = file(&FOLDER, "journal/000001.jsonl", data);
        bounded(64 * data.len() + FEW, || {
            let records = Records::open(FOLDER.path()).expect("a record");
            let mut lines = 0;
            let each = |entry| {
                let text = serde_json::to_string(&entry).expect("an entry can be written");
                assert_eq!(
                    serde_json::from_str::<mudenet_edge::record::journal::Entry>(&text).expect("and read"),
                    entry
                );
                lines += 1;
                ControlFlow::Continue(())
            };
            records.each(&Selection::default(), each).expect("the file can be read");
            let ends = data.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines <= ends);
            let last = records.last(3, &Selection::default()).expect("the file can be read");
            assert_eq!(last.len(), lines.min(3));
        });
    } else {
        let path = file(&FOLDER, "audit.jsonl", data);
        bounded(64 * data.len() + FEW, || {
            let Ok(log) = audit::verify(&path) else {
                let change = Change {
                    time: Stamp::from_millis(0),
                    who: "a".into(),
                    what: "b".into(),
                    from: 1.into(),
                    to: 2.into(),
                };
                assert!(audit::append(&path, change).is_err());
                assert_eq!(std::fs::read(&path).expect("the log"), data, "to a broken log nothing is added");
                return;
            };
            assert_eq!(log.entries.len(), log.hashes.len());
        });
    }
});
