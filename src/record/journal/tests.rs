use super::keep::{JOURNAL, PICTURES};
use super::lines::Current;
use super::*;
use crate::capture::{Samples, decode};
use crate::map::{Branch, Grid};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::time::UNIX_EPOCH;
use walkdir::WalkDir;

const THRESHOLD: f32 = 2.0;
/// 2026-11-23T22:45:12Z.
const START: u64 = 1_795_473_912;

fn settings(folder: &tempfile::TempDir) -> Settings {
    Settings { good: 0, min_free_gib: 0.0, picture_queue: 64, ..Settings::in_folder(folder.path()) }
}

fn part(id: u32, score: f32) -> Part {
    let samples = (0..3 * 40 * 32).map(|i| (i * 7 + id as usize) as u8).collect();
    let map = Grid { height: 8, width: 8, values: (0..64).map(|i| score * i as f32 / 63.0).collect() };
    Part {
        id,
        time: UNIX_EPOCH + Duration::from_secs(START + u64::from(id)),
        verdict: if score > THRESHOLD { Verdict::Reject } else { Verdict::Accept },
        score: Some(ImageScore { value: score, row: 7, column: 6, branch: Branch::Logical, level: 3 }),
        zone: None,
        areas: vec![],
        threshold: THRESHOLD,
        context: Arc::new(Context { recipe: "bottle".into(), model: "ab".repeat(32), zones: vec![] }),
        latency: Latency { inspect: Some(Duration::from_micros(12_345)), ..Latency::default() },
        look: Some(Look { mean: 0.5, saturated: 0.0, sharpness: 0.25 }),
        frame: Some(Arc::new(Frame::new(40, 32, Samples::Rgb8(samples)).unwrap())),
        map: Some(Arc::new(AnomalyMap(map))),
        error: None,
    }
}

fn fault(id: u32) -> Part {
    let error = Some("the camera is gone".into());
    Part { verdict: Verdict::Fault, score: None, frame: None, map: None, look: None, error, ..part(id, 0.0) }
}

fn record(settings: Settings, parts: impl IntoIterator<Item = Part>) -> Status {
    let journal = Journal::open(settings).unwrap();
    let counters = Arc::clone(&journal.counters);
    parts.into_iter().for_each(|part| journal.record(part));
    assert!(journal.close(Duration::from_secs(60)));
    counters.status()
}

fn all(folder: &Path) -> Vec<Entry> {
    Records::open(folder).unwrap().last(usize::MAX, &Selection::default()).unwrap()
}

fn files(folder: &Path, name: &str) -> Vec<String> {
    let below = WalkDir::new(folder.join(name)).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = below.filter(|e| e.file_type().is_file());
    files.map(|e| e.path().strip_prefix(folder).unwrap().display().to_string()).collect()
}

#[test]
fn every_part_is_a_line_and_the_telling_ones_are_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let scores = [0.1, 0.2, 1.9, 2.5, 0.3, 0.4, 0.5];
    let parts = (0..).zip(scores).map(|(id, score)| part(id, score)).chain([fault(7)]);
    let status = record(Settings { good: 3, ..settings(&folder) }, parts);
    assert_eq!((status.lines, status.pictures, status.last_error), (8, 4, None));
    let entries = all(folder.path());
    assert_eq!(entries.iter().map(|e| e.part).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    // Good parts are 0, 1, 4, 5, 6: one in three of them is 0 and 5.
    let kept: Vec<u32> = entries.iter().filter(|e| e.image.is_some()).map(|e| e.part).collect();
    let with_map: Vec<u32> = entries.iter().filter(|e| e.map.is_some()).map(|e| e.part).collect();
    assert_eq!((kept, with_map), (vec![0, 2, 3, 5], vec![2, 3]));

    let reject = &entries[3];
    assert_eq!(reject.image.as_deref(), Some("pictures/2026-11-23/224515.000-000003-reject.png"));
    assert_eq!(decode(&folder.path().join(reject.image.as_ref().unwrap())).unwrap(), *part(3, 2.5).frame.unwrap());
    let map = crate::metric::read_map(&folder.path().join(reject.map.as_ref().unwrap())).unwrap();
    assert_eq!(map, *part(3, 2.5).map.unwrap());
    assert_eq!(
        (reject.score, reject.branch, reject.level, reject.at),
        (Some(2.5), Some(Branch::Logical), Some(3), Some([7, 6]))
    );
    assert_eq!((reject.inspect_ms, reject.total_ms, reject.brightness), (Some(12.345), None, Some(0.5)));
    assert_eq!((entries[7].verdict, entries[7].error.as_deref()), (Verdict::Fault, Some("the camera is gone")));
}

