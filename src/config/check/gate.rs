//! Rules of the reject gate.

use super::Findings;
use crate::config::Wire;
use crate::config::raw::{self, Mode, Raw};
use crate::run::station::{GateSettings, InputLine, QUEUE_CAPACITY};
use crate::signal::OutputLine;
use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::{Micros, millis};
use std::collections::BTreeMap;

/// The gate by itself.
pub(super) fn settings(raw: &raw::Gate, found: &mut Findings) -> Option<GateSettings> {
    found.range("gate.pulse_ms", raw.pulse_ms, 10..=495);
    if raw.pulse_ms < 20 {
        found.warnings.push(format!("gate.pulse_ms: {} ms may be too short for a relay or a valve", raw.pulse_ms));
    }
    let queue = raw.queue.unwrap_or(QUEUE_CAPACITY);
    found.rule((1..=QUEUE_CAPACITY).contains(&queue), "gate.queue", || {
        format!("must be 1–{QUEUE_CAPACITY}, got {queue}")
    });
    let (delay, way, pitch, keys) = match (raw.delay_ms, raw.pitch_ms, raw.counts, raw.pitch_counts) {
        (Some(delay), Some(pitch), None, None) => {
            let time = Delay::Time { delay: millis(delay.into()), pitch: millis(pitch.into()) };
            (time, delay, pitch, ["gate.delay_ms", "gate.pitch_ms"])
        }
        (None, _, Some(counts), Some(pitch)) => {
            if raw.pitch_ms.is_none() {
                found.warnings.push(
                    "gate.pitch_ms: without the shortest time between two parts nobody checks that a pulse ends before the \
                     next part is at the gate"
                        .into(),
                );
            }
            let stopped_after = raw.stopped_after_ms.map(|after| millis(after.into()));
            (Delay::Encoder { counts, pitch, stopped_after }, counts, pitch, ["gate.counts", "gate.pitch_counts"])
        }
        _ => {
            found.broken.push("gate: needs either delay_ms and pitch_ms, or counts and pitch_counts".to_owned());
            return None;
        }
    };
    let [way_key, pitch_key] = keys;
    if let Some(stopped) = raw.stopped_after_ms {
        found.range("gate.stopped_after_ms", stopped, 10..=600_000);
        found.rule(raw.counts.is_some(), "gate.stopped_after_ms", || "needs gate.counts".to_owned());
    }
    if let Some(confirm) = raw.confirm_ms {
        found.range("gate.confirm_ms", confirm, 1..=60_000);
    }
    found.rule(way >= 1, way_key, || "must be at least 1: the gate is behind the camera".to_owned());
    found.rule(pitch >= 1, pitch_key, || "must be at least 1".to_owned());
    let needed = u64::from(way).div_ceil(u64::from(pitch.max(1))) + 1;
    found.rule(queue as u64 >= needed, "gate.queue", || {
        format!(
            "must hold the {needed} parts that fit between camera and gate ({way_key} / {pitch_key} + 1), got {queue}"
        )
    });
    if let Some(pitch) = raw.pitch_ms {
        found.rule(raw.pulse_ms < pitch, "gate.pulse_ms", || {
            format!(
                "must be shorter than gate.pitch_ms ({pitch}), or a reject takes its neighbour along; got {}",
                raw.pulse_ms
            )
        });
    }
    let wiring = match raw.wiring {
        raw::Wiring::AcceptPulse => Wiring::AcceptPulse,
        raw::Wiring::RejectPulse => Wiring::RejectPulse,
    };
    if wiring == Wiring::RejectPulse {
        found
            .warnings
            .push("gate.wiring: with reject-pulse a dead box lets every part pass; prefer accept-pulse".into());
    }
    let gate = GateConfig { delay, pulse: millis(raw.pulse_ms.into()), wiring };
    // A queue that is too small for the gate itself was told above.
    (needed <= QUEUE_CAPACITY as u64).then_some(GateSettings {
        gate,
        queue,
        confirm: raw.confirm_ms.map(|confirm| millis(confirm.into())),
    })
}

/// The gate beside the rest of the station.
pub(super) fn rules(
    raw: &Raw,
    inputs: &BTreeMap<InputLine, Wire>,
    outputs: &BTreeMap<OutputLine, Wire>,
    timeout: Micros,
    found: &mut Findings,
) {
    let Some(gate) = &raw.gate else {
        found.rule(!outputs.contains_key(&OutputLine::Gate), "outputs.gate", || "needs a [gate] table".to_owned());
        return;
    };
    found.rule(outputs.contains_key(&OutputLine::Gate), "gate", || "needs outputs.gate, the line it drives".to_owned());
    found.rule(gate.counts.is_none() || inputs.contains_key(&InputLine::Encoder), "gate.counts", || {
        "needs inputs.encoder".to_owned()
    });
    found.rule(gate.confirm_ms.is_none() || inputs.contains_key(&InputLine::RejectConfirm), "gate.confirm_ms", || {
        "needs inputs.reject-confirm".to_owned()
    });
    let (encoder, b) = (inputs.get(&InputLine::Encoder), inputs.get(&InputLine::EncoderB));
    found.rule(b.is_none_or(|b| encoder.is_some_and(|a| a.chip == b.chip)), "inputs.encoder-b", || {
        "needs inputs.encoder on the same chip, whose kernel driver keeps the order of their edges".to_owned()
    });
    if let Some(pitch) = gate.pitch_ms
        && raw.result.mode == Mode::OneShot
    {
        let shown = raw.result.width_ms + raw.result.data_to_strobe_ms;
        found.rule(shown < pitch, "result.width_ms", || {
            format!(
                "with result.data_to_strobe_ms ({}) must be less than gate.pitch_ms ({pitch}): the box takes no trigger \
                 while it shows a result; got {}",
                raw.result.data_to_strobe_ms, raw.result.width_ms
            )
        });
    }
    let Some(delay) = gate.delay_ms else { return };
    let before = raw.trigger.delay_ms;
    found.rule(delay > before, "gate.delay_ms", || {
        format!("must be more than trigger.delay_ms ({before}): the gate would be before the camera; got {delay}")
    });
    found.rule(timeout <= millis(delay.into()), "result.timeout_ms", || {
        format!("must be at most gate.delay_ms ({delay}): a later result finds its part gone; got {}", timeout / 1000)
    });
}
