//! [`Raw`] → [`Config`]: every rule that a station must keep.

mod camera;
mod gate;
mod lines;

use super::raw::{self, Mode, Raw, Source};
use super::{Config, Profile, SerialLine, Wire};
use crate::decide::drift::FEWEST;
use crate::record::journal::{JournalError, Settings};
use crate::run::LineConfig;
use crate::run::station::{GateSettings, InputLine, StationConfig};
use crate::signal::OutputLine;
use crate::threads::MOST_CORES;
use mudenet_board::gate::Delay;
use mudenet_board::machine::{self, ResultMode, TriggerMode};
use mudenet_board::{Micros, millis};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// Longest time from trigger to result where no gate sets a shorter one, ms.
const RESULT_TIMEOUT: u32 = 1000;

/// Broken rules and unusual settings, collected.
#[derive(Default)]
pub(super) struct Findings {
    broken: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    pub(super) fn rule(&mut self, keeps: bool, key: &str, rule: impl FnOnce() -> String) {
        if !keeps {
            self.broken.push(format!("{key}: {}", rule()));
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(super) fn range(&mut self, key: &str, value: u32, range: RangeInclusive<u32>) {
        let (least, most) = (*range.start(), *range.end());
        self.rule(range.contains(&value), key, || format!("must be {least}–{most}, got {value}"));
    }
}

/// 0: never; fewer than [`FEWEST`] parts say nothing.
fn drift_parts(raw: &Raw, found: &mut Findings) -> Option<usize> {
    let parts = raw.alarm.drift_parts;
    if parts > 0 {
        found.range("alarm.drift_parts", parts, FEWEST as u32..=1_000_000);
    }
    usize::try_from(parts).ok().filter(|parts| *parts > 0)
}

pub(super) fn check(raw: Raw, path: &Path) -> Result<Config, Vec<String>> {
    let mut found = Findings::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let profile = raw.station.profile.as_deref().and_then(|name| {
        Profile::named(name).map_err(|reason| found.broken.push(format!("box.profile: {reason}"))).ok()
    });
    let inputs = lines::inputs(&raw.inputs, profile.as_ref(), &mut found);
    let outputs: BTreeMap<OutputLine, Wire> = raw
        .outputs
        .iter()
        .filter_map(|(line, pin)| {
            Some((*line, lines::wire(&lines::output_key(*line), pin, profile.as_ref(), &mut found)?))
        })
        .collect();
    lines::lines_once(&inputs, &outputs, &mut found);
    let camera = camera::camera(&raw, folder, &mut found);
    let gate = raw.gate.as_ref().and_then(|gate| gate::settings(gate, &mut found));
    let timeout = result_timeout(&raw, gate.as_ref());
    let line = LineConfig {
        station: StationConfig {
            machine: handshake(&raw, timeout, &mut found),
            part_present: inputs.contains_key(&InputLine::PartPresent),
            first_part: 1,
            gate,
            consecutive_rejects: Some(raw.alarm.consecutive_rejects).filter(|count| *count > 0),
            controller_heartbeat: raw
                .serial
                .as_ref()
                .and_then(|serial| serial.controller_heartbeat_ms)
                .map(|period| millis(period.into())),
        },
        recipe: raw.recipes.start,
        trigger_delay: millis(raw.trigger.delay_ms.into()),
        capture_timeout: millis(raw.camera.timeout_ms.into()),
        camera_lost: camera::camera_lost(&raw),
        stop_within: stop_within(timeout, gate.as_ref()),
        realtime_priority: raw.station.realtime_priority,
        drift_parts: drift_parts(&raw, &mut found),
        record_accepted: raw.record.is_some() || raw.page.is_some(),
    };
    trigger_rules(&raw, &inputs, timeout, &mut found);
    gate::rules(&raw, &inputs, &outputs, timeout, &mut found);
    recipe_lines(&raw, &mut found);
    let serial = raw.serial.as_ref().and_then(|serial| self::serial(serial, profile.as_ref(), &mut found));
    let recipes = recipes(&raw, folder, &mut found);
    if let Some(Err(JournalError::Setting { key, expected, got })) = raw.record.as_ref().map(Settings::check) {
        found.broken.push(format!("record.{key}: must be {expected}, got {got}"));
    }
    found.range("recipes.load_timeout_s", raw.recipes.load_timeout_s, 1..=600);
    if let Some(hours) = raw.recipes.golden_hours {
        found.range("recipes.golden_hours", hours, 1..=1000);
    }
    if let Some(priority) = raw.station.realtime_priority {
        found.range("box.realtime_priority", priority.into(), 1..=99);
    }
    let cores = raw.station.cores.map(|cores| checked_cores(&cores, &mut found));
    let page = raw.page.map(|page| page.checked(raw.record.is_some(), folder, &mut found));
    let modbus = raw.modbus.map(|modbus| modbus.checked(&mut found));
    let state = raw.station.state.as_deref();
    let mqtt = raw.mqtt.and_then(|mqtt| mqtt.checked(&raw.station.name, folder, state, &mut found));
    let webhook = raw.webhook.and_then(|webhook| webhook.checked(folder, state, &mut found));
    let update = raw.update.map(|update| update.checked(state, raw.record.is_some(), folder, &mut found));
    if !found.broken.is_empty() {
        return Err(found.broken);
    }
    let Some(camera) = camera else { return Err(vec!["camera: cannot be set up".to_owned()]) };
    Ok(Config {
        path: path.to_owned(),
        name: raw.station.name,
        profile,
        state: raw.station.state.map(|state| folder.join(state)),
        camera,
        line,
        inputs,
        outputs,
        serial,
        page,
        modbus,
        mqtt,
        metrics: raw.metrics,
        webhook,
        record: raw.record.map(|settings| Settings { folder: folder.join(settings.folder), ..settings }),
        update,
        recipes,
        cores,
        golden_every: raw.recipes.golden_hours.map(|hours| Duration::from_secs(3600 * u64::from(hours))),
        warnings: found.warnings,
    })
}

fn checked_cores(cores: &[u32], found: &mut Findings) -> Vec<usize> {
    let all: Vec<usize> = cores.iter().map(|core| *core as usize).collect();
    let twice = all.iter().enumerate().any(|(at, core)| all.iter().take(at).any(|other| other == core));
    if all.is_empty() || twice || all.iter().any(|core| *core >= MOST_CORES) {
        let rule = format!("must be one or more different numbers of 0 to {}", MOST_CORES - 1);
        found.broken.push(format!("box.cores: {rule}, got {cores:?}"));
    }
    all
}

fn result_timeout(raw: &Raw, gate: Option<&GateSettings>) -> Micros {
    let by_gate = gate.and_then(|settings| match settings.gate.delay {
        Delay::Time { delay, .. } => Some(delay),
        Delay::Encoder { .. } => None,
    });
    let most = millis(RESULT_TIMEOUT.into());
    raw.result
        .timeout_ms
        .map_or_else(|| by_gate.map_or(most, |delay| delay.min(most)), |timeout| millis(timeout.into()))
}

/// Long enough for every part on the way; a belt that stands still is not waited for.
fn stop_within(timeout: Micros, gate: Option<&GateSettings>) -> Micros {
    let way = gate.map_or(0, |settings| match settings.gate.delay {
        Delay::Time { delay, .. } => delay.saturating_add(settings.gate.pulse),
        Delay::Encoder { .. } => millis(5000),
    });
    timeout.saturating_add(way).saturating_add(millis(1000))
}

fn handshake(raw: &Raw, timeout: Micros, found: &mut Findings) -> machine::Config {
    let result = &raw.result;
    found.range("result.width_ms", result.width_ms, 10..=495);
    found.range("result.data_to_strobe_ms", result.data_to_strobe_ms, 1..=1000);
    found.range("result.ack_timeout_ms", result.ack_timeout_ms, 1..=60_000);
    found.rule(timeout >= millis(1), "result.timeout_ms", || "must be at least 1".to_owned());
    found.range("trigger.interval_ms", raw.trigger.interval_ms, 0..=10_000);
    if result.mode == Mode::OneShot && result.width_ms < 20 {
        found.warnings.push(format!(
            "result.width_ms: {} ms may be shorter than a controller's scan and its input filter; 20 ms or more is usual",
            result.width_ms
        ));
    }
    machine::Config {
        trigger: match raw.trigger.source {
            Source::Gpio | Source::Serial | Source::Modbus => TriggerMode::External,
            Source::Interval => TriggerMode::Interval(millis(raw.trigger.interval_ms.into()).max(1)),
            Source::FreeRun => TriggerMode::Interval(1),
        },
        result: match result.mode {
            Mode::OneShot => ResultMode::OneShot { width: millis(result.width_ms.into()) },
            Mode::Latch => ResultMode::Latch,
            Mode::Ack => ResultMode::Ack,
        },
        data_to_strobe: millis(result.data_to_strobe_ms.into()),
        ack_timeout: millis(result.ack_timeout_ms.into()),
        inspect_timeout: timeout,
        recipe_timeout: millis(1000 * u64::from(raw.recipes.load_timeout_s)),
        ..machine::Config::default()
    }
}

fn trigger_rules(raw: &Raw, inputs: &BTreeMap<InputLine, Wire>, timeout: Micros, found: &mut Findings) {
    let source = raw.trigger.source;
    found.rule(source != Source::Gpio || inputs.contains_key(&InputLine::Trigger), "trigger.source", || {
        "gpio needs inputs.trigger".to_owned()
    });
    found.rule(source != Source::Serial || raw.serial.is_some(), "trigger.source", || {
        "serial needs a [serial] table".to_owned()
    });
    let itself = matches!(source, Source::Interval | Source::FreeRun);
    found.rule(itself || !inputs.contains_key(&InputLine::PartPresent), "inputs.part-present", || {
        "needs trigger.source interval or free-run; with others every trigger is a part".to_owned()
    });
    let modbus = raw.modbus.as_ref().is_some_and(|modbus| modbus.control);
    found.rule(source != Source::Modbus || modbus, "trigger.source", || {
        "modbus needs a [modbus] table with control = true".to_owned()
    });
    let acknowledges = inputs.contains_key(&InputLine::Ack) || raw.serial.is_some() || modbus;
    found.rule(raw.result.mode != Mode::Ack || acknowledges, "result.mode", || {
        "ack needs inputs.ack or a [serial] table, or a [modbus] table with control = true".to_owned()
    });
    found.range("trigger.delay_ms", raw.trigger.delay_ms, 0..=10_000);
    let before = millis(raw.trigger.delay_ms.into());
    found.rule(before < timeout, "trigger.delay_ms", || {
        format!("must be less than the {} ms that a result may take; got {}", timeout / 1000, raw.trigger.delay_ms)
    });
}

fn recipe_lines(raw: &Raw, found: &mut Findings) {
    let (strobe, bits) = (raw.inputs.recipe_strobe.is_some(), raw.inputs.recipe_bits.len());
    found.rule(strobe == (bits > 0), "inputs.recipe-strobe", || {
        "inputs.recipe-strobe and inputs.recipe-bits need each other".to_owned()
    });
}

fn serial(raw: &raw::Serial, profile: Option<&Profile>, found: &mut Findings) -> Option<SerialLine> {
    found.rule((300..=4_000_000).contains(&raw.baud), "serial.baud", || {
        format!("must be 300–4000000, got {}", raw.baud)
    });
    found.rule((1..=4096).contains(&raw.queue), "serial.queue", || format!("must be 1–4096, got {}", raw.queue));
    found.range("serial.write_deadline_ms", raw.write_deadline_ms, 1..=10_000);
    if let Some(period) = raw.controller_heartbeat_ms {
        found.range("serial.controller_heartbeat_ms", period, 10..=60_000);
    }
    let uart = || profile.and_then(|profile| profile.uart.first().cloned());
    let Some(port) = raw.port.clone().or_else(uart) else {
        found.broken.push("serial.port: is missing, and no box.profile names one".to_owned());
        return None;
    };
    if raw.wire == raw::Wire::Text {
        found
            .warnings
            .push("serial.wire: damage on a plain text line can turn NG into OK; prefer checked-text".to_owned());
    }
    Some(SerialLine {
        port,
        baud: raw.baud,
        even_parity: match raw.parity {
            raw::Parity::None => None,
            raw::Parity::Even => Some(true),
            raw::Parity::Odd => Some(false),
        },
        wire: match raw.wire {
            raw::Wire::Text => mudenet_board::wire::Wire::Ascii,
            raw::Wire::CheckedText => mudenet_board::wire::Wire::AsciiChecked,
            raw::Wire::Binary => mudenet_board::wire::Wire::Binary,
        },
        queue: raw.queue,
        write_deadline: Duration::from_millis(raw.write_deadline_ms.into()),
    })
}

fn recipes(raw: &Raw, folder: &Path, found: &mut Findings) -> BTreeMap<u16, std::path::PathBuf> {
    let mut recipes = BTreeMap::new();
    let bits = raw.inputs.recipe_bits.len();
    for (key, file) in &raw.recipes.files {
        match key.parse::<u16>() {
            Ok(number) => {
                found.rule(bits == 0 || bits >= 16 || number >> bits == 0, &format!("recipes.files.{key}"), || {
                    format!("cannot be told by the {bits} lines of inputs.recipe-bits")
                });
                recipes.insert(number, folder.join(file));
            }
            Err(_) => found.broken.push(format!("recipes.files.{key}: expected a number, 0–65535")),
        }
    }
    found.rule(recipes.contains_key(&raw.recipes.start), "recipes.start", || {
        format!("recipe {} is not in [recipes.files]", raw.recipes.start)
    });
    recipes
}