#[test]
fn pictures_of_16_bits_keep_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let samples = (0..3 * 40 * 32).map(|i| (i * 5003) as u16).collect();
    let frame = Arc::new(Frame::new(40, 32, Samples::Rgb16(samples)).unwrap());
    record(settings(&folder), [Part { frame: Some(Arc::clone(&frame)), ..part(1, 9.0) }]);
    let image = all(folder.path())[0].image.clone().unwrap();
    assert_eq!(decode(&folder.path().join(image)).unwrap(), *frame);
}

#[test]
fn a_power_cut_costs_the_line_it_cut_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    record(settings(&folder), (0..3).map(|id| part(id, 0.5)));
    let file = folder.path().join(JOURNAL).join("000001.jsonl");
    let whole = fs::read(&file).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for end in last + 1..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        let records = Records::open(folder.path()).unwrap();
        let entries = records.last(10, &Selection::default()).unwrap();
        assert_eq!((entries.len(), records.damaged()), (2, 1), "cut at {end}");
    }
    let journal = Journal::open(settings(&folder)).unwrap();
    assert_eq!(journal.last_part(), Some(1));
    journal.record(part(5, 0.5));
    assert!(journal.close(Duration::from_secs(60)));
    assert_eq!(all(folder.path()).iter().map(|e| e.part).collect::<Vec<_>>(), [0, 1, 5]);
    assert_eq!(files(folder.path(), JOURNAL).len(), 2);
}

#[test]
fn what_a_power_cut_left_half_written_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    record(settings(&folder), [part(0, 3.0)]);
    let half = folder.path().join(PICTURES).join("2026-11-23/.224512.000-000000-reject.png.77.part");
    fs::write(&half, b"half a pict").unwrap();
    let before = files(folder.path(), PICTURES).len();
    record(settings(&folder), []);
    assert_eq!((half.exists(), files(folder.path(), PICTURES).len()), (false, before - 1));
}

#[test]
fn a_disk_that_hangs_never_holds_up_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { queue: 8, confirm: Confirm::System, ..settings(&folder) };
    let mut journal = Journal::open(settings.clone()).unwrap();
    // A pipe that nobody reads: it takes 64 KiB, then every write waits.
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut reader = file.try_clone().unwrap();
    let keeper = Arc::new(Mutex::new(Keeper::open(&settings).unwrap()));
    let mut lines = Lines::open(&settings, keeper, Arc::clone(&journal.counters)).unwrap();
    lines.current = Some(Current { file, path, length: 0 });
    let (sender, queue) = sync_channel(settings.queue);
    journal.lines = Some(sender);
    journal.ended[0] = spawn(folder.path(), "lines", move || lines.run(&queue)).unwrap();
    // Until a line waits for the full pipe.
    let kept_up = |journal: &Journal, told: u64| {
        (0..1000).any(|_| {
            let status = journal.status();
            let done = status.lines + status.lines_dropped == told;
            if !done {
                std::thread::sleep(Duration::from_millis(1));
            }
            done
        })
    };
    let full = (0..2000).find(|id| {
        journal.record(part(*id, 0.5));
        !kept_up(&journal, u64::from(*id) + 1)
    });
    let told = full.expect("a pipe takes 64 KiB") + 1;
    for id in told..told + 1000 {
        journal.record(part(id, 0.5));
    }
    let total = u64::from(told) + 1000;
    let status = journal.status();
    assert!(status.lines_dropped >= 1000 - 8 && status.lines + status.lines_dropped < total, "{status:?}");
    let drain = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while reader.read(&mut bytes).unwrap() > 0 && !bytes.contains(&0xff) {}
    });
    let counters = Arc::clone(&journal.counters);
    assert!(journal.close(Duration::from_secs(60)));
    let status = counters.status();
    assert_eq!((status.lines + status.lines_dropped, status.lines_failed), (total, 0));
    OpenOptions::new().write(true).open(folder.path().join("pipe")).unwrap().write_all(&[0xff]).unwrap();
    drain.join().unwrap();
}

