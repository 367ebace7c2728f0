//! `mudenet-edge doctor`.

mod system;

pub(super) use system::clock_synchronised;

use super::run::devices;
use super::{ACCEPTED, FAILED};
use mudenet_board::gate::Delay;
use mudenet_edge::config::{CameraSource, Config, Wire};
use mudenet_edge::recipe::Recipe;
use mudenet_edge::run::station::InputLine;
use mudenet_edge::sentence::sentence;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const AFTER_HELP: &str = "\
Run it while `mudenet-edge run` is stopped: camera, serial port and lines are opened. Output lines are looked at and not
driven.

Exit code: 0 where nothing is broken, 2 otherwise; warnings do not count.

Examples:
  mudenet-edge doctor --config box.toml
  mudenet-edge doctor";

/// Check a box: camera, lines, serial port, models, temperature, clock, disk, watchdog
///
/// Says for each what is wrong and what to do. Without a configuration it looks at the machine alone and lists its
/// cameras and GPIO chips.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The station to check
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object a check: check, state (ok, warning, broken), found, todo
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Broken,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, state: State::Ok, found: found.into(), todo: None }
}

fn warning(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { check, state: State::Warning, found: found.into(), todo: Some(todo.into()) }
}

fn broken(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    Finding { check, state: State::Broken, found: found.into(), todo: Some(todo.into()) }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    args.device.install()?;
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let mut findings = Vec::new();
    let mut out = std::io::stdout().lock();
    let mut tell = |found: Vec<Finding>| -> anyhow::Result<()> {
        for finding in found {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&finding)?)?;
            } else {
                write_readable(&mut out, &finding)?;
            }
            findings.push(finding.state);
        }
        Ok(())
    };
    match &config {
        Some(config) => {
            tell(settings(config))?;
            tell(camera(config))?;
            tell(lines(config))?;
            tell(serial(config))?;
            tell(recipes(config))?;
        }
        None => tell(devices_there_are())?,
    }
    tell(system::checks(config.as_ref()))?;
    let count = |state| findings.iter().filter(|found| **found == state).count();
    let (bad, unusual) = (count(State::Broken), count(State::Warning));
    if !args.json {
        writeln!(out, "\n{} checks: {bad} broken, {unusual} warnings", findings.len())?;
    }
    Ok(if bad == 0 { ACCEPTED } else { FAILED })
}

fn write_readable(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    let word = match finding.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Broken => "BROKEN",
    };
    writeln!(out, "{word:8} {:10} {}", finding.check, finding.found)?;
    match &finding.todo {
        Some(todo) => writeln!(out, "{:19} → {todo}", ""),
        None => Ok(()),
    }
}

fn settings(config: &Config) -> Vec<Finding> {
    let mut found = vec![ok("config", format!("{} is complete", config.path.display()))];
    found.extend(config.warnings.iter().map(|text| warning("config", text, "change it, or be sure of it")));
    if config.state.is_none() {
        let todo = "set box.state to a folder, so that part numbers do not repeat after a restart";
        found.push(warning("config", "box.state is not set", todo));
    }
    found
}

/// Takes two pictures, as a line would.
fn camera(config: &Config) -> Vec<Finding> {
    let what = match &config.camera.source {
        CameraSource::Folder(folder) => format!("{}: a folder, not a camera", folder.display()),
        CameraSource::Device(device) => device.path.display().to_string(),
    };
    let todo = "see `v4l2-ctl --list-devices`, camera.device and the cable; the user needs the group video";
    let mut camera = match devices::camera(&config.camera) {
        Ok(camera) => camera,
        Err(error) => {
            let mut found = vec![broken("camera", sentence(&*error), todo)];
            if matches!(config.camera.source, CameraSource::Device(_)) {
                found.extend(system::cameras());
            }
            return found;
        }
    };
    let wait = Duration::from_micros(config.line.capture_timeout);
    match camera.trigger(wait).and_then(|_| camera.trigger(wait)) {
        Ok(frame) => {
            let mut found = vec![ok("camera", format!("{what} gives {}×{}", frame.width(), frame.height()))];
            if let CameraSource::Device(device) = &config.camera.source
                && !device.path.starts_with("/dev/v4l/by-path")
            {
                let todo = "name it by /dev/v4l/by-path, so that it stays the same when it is plugged in again";
                found.push(warning("camera", format!("{what} may become another camera"), todo));
            }
            found
        }
        Err(error) => vec![broken("camera", error.to_string(), "light, lens and cable; camera.check and timeout_ms")],
    }
}

