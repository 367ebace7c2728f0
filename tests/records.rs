//! The record of a box through the program: look up, export, inspect again, drift, calibrate from it, audit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{GREY, THRESHOLD, bundle, good, run, spotted};
use image::RgbImage;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{Frame, Look, Samples};
use mudenet_edge::decide::Threshold;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::record::audit;
use mudenet_edge::record::journal::{Context, Journal, Latency, Part, Settings};
use mudenet_edge::run::Pipeline;
use serde_json::Value;
use std::fs;
use std::path::Path;
#[cfg(feature = "parquet")]
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// 2026-11-23T00:00:00Z.
const DAY: u64 = 1_795_392_000;

/// Inspects pictures as a box would and keeps their record in `record`; part i is of second i of the day.
fn record(folder: &Path, bundle: &Bundle, pictures: &[RgbImage]) {
    let settings = Settings { good: 2, picture_queue: 256, ..Settings::in_folder(folder.join("record")) };
    let journal = Journal::open(Settings { min_free_gib: 0.0, ..settings }).unwrap();
    let context = Arc::new(Context { recipe: "tray".into(), model: bundle.sha256().into(), zones: vec![] });
    let mut pipeline = Pipeline::new(Inspector::new(bundle).unwrap());
    let first = journal.last_part().map_or(0, |part| part + 1);
    for (id, picture) in (first..).zip(pictures) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let frame = Frame::new(width, height, Samples::Rgb8(picture.as_raw().clone())).unwrap();
        let inspection = pipeline.inspect(&frame).result.unwrap();
        journal.record(Part {
            id,
            time: UNIX_EPOCH + Duration::from_secs(DAY + u64::from(id)),
            verdict: inspection.verdict,
            score: Some(inspection.score),
            zone: inspection.zone,
            areas: inspection.areas,
            threshold: pipeline.threshold(),
            context: Arc::clone(&context),
            latency: Latency { inspect: Some(Duration::from_millis(7)), ..Latency::default() },
            look: Some(Look::at(&frame)),
            frame: Some(Arc::new(frame)),
            map: Some(Arc::new(inspection.map)),
            error: None,
        });
    }
    assert_eq!(journal.status().lines_dropped, 0);
    assert!(journal.close(Duration::from_secs(60)));
}

/// A good part, a little redder than grey and `brighter` than before.
fn part(i: u32, brighter: u8) -> RgbImage {
    let red = (i * 7 % 20) as u8;
    RgbImage::from_fn(64, 64, |_, _| image::Rgb([GREY + red, GREY + brighter, GREY]))
}

fn station() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    folder
}

/// The model as it is on disk: its hash is the file's.
fn saved(folder: &TempDir, name: &str) -> Bundle {
    Bundle::load(&folder.path().join(name)).unwrap()
}

#[test]
fn parts_are_looked_up_and_exported() {
    let folder = station();
    let spot = |x| spotted(64, 64, (x, 30), 12, 0);
    record(folder.path(), &saved(&folder, "m.onnx"), &[good(64, 64), spot(20), good(64, 64), spot(40)]);
    let list = run(folder.path(), &["records", "record"]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert!(lines[1].starts_with("2026-11-23T00:00:01.000Z        1  REJECT"), "{}", lines[1]);
    assert!(lines[1].contains("structural") && lines[1].ends_with("pictures/2026-11-23/000001.000-000001-reject.png"));
    assert_eq!(lines[4], "4 parts: 2 accepted, 2 rejected, 0 faults");

    let since = ["records", "record", "--json", "--verdict", "reject", "--since", "2026-11-23T00:00:02Z"];
    let rejects = run(folder.path(), &since).lines();
    assert_eq!((rejects.len(), &rejects[0]["part"], &rejects[0]["recipe"]), (1, &3.into(), &"tray".into()));

    let export = run(folder.path(), &["records", "record", "--last", "3", "--csv", "out.csv"]);
    assert_eq!(export.stdout, "3 parts written to out.csv\n");
    let csv = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[0][..3].to_vec()), (4, 20, vec!["part", "time", "verdict"]));
    assert_eq!(rows[1][..3], ["1", "2026-11-23T00:00:01.000Z", "reject"]);
    assert_eq!(rows[1][3].parse::<f32>().unwrap(), rejects_score(&folder));
    run(folder.path(), &["records", "nowhere"]).assert_error(&["nowhere/journal"]);
    let wrong = run(folder.path(), &["records", "record", "--since", "yesterday"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("expected a time such as"), "{wrong:?}");
}

