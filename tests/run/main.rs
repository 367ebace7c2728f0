//! `mudenet-edge run` as a site starts it: its file, a simulated line, a controller on a serial line, signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "../common/mod.rs"]
mod common;
mod controller;
#[allow(dead_code, reason = "the test takes what it needs")]
#[path = "../../board/examples/reject_gate/firmware.rs"]
mod firmware;

use common::{good, run, spotted};
use mudenet_edge::decide::Verdict;
use mudenet_edge::record::journal::{Records, Selection};
use std::path::Path;

/// A station with pictures good, bad, good, bad …
fn station(folder: &Path, extra: &str) {
    common::bundle().save(&folder.join("part.onnx")).expect("written");
    std::fs::create_dir_all(folder.join("pictures")).expect("made");
    for i in 0..4 {
        let picture = if i % 2 == 0 { good(80, 80) } else { spotted(80, 80, (40, 40), 24, 0) };
        picture.save(folder.join(format!("pictures/{i}.png"))).expect("written");
    }
    write(folder, "part.toml", "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\n");
    write(folder, "box.toml", &format!("{BOX}{extra}"));
}

const BOX: &str = r#"
[box]
name = "test"
state = "state"
[camera]
folder = "pictures"
[recipes]
start = 1
files = { 1 = "part.toml" }
"#;

const GATE: &str = r#"
[trigger]
source = "gpio"
[result]
mode = "latch"
[inputs]
trigger = { chip = "gpiochip0", line = 1 }
[outputs]
gate = { chip = "gpiochip0", line = 2 }
[gate]
wiring = "accept-pulse"
delay_ms = 400
pitch_ms = 200
pulse_ms = 150
"#;

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

#[test]
fn a_simulated_line_says_where_every_part_went() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let arguments =
        ["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "8", "--pitch-ms", "400", "--json"];
    let done = run(folder.path(), &arguments);
    assert_eq!(done.code, 0, "{done:?}");
    let line = done.stdout.lines().last().expect("a report");
    let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let outcome = &report["outcome"];
    assert_eq!((outcome["parts"].as_u64(), outcome["escaped"].as_u64()), (Some(8), Some(0)), "{report}");
    let of = |key: &str| outcome[key].as_u64().expect("a number");
    assert_eq!(of("good") + of("good_rejected"), report["accepted"].as_u64().expect("a number"), "{report}");
    assert!(of("good") >= 1 && of("rejected") >= 1, "{report}");
    let readable = run(folder.path(), &arguments[..9]);
    assert!(readable.stdout.contains("left the line, of 8 parts:"), "{readable:?}");
}

#[test]
fn every_part_of_a_simulated_line_is_in_its_record() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\ngood = 1\n"));
    let result = run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "8"]);
    assert_eq!(result.code, 0, "{}", result.stderr);
    let records = Records::open(&folder.path().join("record/simulated")).expect("a record");
    let entries = records.last(100, &Selection::default()).expect("read");
    let parts: Vec<(u32, Verdict)> = entries.iter().map(|entry| (entry.part, entry.verdict)).collect();
    let expected = |part: u32| if part % 2 == 1 { Verdict::Accept } else { Verdict::Reject };
    assert_eq!(parts, (1..=8).map(|part| (part, expected(part))).collect::<Vec<_>>());
    for entry in entries {
        assert_eq!((entry.recipe.as_str(), entry.model.len(), entry.threshold), ("part", 64, common::THRESHOLD));
        assert!(entry.score.is_some_and(|score| (score > common::THRESHOLD) == (entry.verdict == Verdict::Reject)));
        assert!(entry.total_ms >= entry.inspect_ms && entry.inspect_ms > Some(0.0) && entry.sharpness.is_some());
        // What is kept is what was inspected: the recipe's region.
        let picture = image::open(records.folder().join(entry.image.expect("kept"))).expect("a picture");
        assert_eq!((picture.width(), picture.height()), (64, 64));
        assert_eq!(entry.map.is_some(), entry.verdict == Verdict::Reject);
    }
}

#[test]
fn the_record_of_a_recipe_with_zones_holds_their_scores() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\n"));
    let recipe = "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\n\
                  [[zone]]\nname = \"seal\"\narea = [24, 24, 32, 32]\nthreshold = 1.5\n";
    write(folder.path(), "part.toml", recipe);
    let result = run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "4"]);
    assert_eq!(result.code, 0, "{}", result.stderr);
    let records = Records::open(&folder.path().join("record/simulated")).expect("a record");
    let entries = records.last(100, &Selection::default()).expect("read");
    assert!(entries.iter().any(|entry| entry.verdict == Verdict::Reject));
    for entry in entries {
        let (rest, zone) = (entry.rest.expect("a score"), entry.zones["seal"]);
        assert_eq!(rest > common::THRESHOLD || zone > 1.5, entry.verdict == Verdict::Reject, "{rest} {zone}");
        let moved = zone + (common::THRESHOLD - 1.5);
        assert!((entry.score.expect("a score") - rest.max(moved)).abs() < 1e-5, "{rest} {zone}");
        assert_eq!(entry.zone.as_deref(), (moved > rest).then_some("seal"));
    }
    let shown = run(folder.path(), &["records", "record/simulated", "--verdict", "reject"]);
    assert!(shown.stdout.contains("seal: structural"), "{shown:?}");
}