#[test]
fn a_disk_that_fails_is_reported_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let journal = Journal::open(settings.clone()).unwrap();
    let keeper = Arc::new(Mutex::new(Keeper::open(&settings).unwrap()));
    let mut lines = Lines::open(&settings, keeper, Arc::clone(&journal.counters)).unwrap();
    let path = folder.path().join("not-to-be-written");
    fs::write(&path, "").unwrap();
    lines.current = Some(Current { file: File::open(&path).unwrap(), path, length: 0 });
    let (sender, queue) = sync_channel(8);
    let line = |id| Line { part: part(id, 0.5), kept: None };
    let ended = spawn(folder.path(), "lines", move || lines.run(&queue)).unwrap();
    sender.send(line(1)).unwrap();
    while journal.status().lines_failed == 0 {
        std::thread::yield_now();
    }
    sender.send(line(2)).unwrap();
    drop(sender);
    assert_eq!(ended.recv(), Err(std::sync::mpsc::RecvError));
    let status = journal.status();
    assert_eq!((status.lines, status.lines_failed), (1, 1));
    assert!(status.last_error.unwrap().contains("not-to-be-written: cannot be written"));
    assert_eq!(all(folder.path()).iter().map(|e| e.part).collect::<Vec<_>>(), [2]);
}

#[test]
fn good_pictures_go_first_and_the_record_stays_within_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let limit = 120_000;
    let settings = Settings { good: 1, max_gib: limit as f64 / f64::from(1 << 30), ..settings(&folder) };
    let score = |id| if id % 10 == 0 { 3.0 } else { 0.5 };
    for parts in [0..40, 40..80] {
        let status = record(settings.clone(), parts.map(|id| part(id, score(id))));
        assert_eq!(status.pictures, 40);
        let size: u64 = WalkDir::new(folder.path())
            .into_iter()
            .map(|e| e.unwrap().metadata().unwrap())
            .filter(fs::Metadata::is_file)
            .map(|m| m.len())
            .sum();
        assert!(size <= limit, "{size}");
    }
    let pictures = files(folder.path(), PICTURES);
    let of = |word: &str| pictures.iter().filter(|p| p.ends_with(&format!("{word}.png"))).count();
    assert_eq!(of("reject"), 8, "{pictures:?}");
    assert!((1..72).contains(&of("good")), "{pictures:?}");
    // The oldest went.
    assert!(pictures.iter().any(|p| p.contains("-000079-")) && !pictures.iter().any(|p| p.contains("-000001-")));
    assert_eq!(all(folder.path()).len(), 80);
}

#[test]
fn what_is_older_than_its_days_goes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_days: 2, ..settings(&folder) };
    let on_day =
        |id: u32| Part { time: UNIX_EPOCH + Duration::from_secs(START + 86_400 * u64::from(id)), ..part(id, 3.0) };
    record(settings, (0..5).map(on_day));
    let pictures = files(folder.path(), PICTURES);
    let days: Vec<&str> = pictures.iter().filter(|p| p.ends_with("png")).map(|p| &p[9..19]).collect();
    assert_eq!(days, ["2026-11-25", "2026-11-26", "2026-11-27"]);
    assert!(!folder.path().join("pictures/2026-11-23").exists());
}

#[test]
fn a_disk_without_the_free_space_wanted_keeps_lines_only() {
    let folder = tempfile::tempdir().unwrap();
    let status = record(Settings { min_free_gib: 1e8, ..settings(&folder) }, [part(1, 3.0)]);
    assert_eq!((status.lines, status.pictures, status.pictures_failed), (1, 0, 1));
    assert!(status.last_error.unwrap().contains("no room within the record's limits"));
}

