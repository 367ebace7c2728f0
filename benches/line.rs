//! What the loop costs: `cargo bench --bench line [-- overhead|load|rate] [PARTS]`.
//!
//! Camera and model are stand-ins that take almost no time, so what is measured is the loop, its threads and queues.
//! `overhead`: from the trigger to the result on the lines, less camera and model, each part triggered as soon as the box
//! is ready. `load`: how late the gate's output changes after its due time, on an idle machine and with every core busy.
//! `rate`: parts a second at which no trigger is missed.
#![allow(clippy::unwrap_used, reason = "a bench stops where it fails")]

#[path = "../tests/rig/mod.rs"]
mod rig;

use mudenet_board::gate::Wiring;
use mudenet_board::{Micros, millis};
use mudenet_edge::run::simulate::{Conveyor, Plant};
use mudenet_edge::run::station::InputLine;
use mudenet_edge::run::{Handle, Latency, Line, LineConfig, Report, now};
use mudenet_edge::signal::{Levels, OutputLine, Outputs, SignalError};
use rig::{Rig, devices};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::spawn;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wants = |name: &str| arguments.iter().all(|argument| argument.parse::<u32>().is_ok() || argument == name);
    let parts = arguments.iter().find_map(|argument| argument.parse().ok());
    if wants("overhead") {
        overhead(parts.unwrap_or(100_000));
    }
    if wants("load") {
        load(parts.unwrap_or(500));
    }
    if wants("rate") {
        rate(parts.unwrap_or(2000));
    }
}

fn print(what: &str, latency: &Latency) {
    let [p50, p99] = [0.5, 0.99].map(|q| latency.quantile(q));
    println!("{what}: p50 {p50} µs, p99 {p99} µs, max {} µs over {}", latency.max(), latency.count());
}

/// Counts how often the box became ready.
struct Ready {
    rises: Arc<AtomicU32>,
    ready: bool,
}

impl Outputs for Ready {
    fn set(&mut self, levels: Levels) -> Result<(), SignalError> {
        let ready = levels.get(OutputLine::Ready);
        if ready && !self.ready {
            self.rises.fetch_add(1, Ordering::SeqCst);
        }
        self.ready = ready;
        Ok(())
    }
}

fn overhead(parts: u32) {
    let mut config = Rig::new(parts).config();
    config.station.gate = None;
    let rises = Arc::new(AtomicU32::new(0));
    let line = Line::new(config, devices(Box::new(Ready { rises: Arc::clone(&rises), ready: false })));
    let handle = line.handle();
    let driver = spawn(move || {
        for number in 0..parts {
            while rises.load(Ordering::SeqCst) <= number {
                std::thread::sleep(Duration::from_micros(50));
            }
            handle.line(InputLine::Trigger, true, now(), Some(number));
        }
        std::thread::sleep(Duration::from_millis(100));
        handle.stop();
    });
    let report = line.run().unwrap();
    driver.join().unwrap();
    let c = &report.counters;
    print("trigger to result beyond camera and model", &report.overhead);
    println!(
        "  {} parts triggered, {} judged, {} missed, {} faults",
        parts,
        c.accepted + c.rejected,
        c.missed,
        c.faults
    );
}

/// A conveyor over a gate; `busy` threads keep the cores busy.
fn conveyor(config: LineConfig, conveyor: Conveyor, busy: usize) -> Report {
    let stop = Arc::new(AtomicBool::new(false));
    let work = Arc::new(AtomicU64::new(0));
    let burners: Vec<_> = (0..busy)
        .map(|_| {
            let (stop, work) = (Arc::clone(&stop), Arc::clone(&work));
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let plant = Plant::default();
    let line = Line::new(config, devices(plant.outputs()));
    let handle: Handle = line.handle();
    let driver = plant.drive(conveyor, config.station.gate, config.station.first_part, handle);
    let report = line.run().unwrap();
    driver.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    report
}

fn load(parts: u32) {
    let cores = std::thread::available_parallelism().map_or(4, usize::from);
    for (what, busy, priority) in [
        ("idle", 0, None),
        ("all cores busy", 2 * cores, None),
        ("all cores busy, real-time priority 50", 2 * cores, Some(50)),
    ] {
        let rig = Rig { wiring: Wiring::AcceptPulse, pitch_ms: 40, ..Rig::new(parts) };
        let mut config = rig.config();
        config.realtime_priority = priority;
        if let Some(gate) = &mut config.station.gate {
            gate.gate.pulse = millis(20);
        }
        let belt = Conveyor { parts, pitch: millis(40), jitter: 0.2, counts: 0, seed: 3 };
        let report = conveyor(config, belt, busy);
        let c = &report.counters;
        print(&format!("gate after its due time, {what}"), &report.pulse);
        println!("  {} passed, {} of them not, {} triggers missed", c.passed_gate, c.good_rejected_at_gate, c.missed);
    }
}

fn rate(parts: u32) {
    let rate = |pitch: Micros| 1e6 / pitch as f64;
    let missed = |pitch: Micros| {
        let mut config = Rig::new(parts).config();
        config.station.gate = None;
        let belt = Conveyor { parts, pitch, jitter: 0.0, counts: 0, seed: 3 };
        let report = conveyor(config, belt, 0);
        println!("  {:.0} parts a second: {} of {parts} missed", rate(pitch), report.counters.missed);
        report.counters.missed
    };
    let (mut works, mut fails) = (20_000, 500);
    assert_eq!(missed(works), 0, "a machine too slow for 50 parts a second");
    while works - fails > works / 20 {
        let pitch = (works + fails) / 2;
        if missed(pitch) == 0 {
            works = pitch;
        } else {
            fails = pitch;
        }
    }
    println!("largest rate without a missed trigger: {:.0} parts a second (data to strobe 1 ms)", rate(works));
}
