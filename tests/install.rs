//! `mudenet-edge install`: files in their places, units that systemd takes, and records that stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::run;
use mudenet_edge::config::Config;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files_below(folder: &Path) -> Vec<String> {
    let mut files: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    files
}

const INSTALLED: [&str; 9] = [
    "etc/mudenet-edge/box.toml",
    "etc/mudenet-edge/box.toml.example",
    "etc/systemd/system/mudenet-edge-update.service",
    "etc/systemd/system/mudenet-edge-update.timer",
    "etc/systemd/system/mudenet-edge.service",
    "etc/sysusers.d/mudenet-edge.conf",
    "etc/tmpfiles.d/mudenet-edge.conf",
    "etc/udev/rules.d/60-mudenet-edge.rules",
    "usr/local/bin/mudenet-edge",
];

#[test]
fn everything_is_put_in_place_and_taken_away_but_what_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let installed = run(folder.path(), &["install", "--root", "root"]);
    assert_eq!(installed.code, 0, "{installed:?}");
    assert_eq!(files_below(&root), INSTALLED);
    let mode = |file: &str| fs::metadata(root.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("usr/local/bin/mudenet-edge"), mode("etc/mudenet-edge/box.toml")), (0o755, 0o640));
    let version = Command::new(root.join("usr/local/bin/mudenet-edge")).arg("--version").output().unwrap();
    assert!(version.status.success());
    Config::load(&root.join("etc/mudenet-edge/box.toml")).unwrap();

    // What an engineer changed stays when it is installed again; the rest is as it came.
    fs::write(root.join("etc/mudenet-edge/box.toml"), "# mine\n").unwrap();
    fs::write(root.join("etc/systemd/system/mudenet-edge.service"), "damaged").unwrap();
    fs::create_dir_all(root.join("var/lib/mudenet-edge/record")).unwrap();
    fs::write(root.join("var/lib/mudenet-edge/record/audit.jsonl"), "kept").unwrap();
    let again = run(folder.path(), &["install", "--root", "root"]);
    assert!(again.stdout.lines().any(|line| line == "kept      root/etc/mudenet-edge/box.toml"), "{again:?}");
    assert_eq!(fs::read_to_string(root.join("etc/mudenet-edge/box.toml")).unwrap(), "# mine\n");
    assert!(
        fs::read_to_string(root.join("etc/systemd/system/mudenet-edge.service")).unwrap().contains("ProtectSystem")
    );

    let removed = run(folder.path(), &["uninstall", "--root", "root"]);
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(files_below(&root), ["etc/mudenet-edge/box.toml", "var/lib/mudenet-edge/record/audit.jsonl"]);
    assert!(removed.stdout.contains("stays     root/var/lib/mudenet-edge"), "{removed:?}");
    run(folder.path(), &["uninstall", "--root", "root"]).assert_error(&["nothing was installed in root/usr/local/bin"]);
    run(folder.path(), &["install", "--root", "root", "--prefix", "a b"]).assert_error(&["--prefix a b: expected"]);
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), &["install", "--root", "file"]).assert_error(&["file/usr/local/bin/mudenet-edge: "]);
}

#[test]
fn a_package_has_the_distributions_places() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["install", "--root", ".", "--prefix", "/usr"]).code, 0);
    let files = files_below(folder.path());
    for file in [
        "usr/bin/mudenet-edge",
        "usr/lib/systemd/system/mudenet-edge.service",
        "usr/lib/udev/rules.d/60-mudenet-edge.rules",
    ] {
        assert!(files.iter().any(|found| found == file), "{file} is not in {files:?}");
    }
    let unit = fs::read_to_string(folder.path().join("usr/lib/systemd/system/mudenet-edge.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/mudenet-edge run") && !unit.contains("@bin@"), "{unit}");
}

/// systemd's own judgement of the units, in a root that has the system's units beside them.
#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["install", "--root", "root"]).code, 0);
    let root = folder.path().join("root");
    let system =
        ["/usr/lib/systemd/system", "/lib/systemd/system"].iter().map(PathBuf::from).find(|path| path.exists());
    let units = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    for entry in fs::read_dir(system.expect("systemd's units (apt-get install systemd)")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, units.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/kill", root.join("bin/kill"))
        .expect("/bin/kill, which the unit reloads with (apt-get install procps)");
    let analyze = |arguments: &[&str]| {
        let root = format!("--root={}", root.display());
        let done = Command::new("systemd-analyze").args(["--man=no", "--no-pager", &root]).args(arguments).output();
        let done = done.expect("systemd-analyze (apt-get install systemd)");
        (
            done.status.success(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    };
    let own = ["mudenet-edge.service", "mudenet-edge-update.service", "mudenet-edge-update.timer"];
    let (fine, said) = analyze(&[&["verify"], &own[..]].concat());
    let about: Vec<&str> = said.lines().filter(|line| line.contains("mudenet")).collect();
    assert!(fine && about.is_empty(), "{said}");
    // In tenths; a unit without any of this has 96.
    for (unit, most) in [("mudenet-edge.service", "25"), ("mudenet-edge-update.service", "25")] {
        let (fine, said) = analyze(&["security", "--offline=true", &format!("--threshold={most}"), unit]);
        assert!(fine, "{}", said.lines().last().unwrap_or_default());
    }
    // Not a check that passes whatever it reads.
    let broken = fs::read_to_string(root.join("etc/systemd/system/mudenet-edge.service")).unwrap();
    fs::write(
        root.join("etc/systemd/system/mudenet-edge.service"),
        broken.replace("WatchdogSec=10", "WatchdogSec=ten"),
    )
    .unwrap();
    let (_, said) = analyze(&["verify", "mudenet-edge.service"]);
    assert!(said.contains("Failed to parse sec value"), "{said}");
}

#[test]
fn safe_levels_need_a_station() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["safe", "--config", "no.toml"]).assert_error(&["no.toml: cannot be read"]);
}
