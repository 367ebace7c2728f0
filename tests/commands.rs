//! What README and docs tell their readers to type: every `mudenet-edge` command of a block is run, in a folder with the files
//! that it names; of what cannot be run here, programs, options, cargo features and benches exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
#![cfg(all(feature = "page", feature = "parquet", feature = "update", feature = "v4l2"))]

mod common;
#[path = "common/documents.rs"]
mod documents;

use common::{good, run, spotted};
use documents::{Program, arguments, blocks, documents, is_option, mentions, spans, words};
use mudenet_edge::record::audit;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where things are in the documents and in the test.
const PLACES: [(&str, &str); 5] = [
    ("/etc/mudenet-edge/", ""),
    ("/boxes/line3/mudenet-edge/record", "RECORD"),
    ("bottle.onnx", "part.onnx"),
    ("mvtec_ad/bottle", "bottle"),
    ("mvtec_loco/juice_bottle", "juice_bottle"),
];

/// Changes the machine or talks to a server: its options are read, and nothing is done. Their own tests are
/// `tests/install.rs` and `tests/update.rs`.
const ONLY_READ: [&str; 3] = ["install", "uninstall", "update install"];

/// Ends only when it is told to.
const ENDLESS: &str = "run --config box.toml";

const BOX: &str = r#"
[box]
name = "trays"
[camera]
folder = "pictures"
timeout_ms = 5000
lost_ms = 60000
[trigger]
source = "interval"
interval_ms = 200
[result]
width_ms = 20
timeout_ms = 60000
[record]
folder = "kept"
good = 1
[page]
bind = "127.0.0.1:0"
[recipes]
start = 1
files = { 1 = "part.toml" }
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that the documents name, and the newest hash of the audit log among them.
fn workshop(folder: &Path) -> String {
    fs::create_dir_all(folder.join("bottles")).unwrap();
    for name in ["new.onnx", "bottles/bottle.onnx"] {
        common::bundle().save(&folder.join(name)).unwrap();
    }
    let mut number = 0;
    let mut put = |path: String, bad: bool| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut picture = if bad { spotted(80, 80, (40, 40), 24, 0) } else { good(80, 80) };
        // No two pictures that follow each other are the same.
        number = (number + 1) % 16;
        picture.put_pixel(number, 0, image::Rgb([120; 3]));
        picture.save(path).unwrap();
    };
    for i in 0..6 {
        for set in ["pictures", "new-pictures", "good"] {
            put(format!("{set}/{i}.png"), set != "good" && i % 3 == 2);
        }
        put(format!("bottle/train/good/{i}.png"), false);
        put(format!("bottle/test/good/{i}.png"), false);
        put(format!("bottle/test/spot/{i}.png"), true);
        mask(&folder.join(format!("bottle/ground_truth/spot/{i}_mask.png")));
        for kind in ["good", "logical_anomalies", "structural_anomalies"] {
            put(format!("juice_bottle/test/{kind}/{i}.png"), kind != "good");
            if kind != "good" {
                mask(&folder.join(format!("juice_bottle/ground_truth/{kind}/{i}/000.png")));
            }
            map(&folder.join(format!("maps/{kind}/{i}.tiff")), kind != "good");
        }
    }
    fs::write(
        folder.join("juice_bottle/defects_config.json"),
        r#"[{"defect_name": "spot", "pixel_value": 255, "saturation_threshold": 1.0, "relative_saturation": true}]"#,
    )
    .unwrap();
    for i in 0..600 {
        put(format!("more-good/{i}.png"), false);
    }
    for i in 0..10 {
        put(format!("shift/{i}.png"), i == 9);
    }
    fs::write(folder.join("part.toml"), "name = \"tray\"\nmodel = \"part.onnx\"\n").unwrap();
    fs::write(folder.join("bottle.toml"), "name = \"bottle\"\nmodel = \"part.onnx\"\n").unwrap();
    fs::write(folder.join("bottles/bottle.toml"), "name = \"bottle\"\nmodel = \"bottle.onnx\"\n").unwrap();
    fs::write(folder.join("box.toml"), BOX).unwrap();
    // The box's model is calibrated, for drift is measured from that.
    let model = run(folder, &["calibrate", "--model", "new.onnx", "--good", "more-good", "-o", "part.onnx"]);
    assert_eq!(model.code, 0, "{model:?}");
    fs::copy(folder.join("part.onnx"), folder.join("m.onnx")).unwrap();
    // The record of shifts, until there are parts enough to calibrate by, and of that change.
    let shift = ["run", "--config", "box.toml", "--simulate", "shift", "--parts", "340", "--pitch-ms", "25"];
    let change = ["calibrate", "--model", "part.onnx", "--from-records", "kept/simulated", "-o", "changed.onnx"];
    let calibrated = (0..8).any(|_| {
        let shift = run(folder, &shift);
        assert_eq!(shift.code, 0, "{shift:?}");
        run(folder, &change).code == 0
    });
    assert!(calibrated, "{:?}", run(folder, &change));
    fs::rename(folder.join("kept/simulated"), folder.join("RECORD")).unwrap();
    audit::verify(&folder.join("RECORD/audit.jsonl")).unwrap().head().to_owned()
}