fn lines(config: &Config) -> Vec<Finding> {
    let mut wires: BTreeMap<String, &Wire> = BTreeMap::new();
    for (line, wire) in &config.inputs {
        wires.insert(format!("input {line:?}"), wire);
    }
    for (line, wire) in &config.outputs {
        wires.insert(format!("output {line:?}"), wire);
    }
    let mut found: Vec<Finding> = wires.iter().filter_map(|(name, wire)| system::line(name, wire)).collect();
    if found.is_empty() && !wires.is_empty() {
        found.push(ok("lines", format!("{} lines are there and free", wires.len())));
    }
    if config.inputs.get(&InputLine::Trigger).is_some_and(|wire| wire.bias.is_none()) {
        let todo = "wire a pull resistor, or set bias: an open input triggers by itself";
        found.push(warning("lines", "inputs.trigger has no bias", todo));
    }
    found
}

#[cfg(feature = "serial")]
fn serial(config: &Config) -> Vec<Finding> {
    let Some(serial) = &config.serial else { return vec![] };
    match mudenet_edge::signal::SerialSignal::open(mudenet_edge::signal::SerialConfig {
        baud: serial.baud,
        ..mudenet_edge::signal::SerialConfig::new(&serial.port)
    }) {
        Ok(_) => vec![ok("serial", format!("{} opens at {} baud", serial.port, serial.baud))],
        Err(error) => {
            let todo = "serial.port and its cable; the user needs the group dialout; no console may run on it";
            vec![broken("serial", error.to_string(), todo)]
        }
    }
}

#[cfg(not(feature = "serial"))]
fn serial(config: &Config) -> Vec<Finding> {
    let built =
        || broken("serial", "this program was built without serial ports", "build it with cargo feature serial");
    config.serial.iter().map(|_| built()).collect()
}

/// Loads every recipe and compares its time with the way to the gate.
fn recipes(config: &Config) -> Vec<Finding> {
    let limit = config.line.station.machine.inspect_timeout;
    let mut found = Vec::new();
    for (number, file) in &config.recipes {
        let prepared = Recipe::load(file).and_then(|recipe| Ok((recipe.prepare()?, recipe)));
        let (mut pipeline, recipe) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                found.push(broken("recipe", error.to_string(), "the recipe's file, or export its model anew"));
                continue;
            }
        };
        let times = system::time(&mut pipeline, recipe.region);
        let Some(time) = times else {
            found.push(broken("recipe", format!("recipe {number} fails on a grey picture"), "export its model anew"));
            continue;
        };
        let text = format!("recipe {number} ({}): {:.1} ms a part", recipe.name, time as f64 / 1000.0);
        let pitch = match config.line.station.gate.map(|settings| settings.gate.delay) {
            Some(Delay::Time { pitch, .. }) => Some(pitch),
            _ => None,
        };
        found.push(if time > limit {
            broken(
                "recipe",
                text,
                format!("the result has {:.0} ms: a smaller model, or a gate further away", limit as f64 / 1000.0),
            )
        } else if pitch.is_some_and(|pitch| time > pitch) {
            broken("recipe", text, "gate.pitch_ms is shorter: every other part would be missed")
        } else if recipe.sha256.is_none() {
            warning("recipe", text, "set sha256, so that no other model is taken by mistake")
        } else {
            ok("recipe", text)
        });
    }
    found
}

fn devices_there_are() -> Vec<Finding> {
    let mut found = system::cameras();
    found.extend(system::chips());
    found
}
