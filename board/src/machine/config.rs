use crate::wire::PartResult;
use crate::{ErrorCode, Micros, State, millis};

/// Settings of a machine; [`Config::default`] has this project's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where triggers come from.
    pub trigger: TriggerMode,
    /// How long a result stays on the lines.
    pub result: ResultMode,
    /// From the data lines to the strobe, at least 1 ms (Omron's manuals ask for that much).
    pub data_to_strobe: Micros,
    /// Longest wait for an acknowledge.
    pub ack_timeout: Micros,
    /// Longest inspection; after it the part is a fault.
    pub inspect_timeout: Micros,
    /// Longest load of a recipe.
    pub recipe_timeout: Micros,
    /// Between two toggles of the heartbeat.
    pub heartbeat: Micros,
    /// Unseen parts that are named one by one; more become one.
    pub most_unseen: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trigger: TriggerMode::External,
            result: ResultMode::OneShot { width: millis(50) },
            data_to_strobe: millis(2),
            ack_timeout: millis(1000),
            inspect_timeout: millis(1000),
            recipe_timeout: millis(30_000),
            heartbeat: millis(1000),
            most_unseen: 16,
        }
    }
}

/// Where triggers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerMode {
    /// An input line or a command.
    External,
    /// The machine itself, once an interval or as soon after as it is ready; where PART_PRESENT is wired, only while it is
    /// active.
    Interval(Micros),
}

/// How long a result stays on the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultMode {
    /// For a time; controllers scan every 10–20 ms, so keep it above 20 ms.
    OneShot {
        /// Width of the strobe.
        width: Micros,
    },
    /// Until the next trigger.
    Latch,
    /// Until the controller acknowledges it.
    Ack,
}

/// A setting out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {got} µs, expected at least {least} µs")]
pub struct ConfigError {
    /// Which.
    pub setting: &'static str,
    /// Least value, µs.
    pub least: Micros,
    /// Value set, µs.
    pub got: Micros,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let interval = match self.trigger {
            TriggerMode::External => millis(1),
            TriggerMode::Interval(interval) => interval,
        };
        let width = match self.result {
            ResultMode::OneShot { width } => width,
            ResultMode::Latch | ResultMode::Ack => millis(10),
        };
        for (setting, least, got) in [
            ("self-trigger interval", 1, interval),
            ("strobe width", millis(10), width),
            ("data-to-strobe time", millis(1), self.data_to_strobe),
            ("acknowledge time-out", millis(1), self.ack_timeout),
            ("inspection time-out", millis(1), self.inspect_timeout),
            ("recipe time-out", millis(1), self.recipe_timeout),
            ("heartbeat", millis(1), self.heartbeat),
        ] {
            if got < least {
                return Err(ConfigError { setting, least, got });
            }
        }
        Ok(())
    }
}

/// What a machine is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The program is up, or an operator lets it go on after [`Input::Halt`].
    Start,
    /// An operator stops it.
    Halt,
    /// RESET: leave the error state, clear ERROR and MISSED.
    Reset,
    /// Whether the newest camera frame is within its age limit.
    Camera(bool),
    /// Whether the result queue has room.
    Room(bool),
    /// A rising edge of TRIG, debounced.
    Trigger {
        /// The kernel's count of edges (`line_seqno`), where there is one.
        seqno: Option<u32>,
    },
    /// A trigger by command, with the controller's number of the part.
    TriggerPart {
        /// Its number.
        part: u32,
    },
    /// An inspection ended.
    Result(PartResult),
    /// Level of PART_PRESENT; where it is not wired it counts as active.
    Present(bool),
    /// Level of RESULT_ACK; its rising edge acknowledges.
    AckLine(bool),
    /// Acknowledge by command.
    Ack {
        /// The part whose result was taken.
        part: u32,
    },
    /// RECIPE_STROBE with the number on the recipe lines; a command is the same with `true`, then with `false`.
    RecipeStrobe {
        /// Its level.
        level: bool,
        /// The recipe asked for.
        number: u16,
    },
    /// Answer to [`Event::LoadRecipe`].
    RecipeLoaded {
        /// The recipe.
        number: u16,
        /// Whether it was loaded, verified and warmed up.
        ok: bool,
    },
    /// Something failed that only a reset ends.
    Fail(ErrorCode),
    /// The recipe in use was found to judge wrong: as [`Input::Fail`], and no part is taken until a recipe is loaded again.
    Distrust,
    /// Something that was reported elsewhere is to show on the ERROR line until a reset; parts are taken all the same.
    Alert,
}

/// What the owner of a machine has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Inspect this part; it enters the reject queue as pending.
    Inspect {
        /// Its number.
        part: u32,
    },
    /// A part passes without inspection: it enters the reject queue as reject.
    Missed {
        /// Its number.
        part: u32,
    },
    /// A part passed that nobody saw.
    Unseen {
        /// Its number.
        part: u32,
    },
    /// The one result of an inspected part: send it, tell the reject queue, record it.
    Publish(PartResult),
    /// The result on the lines is valid now.
    Strobe,
    /// Load, verify and warm up a recipe beside the running one; answer with [`Input::RecipeLoaded`].
    LoadRecipe {
        /// Its number.
        number: u16,
    },
    /// A recipe change ended: the recipe is in use from the next part on, or the one before stays.
    Recipe {
        /// The recipe asked for.
        number: u16,
        /// Whether it is in use.
        loaded: bool,
    },
    /// Something went wrong: report it.
    Error(ErrorCode),
    /// The loop is alive: report it.
    Heartbeat {
        /// Counts up by one, wrapping.
        beat: u16,
        /// State of the box.
        state: State,
    },
}

/// Levels of the output lines; `true` is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// A trigger would be taken.
    pub ready: bool,
    /// A part is being inspected, or its result waits for the strobe.
    pub busy: bool,
    /// The part is good. Never active without a proven accept.
    pub ok: bool,
    /// The opposite of `ok`, at all times.
    pub ng: bool,
    /// OK and NG are valid.
    pub strobe: bool,
    /// The result is a fault, the camera is lost, or an error or alert waits for RESET.
    pub error: bool,
    /// Toggles while the inspection loop is alive.
    pub heartbeat: bool,
    /// A trigger was missed since the last RESET.
    pub missed: bool,
    /// The new recipe is in use.
    pub recipe_ack: bool,
}