/// The square that [`spotted`] draws.
fn mask(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let inside = |x: u32, y: u32| (28..52).contains(&x) && (28..52).contains(&y);
    image::GrayImage::from_fn(80, 80, |x, y| image::Luma([if inside(x, y) { 255 } else { 0 }])).save(path).unwrap();
}

/// A map that another tool may have made.
fn map(path: &Path, bad: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let inside = |i: usize| (28..52).contains(&(i % 80)) && (28..52).contains(&(i / 80));
    let values: Vec<f32> = (0..80 * 80).map(|i| if bad && inside(i) { 1.0 } else { i as f32 * 1e-6 }).collect();
    let file = fs::File::create(path).unwrap();
    let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray32Float>(80, 80, &values).unwrap();
}

/// The exit code and what was said, of a command that ends by itself or with SIGTERM two seconds after its start.
fn ends(folder: &Path, arguments: &[&str], endless: bool) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // Only `password` reads it; the others may have ended.
    let _ = writeln!(input, "correct horse battery");
    drop(input);
    if endless {
        for _ in 0..100 {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let stopped = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(stopped.success(), "{arguments:?} ended by itself: {:?}", child.wait_with_output());
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn commands_of_the_documents_work() {
    let folder = tempfile::tempdir().unwrap();
    let newest = workshop(folder.path());
    let mut done: Vec<String> = vec![];
    for (document, text) in documents(root()) {
        for shown in blocks(&text) {
            let Some(given) = arguments(&shown, "mudenet-edge") else { continue };
            let places = PLACES.into_iter().chain([("HASH", newest.as_str())]);
            let command = places.fold(given.join(" "), |command, (there, here)| command.replace(there, here));
            if done.contains(&command) {
                continue;
            }
            let given = words(&command);
            let mut arguments: Vec<&str> = given.iter().map(String::as_str).collect();
            if ONLY_READ.iter().any(|command| given.join(" ").starts_with(command)) {
                arguments.push("--help");
            } else if arguments.contains(&"--simulate") {
                arguments.extend(["--parts", "20", "--pitch-ms", "50"]);
            } else if arguments[0] == "collect" {
                arguments.extend(["--count", "3"]);
            } else if arguments[0] == "bench" {
                arguments.extend(["--frames", "12", "--seconds", "0"]);
            }
            let (code, said) = ends(folder.path(), &arguments, command == ENDLESS);
            // A rejected part or a change is 1; `doctor` finds a machine wanting, and says what.
            let fine = matches!(code, 0 | 1) || arguments[0] == "doctor" && !said.contains("Usage");
            assert!(fine, "{document}: {shown}: exit code {code}: {said}");
            done.push(command);
        }
    }
    assert!(done.len() >= 25, "only {} commands found: {done:?}", done.len());
}

#[test]
fn commands_and_options_within_sentences_exist() {
    let mut program = Program::new(env!("CARGO_BIN_EXE_mudenet-edge"));
    let mut options = 0;
    for (document, text) in documents(root()) {
        for shown in spans(&text) {
            if let Some(given) = arguments(&shown, "mudenet-edge").filter(|given| !given.is_empty()) {
                options += program.knows(&given).unwrap_or_else(|why| panic!("{document}: `{shown}`: {why}"));
            }
        }
    }
    assert!(options >= 15, "only {options} options found");
}

/// What the documents' blocks call beside this project's programs.
#[test]
fn everything_else_that_blocks_call_is_known() {
    const FOREIGN: [&str; 18] = [
        "sudo",
        "apt",
        "curl",
        "minisign",
        "systemctl",
        "rsync",
        "sha256sum",
        "tar",
        "sudoedit",
        "journalctl",
        "docker",
        "$EDITOR",
        "cd",
        "export",
        "alias",
        "python",
        "time",
        "OMP_NUM_THREADS=1",
    ];
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let benches = manifest["bench"].as_array().unwrap();
    let (mut scripts, mut builds) = (0, 0);
    for (document, text) in documents(root()) {
        for shown in blocks(&text) {
            if ["mudenet-edge", "mudenet-export"].iter().any(|name| arguments(&shown, name).is_some()) {
                continue;
            }
            let words = words(&shown);
            let at = format!("{document}: {shown}");
            match words[0].as_str() {
                "cargo" => {
                    builds += 1;
                    let after = |name: &str| words.iter().skip_while(|word| *word != name).nth(1);
                    for feature in after("--features").iter().flat_map(|list| list.split(',')) {
                        assert!(features.contains_key(feature), "{at}: no feature {feature}");
                    }
                    if let Some(bench) = after("--bench") {
                        assert!(benches.iter().any(|known| known["name"].as_str() == Some(bench)), "{at}: no {bench}");
                    }
                }
                script if root().join(script).is_file() => {
                    scripts += 1;
                    // Its options stand in the script, which may install things before it tells them.
                    let folder = root().join(script).parent().unwrap().to_owned();
                    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
                    let files =
                        files.filter(|path| path.is_file() && path.extension().is_none_or(|kind| kind != "toml"));
                    let text: String = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
                    for option in words.iter().filter(|word| is_option(word)) {
                        let known = mentions(&text, option) || text.contains(&format!("\"{option}\""));
                        assert!(known, "{at}: no {option}");
                    }
                }
                word => assert!(FOREIGN.contains(&word), "{at}: {word} is no file here and no known program"),
            }
        }
    }
    assert!(scripts >= 5 && builds >= 5, "{scripts} scripts, {builds} builds");
}
