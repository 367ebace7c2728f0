//! Peers on the plant's network, real ones: pymodbus, mosquitto, a Sparkplug decoder, Prometheus' parsers, a web server that
//! checks signatures. And those that are slow, absent or hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod broker;
#[path = "../common/mod.rs"]
mod common;
mod fleet;
mod metrics;
mod modbus;
mod mqtt;
#[path = "../rig/mod.rs"]
mod rig;
mod webhook;

use mudenet_edge::plant::Say;
use rig::{Done, Rig, Shot};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Good, bad, good, bad …
fn in_turn(part: u32) -> Shot {
    Shot::Level(if part.is_multiple_of(2) { 100 } else { 200 })
}

/// Runs the line and finds every part judged in time and recorded, whatever its peers do. (How punctual the simulated flap is
/// on a machine that runs other tests too is not asked here.)
#[track_caller]
fn assert_undisturbed(mut rig: Rig) -> Done {
    rig.pitch_ms = 250;
    let parts = u64::from(rig.parts);
    let done = rig.run(in_turn);
    let counters = done.counters();
    assert_eq!((counters.accepted, counters.rejected), (parts.div_ceil(2), parts / 2), "{done:?}");
    assert_eq!((counters.faults, counters.missed, counters.unseen), (0, 0, 0), "{done:?}");
    assert_eq!(done.report.records_dropped, 0, "{done:?}");
    done
}

/// Waits until it is so.
#[track_caller]
fn wait_until(what: &str, so: impl Fn() -> bool) {
    let step = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if so() {
            return;
        }
        std::thread::sleep(step);
    }
    panic!("{what}: not after {PATIENCE:?}");
}

/// What a peer said, kept.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn say(&self) -> Say {
        let heard = self.clone();
        Box::new(move |what| heard.add(what.to_owned()))
    }

    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A script beside this file, in the Python that `check` sets up.
fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = root.join(".venv/bin/python");
    assert!(python.is_file(), "{}: run ./check, which sets it up", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/plant").join(script)).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a script to its end and gives the JSON that it prints last.
#[track_caller]
fn ask(script: &str, arguments: &[&str]) -> serde_json::Value {
    let output = python(script).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {text} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// Collects what a program prints.
fn listen(out: ChildStdout) -> Heard {
    let heard = Heard::default();
    let ours = heard.clone();
    std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|line| ours.add(line)));
    heard
}
