//! A box that runs takes no more and more memory, and of what it keeps on disk it remembers little.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod rig;

use cap::Cap;
use mudenet_board::millis;
use mudenet_edge::capture::{Camera, CaptureError, Frame};
use mudenet_edge::record::journal::{Journal, Settings};
use mudenet_edge::run::simulate::{Conveyor, Plant};
use mudenet_edge::run::{Devices, JournalSink, Line, Record, RecordSink};
use rig::{FIRST, Rig, devices, frame};
use std::alloc::System;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Parts after which the box is in its steady state, and those at the end.
const BEGIN: usize = 800;
const END: usize = 2000;
/// Over so many parts the smallest size counts: pictures on their way come and go, and the conveyor forgets parts in lots.
const WINDOW: usize = 300;
/// Bytes of memory for a file on disk; a queue that grows has up to twice what it needs.
const A_FILE: usize = 2 * 48;
const SLACK: usize = 16 << 10;

/// Every tenth part is bad.
struct Parts(u32);

impl Camera for Parts {
    fn name(&self) -> &str {
        "parts"
    }

    fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
        self.0 += 1;
        Ok(frame(if self.0.is_multiple_of(10) { 200 } else { 100 }))
    }
}

/// The smallest memory of the program while parts BEGIN and END are recorded.
struct Watch {
    parts: usize,
    least: Arc<Mutex<[usize; 2]>>,
}

impl RecordSink for Watch {
    fn put(&mut self, record: &Record) {
        let (Record::Part(_) | Record::Uninspected { .. }) = record else { return };
        self.parts += 1;
        let mut least = self.least.lock().unwrap();
        for (least, at) in least.iter_mut().zip([BEGIN, END]) {
            if (at - WINDOW..at).contains(&self.parts) {
                *least = (*least).min(ALLOCATOR.allocated());
            }
        }
    }
}

/// How many bytes more the program holds after END parts than after BEGIN; `None` where a halted machine missed most of them.
fn growth(mut sinks: Vec<Box<dyn RecordSink>>) -> Option<isize> {
    let mut config = Rig { queue: 256, ..Rig::new(0) }.config();
    // However slow the machine is, nothing is given up.
    config.station.machine.inspect_timeout = millis(60_000);
    config.camera_lost = millis(60_000);
    let (plant, gate) = (Plant::default(), config.station.gate);
    let least = Arc::new(Mutex::new([usize::MAX; 2]));
    sinks.push(Box::new(Watch { parts: 0, least: Arc::clone(&least) }));
    let line = Line::new(
        config,
        Devices { camera: Box::new(Parts(0)), sink: plant.record(Box::new(sinks)), ..devices(plant.outputs()) },
    );
    let conveyor = Conveyor { parts: END as u32, pitch: millis(5), jitter: 0.0, counts: 100, seed: 1 };
    let driver = plant.drive(conveyor, gate, FIRST, line.handle());
    let report = line.run().unwrap();
    driver.join().unwrap();
    let outcome = plant.outcome(gate);
    assert_eq!((outcome.parts, outcome.escaped), (END as u64, 0), "{report:?}");
    let inspected = report.counters.accepted + report.counters.rejected;
    if inspected < END as u64 / 4 {
        eprintln!("too few parts were inspected: {report:?}");
        return None;
    }
    let [begin, end] = *least.lock().unwrap();
    assert!(begin < usize::MAX && end < usize::MAX, "{report:?}");
    Some(end as isize - begin as isize)
}

fn files(folder: &Path) -> usize {
    let folders = std::fs::read_dir(folder.join("pictures")).unwrap().map(|day| day.unwrap().path());
    folders.map(|day| std::fs::read_dir(day).unwrap().count()).sum()
}

#[test]
fn a_running_box_takes_no_more_memory() {
    let without = (0..5).find_map(|_| growth(vec![])).expect("most parts are inspected");
    assert!(without <= SLACK as isize, "{without} bytes more after {END} parts than after {BEGIN}");
    let kept = (0..5).find_map(|_| {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { good: 0, min_free_gib: 0.0, ..Settings::in_folder(folder.path().to_owned()) };
        let journal = Journal::open(settings).unwrap();
        let with = growth(vec![Box::new(JournalSink::new(journal, |text| eprintln!("{text}")))])?;
        Some((with, files(folder.path())))
    });
    let (with, files) = kept.expect("most parts are inspected");
    assert!(files >= END / 40, "only {files} files were kept");
    let bound = SLACK + files * A_FILE;
    println!("{without} bytes more after {END} parts than after {BEGIN}; {with} with {files} files kept");
    assert!(with <= bound as isize, "{with} bytes more for {files} files, expected at most {bound}");
}
