//! In steady state nothing is allocated between trigger and result but inside the model.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod rig;

use mudenet_board::millis;
use mudenet_edge::run::station::InputLine;
use mudenet_edge::run::{Line, now};
use mudenet_edge::signal::{Levels, OutputLine, Outputs, SignalError};
use rig::{Rig, SIDE, devices, pipeline};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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

/// Allocations of the whole program while it takes `parts` good parts, after the first 100.
fn of_a_line(parts: u32) -> usize {
    let mut config = Rig::new(parts).config();
    // However slow the machine is, nothing is given up.
    config.station.machine.inspect_timeout = millis(60_000);
    config.camera_lost = millis(60_000);
    let rises = Arc::new(AtomicU32::new(0));
    let line = Line::new(config, devices(Box::new(Ready { rises: Arc::clone(&rises), ready: false })));
    let handle = line.handle();
    let driver = std::thread::spawn(move || {
        let mut counted = None;
        for number in 0..100 + parts {
            if number == 100 {
                counted = Some(Region::new(ALLOCATOR));
            }
            while rises.load(Ordering::SeqCst) <= number {
                std::thread::sleep(Duration::from_micros(200));
            }
            // So that the gate's queue holds all that are on the way.
            std::thread::sleep(Duration::from_millis(10));
            handle.line(InputLine::Trigger, true, now(), Some(number));
        }
        std::thread::sleep(Duration::from_millis(50));
        let change = counted.unwrap().change();
        handle.stop();
        change.allocations + change.reallocations
    });
    let report = line.run().unwrap();
    let allocations = driver.join().unwrap();
    assert_eq!(report.counters.accepted, u64::from(100 + parts), "{report:?}");
    allocations
}

#[test]
fn a_part_allocates_nothing_outside_the_model() {
    let frame = rig::frame(100);
    assert_eq!(frame.width(), SIDE);
    let mut pipeline = pipeline();
    let _ = pipeline.inspect(&frame);
    let counted = Region::new(ALLOCATOR);
    for _ in 0..100 {
        let _ = pipeline.inspect(&frame);
    }
    let change = counted.change();
    let in_the_model = (change.allocations + change.reallocations) / 100;
    assert!(in_the_model > 0, "the counter counts");
    let (few, many) = (of_a_line(200), of_a_line(700));
    let outside = (many - few) as f64 / 500.0 - in_the_model as f64;
    // A heartbeat or a look at the camera may fall on either side: some allocations over 500 parts, not one a part.
    assert!(outside.abs() < 0.1, "{outside} allocations a part outside the model ({in_the_model} inside)");
}
