//! `mudenet-edge demo` as a newcomer runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![cfg(feature = "cli")]

use std::process::Command;

#[test]
fn the_demo_accepts_good_pictures_rejects_the_others_and_draws_all() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_mudenet-edge")).arg("demo").current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("\\r\\n")).collect();
    assert_eq!(rows.len(), 8, "{text}");
    for (row, part) in rows.iter().zip(1..) {
        // What the controller reads says what the picture shows.
        let verdict = if row.starts_with("good") { "OK" } else { "NG" };
        assert!(row.contains(&format!("R,{part},{verdict},")), "{row}");
    }
    assert_eq!(rows.iter().filter(|row| row.starts_with("good")).count(), 2);
    let picture = image::open(folder.path().join("mudenet-edge-demo.png")).unwrap().to_rgb8();
    assert!(picture.width() > 4 * 256 && picture.height() > 2 * 256);
    assert!(text.contains("mudenet-edge-demo.png"));
}

#[test]
fn a_picture_that_cannot_be_written_is_one_sentence_and_exit_code_2() {
    let run = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(["demo", "--out", "/dev/null/nowhere.png"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let error = String::from_utf8(run.stderr).unwrap();
    assert!(
        error.starts_with("error: /dev/null/nowhere.png: cannot be written") && error.lines().count() == 1,
        "{error}"
    );
}