#[test]
fn journal_files_change_at_their_size_and_are_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let long = |id| Part { error: Some("x".repeat(300_000)), frame: None, ..part(id, 0.5) };
    for parts in [0..4, 4..8, 8..9] {
        record(Settings { file_mib: 1, ..settings(&folder) }, parts.map(long));
    }
    assert_eq!(files(folder.path(), JOURNAL), ["journal/000001.jsonl", "journal/000002.jsonl", "journal/000003.jsonl"]);
    let records = Records::open(folder.path()).unwrap();
    let ids = |count| records.last(count, &Selection::default()).unwrap().iter().map(|e| e.part).collect::<Vec<_>>();
    assert_eq!((ids(3), ids(100), ids(0)), (vec![6, 7, 8], (0..9).collect(), vec![]));
    let mut seen = vec![];
    let stop_at_5 = |entry: Entry| {
        seen.push(entry.part);
        if entry.part == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    records.each(&Selection::default(), stop_at_5).unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_selection_takes_what_meets_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    record(settings(&folder), [part(1, 0.5), part(2, 3.0), fault(3), part(4, 5.0)]);
    let parts = |selection: Selection| -> Vec<u32> {
        let entries = Records::open(folder.path()).unwrap().last(9, &selection).unwrap();
        entries.iter().map(|e| e.part).collect()
    };
    let all = Selection::default();
    let at = |id: u64| Some(Stamp::from_millis(1000 * (START + id) as i64));
    assert_eq!(parts(Selection { since: at(2), until: at(4), ..all.clone() }), [2, 3]);
    assert_eq!(parts(Selection { verdicts: vec![Verdict::Fault, Verdict::Accept], ..all.clone() }), [1, 3]);
    assert_eq!(parts(Selection { min_score: Some(3.0), with_image: true, ..all.clone() }), [2, 4]);
    assert_eq!(parts(Selection { part: Some(4), model: Some("abab".into()), ..all.clone() }), [4]);
    assert!(parts(Selection { recipe: Some("cap".into()), ..all }).is_empty());
}

#[test]
fn two_programs_do_not_write_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let first = Journal::open(settings(&folder)).unwrap();
    assert!(matches!(Journal::open(settings(&folder)), Err(JournalError::InUse { .. })));
    drop(first);
    Journal::open(settings(&folder)).unwrap();
}

#[test]
fn settings_that_cannot_work_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = settings(&folder);
    let cases = [
        (Settings { near: -0.1, ..good.clone() }, "near: expected a number from 0, got -0.1"),
        (Settings { max_gib: f64::NAN, ..good.clone() }, "max_gib: expected a number above 0, got NaN"),
        (Settings { queue: 0, ..good.clone() }, "queue: expected 1 to 65536, got 0"),
        (Settings { max_days: 0, ..good }, "max_days: expected at least 1, got 0"),
    ];
    for (settings, reason) in cases {
        assert_eq!(Journal::open(settings).unwrap_err().to_string(), reason);
    }
}

#[test]
fn zones_are_written_where_there_are_some_and_older_lines_are_read() {
    let line = |part: Part| serde_json::to_string(&Entry::new(Line { part, kept: None })).unwrap();
    let old = line(part(7, 1.0));
    assert!(!old.contains("zone") && !old.contains("rest"), "{old}");
    let entry: Entry = serde_json::from_str(&old).unwrap();
    assert_eq!((entry.zone, entry.rest, entry.zones.len()), (None, None, 0));

    let context = Context { zones: vec!["thread".into(), "cap".into()], ..(*part(7, 1.0).context).clone() };
    let areas = vec![0.5, 2.75, f32::NEG_INFINITY];
    let zoned = Part { zone: Some("thread".into()), areas, context: Arc::new(context), ..part(7, 2.25) };
    let text = line(zoned);
    assert!(text.contains(r#""zone":"thread","rest":0.5,"zones":{"thread":2.75},"recipe":"bottle""#), "{text}");
    let entry: Entry = serde_json::from_str(&text).unwrap();
    assert_eq!((entry.zone.as_deref(), entry.zones["thread"]), (Some("thread"), 2.75));
}
