use super::{Recipes, RecordSink};
use crate::capture::Camera;
use crate::run::Latency;
use crate::run::station::{Counters, StationConfig};
use crate::signal::{Outputs, Signal};
use mudenet_board::{Micros, State};

/// Settings of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineConfig {
    /// Handshake, gate, watches.
    pub station: StationConfig,
    /// Recipe to start with.
    pub recipe: u16,
    /// From the trigger to the picture.
    pub trigger_delay: Micros,
    /// Longest wait for a picture.
    pub capture_timeout: Micros,
    /// Age of the newest frame after which the camera counts as lost.
    pub camera_lost: Micros,
    /// Longest wait for the parts on the way when the line is stopped.
    pub stop_within: Micros,
    /// Real-time priority of the loop's thread, 1–99; `None` leaves it at the priority of the others.
    pub realtime_priority: Option<u8>,
    /// Accepted parts after which they are compared with those of the calibration, where a recipe knows them; `None`: never.
    pub drift_parts: Option<usize>,
    /// Hand the pictures of accepted parts to the record too.
    pub record_accepted: bool,
}

/// Everything that a line is connected to.
pub struct Devices {
    /// Where pictures come from.
    pub camera: Box<dyn Camera>,
    /// The output lines.
    pub outputs: Box<dyn Outputs>,
    /// The controller's serial line.
    pub signal: Option<Box<dyn Signal>>,
    /// Where finished parts go; it has a thread of its own.
    pub sink: Box<dyn RecordSink>,
    /// Where recipes come from; it has a thread of its own.
    pub recipes: Box<dyn Recipes>,
    /// Who is told that the loop is alive.
    pub watchdog: Box<dyn Watchdog>,
}

/// Someone who restarts the program when it does not hear of it.
pub trait Watchdog: Send {
    /// The loop is alive and pictures are fresh, or it waits for a reset; called once a heartbeat.
    fn alive(&mut self, state: State);
}

/// Nobody watches.
impl Watchdog for () {
    fn alive(&mut self, _state: State) {}
}

/// What a line did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Parts and errors.
    pub counters: Counters,
    /// From the trigger to the result on lines and serial queue, less the time of camera and inspection, µs.
    pub overhead: Latency,
    /// From a pulse's due time to the level on the line, µs.
    pub pulse: Latency,
    /// Records dropped because the record did not take them in time.
    pub records_dropped: u64,
    /// Messages that did not reach the controller.
    pub unsent: u64,
    /// Whether parts were still on the way when the line stopped.
    pub stopped_early: bool,
}
