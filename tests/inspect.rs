//! `mudenet-edge inspect` on pictures whose maps are known.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{SIDE, bundle, expected_map, good, run, spotted};
use image::RgbImage;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tiff::decoder::{Decoder, DecodingResult};

/// A folder with the model and `pictures`.
fn station(pictures: &[(&str, RgbImage)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    for (name, picture) in pictures {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save(path).unwrap();
    }
    folder
}

fn map(path: &Path) -> ((u32, u32), Vec<f32>) {
    let mut decoder = Decoder::new(BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
    assert_eq!(decoder.colortype().unwrap(), tiff::ColorType::Gray(32));
    let size = decoder.dimensions().unwrap();
    let DecodingResult::F32(values) = decoder.read_image().unwrap() else { panic!("not float") };
    (size, values)
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(folder).unwrap().display().to_string())
        .collect();
    files.sort();
    files
}

#[test]
fn the_exit_code_is_the_worst_verdict() {
    let folder = station(&[("a/good.png", good(64, 64)), ("b/bad.png", spotted(64, 64, (40, 20), 8, 0))]);
    let inspect = |inputs: &[&str]| run(folder.path(), &[&["inspect", "--model", "m.onnx"], inputs].concat());
    assert_eq!(inspect(&["a"]).code, 0);
    assert_eq!(inspect(&["a", "b"]).code, 1);
    assert_eq!(inspect(&["a", "b", "gone.png"]).code, 2);
    assert_eq!(inspect(&["a", "b", "--threshold", "1000"]).code, 0);
    assert_eq!(inspect(&["a", "--threshold", "-1"]).code, 1);
    assert_eq!(inspect(&["a", "--threshold", "NaN"]).code, 2);
    assert_eq!(inspect(&[]).code, 2);
    let quiet = inspect(&["a", "b"]);
    assert_eq!((quiet.stdout.lines().count(), quiet.stderr.as_str()), (2, ""));
}

#[test]
fn json_lines_tell_score_threshold_and_branch() {
    let pictures = [
        ("1.png", good(64, 64)),
        ("2.png", spotted(64, 64, (40, 20), 8, 0)),
        ("3.png", spotted(64, 64, (10, 50), 8, 2)),
    ];
    let folder = station(&pictures);
    let run = run(folder.path(), &["inspect", "--json", "--model", "m.onnx", "1.png", "2.png", "3.png", "4.png"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 4);
    for (line, (name, picture)) in lines.iter().zip(&pictures) {
        let expected = expected_map(picture).into_iter().fold(f32::MIN, f32::max);
        assert!((line["score"].as_f64().unwrap() - f64::from(expected)).abs() < 1e-4, "{line}, expected {expected}");
        assert_eq!((&line["image"], &line["threshold"]), (&(*name).into(), &1.0.into()));
        assert!(line["ms"].as_f64().unwrap() > 0.0 && line.get("error").is_none(), "{line}");
    }
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["accept", "reject", "reject", "fault"]);
    assert_eq!((&lines[1]["branch"], &lines[2]["branch"]), (&"structural".into(), &"logical".into()));
    assert_eq!((&lines[1]["level"], &lines[2]["level"]), (&1.into(), &1.into()));
    assert!(lines[3]["error"].as_str().unwrap().starts_with("4.png: cannot be read: "), "{}", lines[3]);
    assert_eq!((&lines[3]["image"], &lines[3]["score"]), (&"4.png".into(), &serde_json::Value::Null));
    run.assert_error(&["4.png: cannot be read: No such file"]);
}

#[test]
fn maps_and_overlays_mirror_the_folder() {
    let spot = spotted(64, 64, (40, 20), 8, 0);
    let folder = station(&[
        ("parts/good/0.png", good(64, 64)),
        ("parts/bad/deep/1.bmp", spot.clone()),
        ("parts/bad/wide.png", spotted(300, 150, (200, 60), 24, 2)),
    ]);
    std::fs::write(folder.path().join("parts/readme.txt"), "no picture").unwrap();
    let inspect = || run(folder.path(), &["inspect", "--model", "m.onnx", "parts", "--out", "out/now"]);
    assert_eq!(inspect().code, 1);
    let out = folder.path().join("out/now");
    let expected = [
        "maps/bad/deep/1.tiff",
        "maps/bad/wide.tiff",
        "maps/good/0.tiff",
        "overlays/bad/deep/1.png",
        "overlays/bad/wide.png",
        "overlays/good/0.png",
    ];
    assert_eq!(files_below(&out), expected);

    let (size, values) = map(&out.join("maps/bad/deep/1.tiff"));
    assert_eq!(size, (SIDE as u32, SIDE as u32));
    for (got, expected) in values.iter().zip(expected_map(&spot)) {
        assert!((got - expected).abs() < 1e-4, "{got}, expected {expected}");
    }

    let (size, values) = map(&out.join("maps/bad/wide.tiff"));
    assert_eq!(size, (300, 150));
    let highest = (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap();
    let (x, y) = (highest % 300, highest / 300);
    assert!(x.abs_diff(200) <= 12 && y.abs_diff(60) <= 12, "the map is highest at ({x}, {y})");

    let overlay = image::open(out.join("overlays/bad/wide.png")).unwrap().into_rgb8();
    assert_eq!(overlay.dimensions(), (300, 150));
    let far = overlay.get_pixel(100, 30).0;
    assert!(far.iter().all(|s| s.abs_diff(common::GREY) < 6), "a clean place became {far:?}");
    let edge = (190..230).map(|x| overlay.get_pixel(x, 60).0).filter(|p| p[1] > 180 && p[2] > 180 && p[0] < 80);
    assert!(edge.count() > 0, "no contour right of the spot");

    assert_eq!(inspect().code, 1);
    assert_eq!(files_below(&out), expected, "a second run replaces its files");
}

#[test]
fn sixteen_bit_pictures_are_scored_at_sixteen_bits() {
    let folder = station(&[("8.png", good(64, 64))]);
    let level = (f32::from(common::GREY) / 255.0 * 65535.0) as u16;
    // A hundredth of an 8-bit step is invisible at 8 bits.
    for (name, add) in [("flat.png", 0u16), ("spot.png", 300)] {
        let picture = image::ImageBuffer::<image::Rgb<u16>, _>::from_fn(64, 64, |x, y| {
            let spot = (20..28).contains(&x) && (20..28).contains(&y);
            image::Rgb([level + if spot { add } else { 0 }, level, level])
        });
        picture.save(folder.path().join(name)).unwrap();
    }
    let score = |name: &str| {
        let run = run(folder.path(), &["inspect", "--json", "--model", "m.onnx", name]);
        run.lines()[0]["score"].as_f64().unwrap()
    };
    let off = f64::from(f32::from(level + 300) / 65535.0 - f32::from(common::GREY) / 255.0);
    let expected = (off.powi(2) + (0.5 * off).powi(2)) / 2.0 / f64::from(common::RANGE);
    assert!(score("flat.png") < 1e-6);
    assert!((score("spot.png") - expected).abs() < 0.01 * expected, "{} expected {expected}", score("spot.png"));
}

#[test]
fn two_pictures_of_one_name_are_refused_before_any_is_inspected() {
    let folder = station(&[("p/a.png", good(64, 64)), ("p/a.bmp", good(64, 64))]);
    let refused = run(folder.path(), &["inspect", "--model", "m.onnx", "p", "--out", "out"]);
    refused.assert_error(&["p/a.bmp and p/a.png would both be written to out/overlays/a.png"]);
    assert_eq!(refused.stdout, "");
    assert!(!folder.path().join("out").exists());
    assert_eq!(run(folder.path(), &["inspect", "--model", "m.onnx", "p"]).code, 0);
}

#[test]
fn a_fault_removes_the_result_of_an_earlier_run() {
    let folder = station(&[("p/a.png", good(64, 64)), ("p/b.png", good(64, 64))]);
    let inspect = || run(folder.path(), &["inspect", "--model", "m.onnx", "p", "--out", "out"]);
    assert_eq!(inspect().code, 0);
    std::fs::write(folder.path().join("p/a.png"), "broken").unwrap();
    assert_eq!(inspect().code, 2);
    assert_eq!(files_below(&folder.path().join("out")), ["maps/b.tiff", "overlays/b.png"]);
}

#[test]
fn results_that_cannot_be_written_are_errors_beside_their_verdicts() {
    let folder = station(&[("p/a.png", good(64, 64)), ("p/b.png", good(64, 64))]);
    std::fs::create_dir_all(folder.path().join("out/maps/a.tiff")).unwrap();
    let blocked = run(folder.path(), &["inspect", "--json", "--model", "m.onnx", "p", "--out", "out"]);
    blocked.assert_error(&["out/maps/a.tiff: cannot be written"]);
    let verdicts: Vec<_> = blocked.lines().iter().map(|line| line["verdict"].clone()).collect();
    assert_eq!(verdicts, ["accept", "accept"]);
    assert_eq!(files_below(&folder.path().join("out")), ["maps/b.tiff", "overlays/b.png"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let refused = run(folder.path(), &["inspect", "--model", "m.onnx", "p", "--out", "file"]);
    refused.assert_error(&["file/maps: cannot be made"]);
}

#[test]
fn a_closed_stdout_ends_the_run_with_a_sentence() {
    let folder = station(&[("p/a.png", good(64, 64)), ("p/b.png", good(64, 64))]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(["inspect", "--model", "m.onnx", "p"])
        .current_dir(folder.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    common::Run::from(output).assert_error(&["the verdict of picture 1 of 2 cannot be printed"]);
}

#[test]
fn an_interrupt_ends_after_the_current_picture() {
    let folder = station(&[]);
    let picture = folder.path().join("a.png");
    good(64, 64).save(&picture).unwrap();
    // Lines long enough that the pipe is full before the last picture: the run cannot end before it is interrupted.
    let pictures = 800;
    std::fs::create_dir(folder.path().join("p")).unwrap();
    for i in 0..pictures {
        let name = format!("{i:03}{}.png", "x".repeat(200));
        std::fs::hard_link(&picture, folder.path().join("p").join(name)).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(["inspect", "--json", "--model", "m.onnx", "p"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    stdout.read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let run = common::Run { stdout: text, ..common::Run::from(output) };
    let done = run.lines().len();
    assert!(done < pictures);
    run.assert_error(&[&format!("interrupted after {done} of {pictures} pictures")]);
}

#[test]
fn help_has_an_example_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, 0);
    let commands = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<&str> =
        commands.take_while(|line| !line.is_empty()).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.contains(&"inspect"));
    for name in names.iter().filter(|name| **name != "help") {
        let help = run(folder.path(), &[name, "--help"]).stdout;
        assert!(help.contains(&format!("\n  mudenet-edge {name} ")), "{name}: {help}");
    }
}