/// The peer that reads Parquet is Apache Arrow's own.
#[cfg(feature = "parquet")]
#[test]
fn pyarrow_reads_the_parquet_file_as_the_csv_says() {
    let folder = station();
    let spot = spotted(64, 64, (20, 30), 12, 0);
    record(folder.path(), &saved(&folder, "m.onnx"), &[good(64, 64), spot, good(64, 64)]);
    for format in ["csv", "parquet"] {
        let file = format!("out.{format}");
        let export = run(folder.path(), &["records", "record", &format!("--{format}"), &file]);
        assert_eq!(export.stdout, format!("3 parts written to {file}\n"), "{export:?}");
    }
    let code = "
import csv, sys, pyarrow.parquet as pq
table = pq.read_table('out.parquet')
print([f'{f.name}:{f.type}' for f in table.schema][:4])
rows = table.to_pylist()
for got, expected in zip(rows, csv.DictReader(open('out.csv')), strict=True):
    assert list(got) == list(expected)
    got['time'] = got['time'].strftime('%Y-%m-%dT%H:%M:%S.') + '%03dZ' % (got['time'].microsecond // 1000)
    for key, value in got.items():
        text = expected[key]
        same = text == '' if value is None else abs(float(text) - value) < 1e-6 * max(1, abs(value)) if isinstance(value, (int, float)) else text == value
        assert same, (key, value, text)
print(len(rows))
";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let output = Command::new(python).args(["-c", code]).current_dir(folder.path()).output();
    let output = output.expect("./check makes .venv");
    let done = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let types = "['part:int64', 'time:timestamp[ms, tz=UTC]', 'verdict:string', 'score:float']";
    assert_eq!(done, format!("{types}\n3\n"));
    let both = run(folder.path(), &["records", "record", "--parquet", "a", "--csv", "b"]);
    assert!(both.code == 2 && both.stderr.contains("cannot be used with"), "{both:?}");
}

fn rejects_score(folder: &TempDir) -> f32 {
    let entry = &run(folder.path(), &["records", "record", "--json", "--part", "1"]).lines()[0];
    entry["score"].as_f64().unwrap() as f32
}

#[test]
fn kept_pictures_are_inspected_again_with_another_model() {
    let folder = station();
    let bundle = saved(&folder, "m.onnx");
    record(folder.path(), &bundle, &[good(64, 64), spotted(64, 64, (20, 30), 12, 0), part(3, 0)]);
    let again = |arguments: &[&str]| run(folder.path(), &[&["records", "record"][..], arguments].concat());
    let same = again(&["--model", "m.onnx"]);
    // The first of two good parts and the reject have pictures.
    assert_eq!(same.stdout, "2 pictures inspected again: 0 verdicts would change\n", "{same:?}");
    for line in again(&["--model", "m.onnx", "--json"]).lines() {
        assert_eq!((&line["was"]["score"], &line["was"]["verdict"]), (&line["now"]["score"], &line["now"]["verdict"]));
    }
    let mut meta = bundle.meta().clone();
    meta.threshold = Threshold::manual(1e6);
    Bundle::assemble(bundle.graph().clone(), &meta).unwrap().save(&folder.path().join("blind.onnx")).unwrap();
    let blind = again(&["--model", "blind.onnx"]);
    assert!(blind.stdout.contains("now ACCEPT") && blind.stdout.contains(": 1 verdicts would change"), "{blind:?}");
    fs::remove_dir_all(folder.path().join("record/pictures")).unwrap();
    assert!(again(&["--model", "m.onnx"]).stdout.contains("2 pictures were deleted since"));
}

#[test]
fn drift_is_answered_in_words_and_exit_codes() {
    let folder = station();
    fs::create_dir(folder.path().join("good")).unwrap();
    for i in 0..60 {
        part(i, 0).save(folder.path().join(format!("good/{i:03}.png"))).unwrap();
    }
    let calibrate = ["calibrate", "--model", "m.onnx", "--good", "good", "--false-reject", "5%", "-o", "c.onnx"];
    assert_eq!(run(folder.path(), &calibrate).code, 0);
    let bundle = saved(&folder, "c.onnx");
    let drift = |arguments: &[&str]| {
        run(folder.path(), &[&["drift", "--records", "record", "--model", "c.onnx"], arguments].concat())
    };
    let accepted = |brighter| (0..40).map(|i| part(i, brighter)).collect::<Vec<_>>();
    record(folder.path(), &bundle, &accepted(0));
    let stable = drift(&[]);
    assert_eq!(stable.code, 0, "{stable:?}");
    assert!(stable.stdout.ends_with("stable: good parts look as they did at calibration\n"), "{stable:?}");

    // Green, which this model does not look at, makes the pictures brighter.
    record(folder.path(), &bundle, &accepted(30));
    let watch = drift(&["--last", "40"]);
    assert_eq!(watch.code, 1, "{watch:?}");
    assert!(watch.stdout.contains("watch: pictures are brighter"), "{watch:?}");

    let low: Vec<RgbImage> = (0..40).map(|_| good(64, 64)).collect();
    record(folder.path(), &bundle, &low);
    let lower = drift(&["--last", "40", "--json"]);
    assert_eq!(lower.code, 3, "{lower:?}");
    let report: Value = serde_json::from_str(&lower.stdout).unwrap();
    assert_eq!((&report["advice"], &report["parts"]), (&"recalibrate".into(), &40.into()));
    assert_eq!(report["findings"][0]["quantity"], "score");

    drift(&["--last", "5"]).assert_error(&["5 accepted parts are too few to compare"]);
    run(folder.path(), &["drift", "--records", "record", "--model", "m.onnx"])
        .assert_error(&["holds no accepted part that was inspected with m.onnx"]);
}

#[test]
fn a_box_is_calibrated_from_its_record_and_the_change_is_noted() {
    let folder = station();
    let parts: Vec<RgbImage> = (0..60).map(|i| part(i, 0)).chain([spotted(64, 64, (20, 30), 12, 0)]).collect();
    record(folder.path(), &saved(&folder, "m.onnx"), &parts);
    let arguments =
        ["calibrate", "--model", "m.onnx", "--from-records", "record", "--false-reject", "10%", "--by", "anna"];
    let shown = run(folder.path(), &arguments);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("of 61 recorded parts") && shown.stdout.contains("nothing was written"), "{shown:?}");
    assert!(!folder.path().join("record/audit.jsonl").exists());

    let written = run(folder.path(), &[&arguments[..], &["-o", "new.onnx", "--json"]].concat());
    let report: Value = serde_json::from_str(&written.stdout).unwrap();
    let threshold = saved(&folder, "new.onnx").meta().threshold.clone();
    assert_eq!((threshold.good_parts, report["changes"]["parts"].as_u64()), (60, Some(61)));
    let above =
        report["good_scores"].as_array().unwrap().iter().filter(|s| s.as_f64() > Some(f64::from(threshold.value)));
    assert_eq!(report["changes"]["to_reject"], above.count());
    assert_eq!(threshold.calibration.unwrap().baseline.unwrap().brightness.len(), 60);
    let log = audit::verify(&folder.path().join("record/audit.jsonl")).unwrap();
    let change = &log.entries[0].change;
    assert_eq!((change.who.as_str(), change.what.as_str()), ("anna", "threshold of new.onnx"));
    assert_eq!(change.from, f64::from(THRESHOLD));

    let verify = run(folder.path(), &["audit", "verify", "record", "--head", log.head()]);
    assert_eq!((verify.code, verify.stdout), (0, format!("1 changes, the chain holds\nnewest hash {}\n", log.head())));
    assert!(run(folder.path(), &["audit", "show", "record"]).stdout.contains("anna  threshold of new.onnx: 1.0 → {"));
    run(folder.path(), &["audit", "verify", "record", "--head", "abc"])
        .assert_error(&["has no line with the hash abc"]);
    let file = folder.path().join("record/audit.jsonl");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("anna", "otto")).unwrap();
    run(folder.path(), &["audit", "verify", "record"])
        .assert_error(&["line 1 does not have the hash of its content: the log was changed after it was written"]);
}

