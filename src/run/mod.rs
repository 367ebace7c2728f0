//! The inspection loop: the only place that reads a clock and owns devices and threads.
//!
//! | module | what it is |
//! |---|---|
//! | [`station`] | the box without devices: handshake, gate and watches joined; pure |
//! | [`Line`] | the loop around it, with its threads: one inspects, one loads recipes, one records |
//! | [`simulate`] | a conveyor in place of the plant, for the same loop |
//! | [`Feed`] | what a line is like right now, for pages and peers |
//! | [`JournalSink`] | what a line records, written down |
//! | [`Pipeline`] | one frame inspected, every failure a fault |
//!
//! Queues between the threads are bounded. The loop itself never waits for a device, a disk or a peer; each of the others
//! may hang, and then the box is not ready and rejects.

mod clock;
mod journal;
mod latency;
mod line;
mod pipeline;
pub mod simulate;
pub mod station;

pub use clock::now;
pub use journal::{JournalSink, wall_clock_of};
pub use latency::Latency;
pub use line::{
    Devices, Feed, Finished, Handle, Line, LineConfig, Prepared, Product, Recipes, Record, RecordSink, Report, Status,
    Watchdog,
};
pub use pipeline::{Fault, LoadError, Outcome, Pipeline, today, wall_clock};
