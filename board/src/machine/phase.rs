use super::{Config, ResultMode};
use crate::Micros;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Preoperational,
    Halted,
    Error,
    Operational,
}

/// The way of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// Being inspected.
    Busy {
        part: u32,
        since: Micros,
    },
    /// The data lines are set, the strobe is not.
    Settling {
        since: Micros,
    },
    /// The strobe is set, for a time or until the acknowledge.
    Strobed {
        since: Micros,
    },
    /// The strobe is set until the next trigger.
    Latched,
}

impl Phase {
    pub(super) fn deadline(self, config: &Config) -> Option<Micros> {
        match self {
            Phase::Idle | Phase::Latched => None,
            Phase::Busy { since, .. } => Some(since.saturating_add(config.inspect_timeout)),
            Phase::Settling { since } => Some(since.saturating_add(config.data_to_strobe)),
            Phase::Strobed { since } => Some(since.saturating_add(match config.result {
                ResultMode::OneShot { width } => width,
                ResultMode::Latch => 0,
                ResultMode::Ack => config.ack_timeout,
            })),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecipeChange {
    /// Being loaded beside the running recipe.
    Loading { number: u16, since: Micros },
    /// Waits for the part in work.
    Loaded { number: u16 },
}

impl RecipeChange {
    pub(super) fn deadline(self, timeout: Micros) -> Option<Micros> {
        match self {
            RecipeChange::Loading { since, .. } => Some(since.saturating_add(timeout)),
            RecipeChange::Loaded { .. } => None,
        }
    }
}
