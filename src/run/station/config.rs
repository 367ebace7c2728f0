use crate::signal::Message;
use mudenet_board::gate::{GateConfig, Outcome, QueueTooSmall, Reason};
use mudenet_board::machine;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, State};

/// Parts that can be on the way from the camera to the gate.
pub const QUEUE_CAPACITY: usize = 256;

/// Settings of a station.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StationConfig {
    /// The handshake.
    pub machine: machine::Config,
    /// Whether PART_PRESENT is wired; its level is not known before it is told.
    pub part_present: bool,
    /// Number of the first part.
    pub first_part: u32,
    /// The reject gate, if the box drives one.
    pub gate: Option<GateSettings>,
    /// Rejects in a row that raise the alarm; `None` never.
    pub consecutive_rejects: Option<u32>,
    /// Period of the controller's own heartbeat, if it sends one; without it for three periods everything is rejected.
    pub controller_heartbeat: Option<Micros>,
}

/// Settings of the reject gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSettings {
    /// Way, pulse and wiring.
    pub gate: GateConfig,
    /// Parts that may be on the way, at most [`QUEUE_CAPACITY`]; with more the box is not ready.
    pub queue: usize,
    /// A rejected part has to be seen by REJECT_CONFIRM within this time.
    pub confirm: Option<Micros>,
}

/// A station that cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StationError {
    /// The handshake.
    #[error(transparent)]
    Machine(#[from] machine::ConfigError),
    /// The reject gate.
    #[error(transparent)]
    Gate(#[from] QueueTooSmall),
}

/// An input line of the box, without bounces; `true` is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InputLine {
    /// A part is at the camera.
    Trigger,
    /// A part is in front of the camera: a box that triggers itself does so only then.
    PartPresent,
    /// RESULT_ACK.
    Ack,
    /// Leave the error state.
    Reset,
    /// The recipe lines are set.
    RecipeStrobe,
    /// A bit of the recipe's number.
    RecipeBit(u8),
    /// The belt moved by one count; with [`InputLine::EncoderB`] beside it, channel A.
    Encoder,
    /// Channel B of the encoder, which tells the direction.
    EncoderB,
    /// A part fell into the reject bin.
    RejectConfirm,
    /// The reject bin is full.
    BinFull,
}

/// What a station is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StationInput {
    /// Time has passed.
    Tick,
    /// Take parts.
    Start,
    /// Take no more parts; those on the way go theirs.
    Halt,
    /// Whether the newest frame is within its age limit.
    Camera(bool),
    /// The inspection can take a part again: it is done with the one before, judged or given up.
    Free,
    /// A line changed.
    Line {
        /// Which.
        line: InputLine,
        /// Its level.
        level: bool,
        /// The kernel's count of this line's edges, where there is one.
        seqno: Option<u32>,
    },
    /// The encoder moved; negative runs back.
    Encoder(i32),
    /// Counts of the encoder were lost.
    EncoderLost,
    /// A message from the controller.
    Command(Message),
    /// An inspection ended.
    Result(PartResult),
    /// Answer to [`Action::LoadRecipe`].
    RecipeLoaded {
        /// The recipe.
        number: u16,
        /// Whether it can be used.
        ok: bool,
    },
    /// Load a recipe, by the program itself.
    ChangeRecipe(u16),
    /// Good parts look different than at calibration: the alarm is on until a reset, parts are judged as before.
    Drifted,
    /// Something went wrong that only needs to be told.
    Report(ErrorCode),
    /// Something failed that only a reset ends.
    Fail(ErrorCode),
    /// The recipe in use judged known parts wrong: nothing is accepted until one is loaded again.
    Distrust,
}

/// What the owner of a station has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Inspect this part.
    Inspect {
        /// Its number.
        part: u32,
    },
    /// Load a recipe beside the running one; answer with [`StationInput::RecipeLoaded`].
    LoadRecipe {
        /// Its number.
        number: u16,
    },
    /// Use the recipe that was loaded last, from the next part on.
    UseRecipe {
        /// Its number.
        number: u16,
    },
    /// Send this to the controller.
    Send(Message),
    /// A part has its result.
    Judged(PartResult),
    /// A part passed that has no result: its trigger was missed, or nobody saw it.
    Uninspected {
        /// Its number.
        part: u32,
        /// Why.
        reason: Reason,
    },
    /// A part left through the gate.
    Settled {
        /// Its number.
        part: u32,
        /// Which way.
        outcome: Outcome,
    },
    /// Something went wrong.
    Error(ErrorCode),
    /// The loop is alive.
    Alive(State),
}