#[test]
fn bad_parts_show_what_thresholds_cost() {
    let folder = station();
    for (name, pictures) in [
        ("good", (0..60).map(|i| part(i, 0)).collect::<Vec<_>>()),
        ("bad", (0..3).map(|i| spotted(64, 64, (20 + 5 * i, 30), 12, 0)).collect()),
    ] {
        fs::create_dir(folder.path().join(name)).unwrap();
        for (i, picture) in pictures.iter().enumerate() {
            picture.save(folder.path().join(format!("{name}/{i:03}.png"))).unwrap();
        }
    }
    let arguments = ["calibrate", "--model", "m.onnx", "--good", "good", "--false-reject", "5%", "--bad", "bad"];
    let shown = run(folder.path(), &[&arguments[..], &["--bad-share", "2%", "--miss-cost", "100"]].concat());
    assert!(shown.stdout.contains("finds 100 % of 3 bad parts"), "{shown:?}");
    assert!(
        shown.stdout.contains("cost of 1000 parts, 2 % of them bad, a missed one as dear as 100 rejected good ones")
    );
    assert!(shown.stdout.lines().any(|line| line.ends_with("100 %       0.0  cheapest on these parts")), "{shown:?}");
    let alone = run(folder.path(), &["calibrate", "--model", "m.onnx", "--good", "good", "--miss-cost", "5"]);
    assert!(alone.code == 2 && alone.stderr.contains("--bad"), "{alone:?}");
}
