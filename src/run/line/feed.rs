use crate::capture::Region;
use crate::decide::drift::Baseline;
use crate::run::station::Counters;
use crate::signal::Levels;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, State};
use std::sync::{Arc, Mutex, PoisonError};

/// What parts are inspected with: a recipe in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Number of the recipe.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// SHA-256 of the model file, lower-case hex; empty where it is not known.
    pub model: String,
    /// Scores above it are rejected.
    pub threshold: f32,
    /// The part of the picture that is inspected; all of it without.
    pub region: Option<Region>,
    /// Names of its zones.
    pub zones: Vec<Arc<str>>,
    /// What its good parts looked like at calibration, where that is known.
    pub baseline: Option<Arc<Baseline>>,
}

/// A line at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When, on [`now`](crate::run::now)'s clock. A line that says nothing for seconds hangs or has ended.
    pub at: Micros,
    /// State as in OPC 40100-1.
    pub state: State,
    /// The recipe in use.
    pub product: Option<Arc<Product>>,
    /// Whether pictures are fresh.
    pub camera: bool,
    /// Levels of the output lines.
    pub levels: Levels,
    /// Whether good parts were found to look different than at calibration.
    pub drifted: bool,
    /// The result that was published last; it stays when the lines have let go of it.
    pub result: Option<PartResult>,
    /// Rejects and faults in a row.
    pub rejects_in_a_row: u32,
    /// Parts on the way from the camera to the gate.
    pub on_the_way: usize,
    /// The last error and when it came.
    pub last_error: Option<(ErrorCode, Micros)>,
    /// What was counted since the start.
    pub counters: Counters,
    /// Records that found no room in the queue.
    pub records_dropped: u64,
    /// Messages that did not reach the controller.
    pub unsent: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            at: 0,
            state: State::Preoperational,
            product: None,
            camera: false,
            levels: Levels::default(),
            drifted: false,
            result: None,
            rejects_in_a_row: 0,
            on_the_way: 0,
            last_error: None,
            counters: Counters::default(),
            records_dropped: 0,
            unsent: 0,
        }
    }
}

/// What a line is like right now, for pages and peers; copies show the same line.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<Status>>);

impl Feed {
    /// The newest state, at most a tenth of a second old while the line is alive.
    pub fn status(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows `status`; while somebody is reading it is left for the next time, so that the line never waits.
    pub(super) fn show(&self, status: impl FnOnce(&mut Status)) {
        if let Ok(mut shown) = self.0.try_lock() {
            status(&mut shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_holds_the_line_up() {
        let feed = Feed::default();
        feed.show(|status| status.at = 1);
        let reading = feed.0.lock().unwrap();
        // Would wait for ever if it waited.
        feed.show(|status| status.at = 2);
        drop(reading);
        assert_eq!(feed.status().at, 1);
        feed.show(|status| status.at = 3);
        assert_eq!(feed.clone().status().at, 3);
    }
}
