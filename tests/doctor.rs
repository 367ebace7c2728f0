//! `mudenet-edge doctor` and `collect` on a machine without a line.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

mod common;

use common::{good, run};
use std::path::Path;

const BOX: &str = r#"
[box]
name = "test"
[camera]
folder = "pictures"
[trigger]
source = "serial"
[serial]
port = "/dev/no-such-port"
wire = "checked-text"
[outputs]
ok = { chip = "no-such-chip", line = 1 }
[recipes]
start = 1
files = { 1 = "part.toml", 2 = "gone.toml" }
"#;

fn station(folder: &Path) {
    common::bundle().save(&folder.join("part.onnx")).expect("written");
    std::fs::create_dir_all(folder.join("pictures")).expect("made");
    for size in [80, 81] {
        good(size, size).save(folder.join(format!("pictures/{size}.png"))).expect("written");
    }
    std::fs::write(folder.join("part.toml"), "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\n")
        .expect("written");
    std::fs::write(folder.join("box.toml"), BOX).expect("written");
}

#[test]
fn what_is_broken_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path());
    let done = run(folder.path(), &["doctor", "--config", "box.toml", "--json"]);
    assert_eq!(done.code, 2, "{done:?}");
    let lines = done.lines();
    let found = |check: &str, state: &str, part: &str| {
        lines.iter().any(|line| {
            let text = line["found"].as_str().unwrap_or_default();
            line["check"] == check && line["state"] == state && text.contains(part)
        })
    };
    assert!(found("camera", "ok", "a folder, not a camera gives 81×81"), "{done:?}");
    assert!(found("serial", "broken", "/dev/no-such-port: cannot be opened"), "{done:?}");
    assert!(found("lines", "broken", "output Ok: no-such-chip: cannot be opened"), "{done:?}");
    assert!(found("recipe", "warning", "recipe 1 (part): "), "{done:?}");
    assert!(found("recipe", "broken", "gone.toml: cannot be read"), "{done:?}");
    assert!(found("config", "warning", "box.state is not set"), "{done:?}");
    for line in &lines {
        assert_eq!(line["todo"].is_string(), line["state"] != "ok", "{line}");
    }
    let alone = run(folder.path(), &["doctor"]);
    assert!(alone.stdout.contains(" checks: 0 broken, "), "{alone:?}");
    run(folder.path(), &["doctor", "--config", "no.toml"]).assert_error(&["no.toml: cannot be read"]);
}

#[test]
fn networks_are_computed_on_cores_that_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path());
    let on = |core: usize| {
        let text = BOX.replace("name = \"test\"", &format!("name = \"test\"\ncores = [{core}]"));
        std::fs::write(folder.path().join("box.toml"), text.replace(", 2 = \"gone.toml\"", "")).expect("written");
        let doctor = run(folder.path(), &["doctor", "--config", "box.toml"]);
        (doctor, run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "2"]))
    };
    let (doctor, line) = on(1000);
    assert!(doctor.code == 2 && doctor.stdout.contains("box.cores has 1000, this process may use "), "{doctor:?}");
    line.assert_error(&["box.toml: box.cores: core 1000 is none of those that this process may use: "]);
    let core = mudenet_edge::threads::allowed_cores().pop().expect("a core");
    let (doctor, line) = on(core);
    assert!(doctor.stdout.contains(&format!("the networks are computed on {core}")), "{doctor:?}");
    assert_eq!(line.code, 0, "{line:?}");
}

#[test]
fn collect_takes_each_picture_once_and_goes_on_from_the_last_number() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path());
    let collect = |count: &str, more: &[&str]| {
        let mut arguments =
            vec!["collect", "--config", "box.toml", "--out", "good", "--count", count, "--interval-ms", "1"];
        arguments.extend(more);
        run(folder.path(), &arguments)
    };
    let done = collect("2", &[]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "2 pictures in good\n"), "{done:?}");
    let size = |name: &str| image::image_dimensions(folder.path().join("good").join(name)).expect("a picture");
    assert_eq!((size("000001.png"), size("000002.png")), ((80, 80), (81, 81)));
    // Only two of the camera's pictures differ.
    let done = collect("3", &["--recipe", "1"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("without any difference"), "{done:?}");
    assert_eq!(size("000003.png"), (64, 64));
    collect("1", &["--recipe", "7"]).assert_error(&["--recipe: 7 is not in [recipes.files]"]);
    collect("1", &["--recipe", "2"]).assert_error(&["gone.toml: cannot be read"]);
}