#[test]
fn a_record_that_cannot_be_kept_is_refused_by_key() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\nmax_days = 0\n"));
    let result = run(folder.path(), &["run", "--config", "box.toml", "--check"]);
    assert_eq!(result.code, 2);
    assert!(result.stderr.contains("box.toml: record.max_days: must be at least 1, got 0"), "{}", result.stderr);
}

#[test]
fn a_soak_has_faults_and_no_part_escapes() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let soak = |time| {
        run(
            folder.path(),
            &["run", "--config", "box.toml", "--simulate", "pictures", "--soak", time, "--pitch-ms", "250", "--json"],
        )
    };
    let done = soak("5s");
    assert_eq!(done.code, 0, "{done:?}");
    let report: serde_json::Value = serde_json::from_str(done.stdout.lines().last().expect("a report")).expect("JSON");
    assert_eq!((report["outcome"]["parts"].as_u64(), report["outcome"]["escaped"].as_u64()), (Some(20), Some(0)));
    let wrong = soak("5");
    assert!(wrong.code == 2 && wrong.stderr.contains("expected a time such as 90s, 30m or 8h"), "{wrong:?}");
}

#[test]
fn check_loads_everything_and_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let check = || run(folder.path(), &["run", "--config", "box.toml", "--check"]);
    let fine = check();
    assert_eq!(fine.code, 0, "{fine:?}");
    assert!(fine.stdout.starts_with("recipe 1: part, threshold 1\n"), "{fine:?}");
    for (recipe, parts) in [
        ("name = \"part\"\nmodel = \"gone.onnx\"\n", ["gone.onnx: cannot be read", ""]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nsha256 = \"00\"\n", ["part.toml: sha256: ", "expected 00"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nregion = [0, 0, 8, 8]\n", ["part.toml: region: ", "too small"]),
        ("name = \"part\"\nmodle = \"part.onnx\"\n", ["part.toml: line 2: ", "unknown field `modle`"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nthreshold = nan\n", ["part.toml: threshold: ", "finite"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nignore = \"part.toml\"\n", ["part.toml: ", "not a readable picture"]),
    ] {
        write(folder.path(), "part.toml", recipe);
        check().assert_error(&parts);
    }
    write(folder.path(), "part.toml", "name = \"part\"\nmodel = \"part.onnx\"\nignore = \"white.png\"\n");
    image::GrayImage::from_pixel(32, 32, image::Luma([255])).save(folder.path().join("white.png")).expect("written");
    check().assert_error(&["part.toml: ignore: ", "ignores the whole picture"]);
    write(folder.path(), "box.toml", &format!("{BOX}{}", GATE.replace("pulse_ms = 150", "pulse_ms = 200")));
    check().assert_error(&["box.toml: gate.pulse_ms: must be shorter than gate.pitch_ms (200)"]);
    run(folder.path(), &["run", "--config", "no.toml"]).assert_error(&["no.toml: cannot be read"]);
}

/// What the mask covers is not looked at: the same pictures all pass.
#[test]
fn a_defect_under_the_mask_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let mask = image::GrayImage::from_fn(64, 64, |x, y| {
        image::Luma([if (16..48).contains(&x) && (16..48).contains(&y) { 255 } else { 0 }])
    });
    mask.save(folder.path().join("mask.png")).expect("written");
    write(
        folder.path(),
        "part.toml",
        "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\nignore = \"mask.png\"\n",
    );
    let arguments =
        ["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "4", "--pitch-ms", "400", "--json"];
    let done = run(folder.path(), &arguments);
    let report: serde_json::Value = serde_json::from_str(done.stdout.lines().last().expect("a report")).expect("JSON");
    assert_eq!((report["accepted"].as_u64(), report["rejected"].as_u64()), (Some(4), Some(0)), "{report}");
}

#[test]
fn a_missing_port_or_chip_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    station(
        folder.path(),
        "[trigger]\nsource = \"serial\"\n[serial]\nport = \"/dev/no-such-port\"\nwire = \"binary\"\n",
    );
    run(folder.path(), &["run", "--config", "box.toml"])
        .assert_error(&["serial.port: /dev/no-such-port: cannot be opened"]);
    station(folder.path(), GATE);
    for command in ["run", "safe"] {
        run(folder.path(), &[command, "--config", "box.toml"])
            .assert_error(&["outputs: gpiochip0: cannot be opened: "]);
    }
}
