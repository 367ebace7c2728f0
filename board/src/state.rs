//! States and error codes that a box shows to the line.

/// State of a box, named as in OPC 40100-1 (Machine Vision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Starting; nothing is known yet.
    Preoperational,
    /// Stopped by an operator.
    Halted,
    /// Stopped by an error; waits for a reset.
    Error,
    /// Running without a recipe.
    Initialized,
    /// A recipe is loaded and a trigger would be taken.
    Ready,
    /// Inspecting one part.
    SingleExecution,
    /// Inspecting part after part.
    ContinuousExecution,
}

impl State {
    /// Every state, in the order of [`State::code`].
    pub const ALL: [State; 7] = [
        State::Preoperational,
        State::Halted,
        State::Error,
        State::Initialized,
        State::Ready,
        State::SingleExecution,
        State::ContinuousExecution,
    ];

    /// Number on the wire, from 0.
    pub fn code(self) -> u8 {
        match self {
            State::Preoperational => 0,
            State::Halted => 1,
            State::Error => 2,
            State::Initialized => 3,
            State::Ready => 4,
            State::SingleExecution => 5,
            State::ContinuousExecution => 6,
        }
    }

    /// The state of that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Name as in OPC 40100-1.
    pub fn name(self) -> &'static str {
        match self {
            State::Preoperational => "Preoperational",
            State::Halted => "Halted",
            State::Error => "Error",
            State::Initialized => "Initialized",
            State::Ready => "Ready",
            State::SingleExecution => "SingleExecution",
            State::ContinuousExecution => "ContinuousExecution",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What went wrong. Every one of them rejects the parts it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ErrorCode {
    /// No frame, or none younger than its age limit.
    #[error("camera lost")]
    CameraLost,
    /// A frame could not be inspected.
    #[error("inspection failed")]
    InspectionFailed,
    /// A part reached the gate before its result.
    #[error("late result")]
    LateResult,
    /// A trigger came while the box was not ready.
    #[error("missed trigger")]
    MissedTrigger,
    /// The kernel's count of trigger edges jumped: a part that nobody saw.
    #[error("trigger edge lost")]
    TriggerLost,
    /// The reject queue is full.
    #[error("reject queue full")]
    QueueFull,
    /// The controller did not acknowledge a result in time.
    #[error("acknowledge time-out")]
    AckTimeout,
    /// The recipe asked for cannot be loaded.
    #[error("recipe not loaded")]
    RecipeFailed,
    /// The peer's heartbeat stopped.
    #[error("heartbeat lost")]
    HeartbeatLost,
    /// Parts are due but the encoder stands still, or counts of it were lost.
    #[error("encoder stopped")]
    EncoderStopped,
    /// A rejected part was not seen in the reject bin.
    #[error("reject not confirmed")]
    RejectUnconfirmed,
    /// The reject bin is full.
    #[error("reject bin full")]
    BinFull,
    /// Too many rejects in a row.
    #[error("consecutive rejects")]
    ConsecutiveRejects,
    /// Bytes on the line were damaged, lost or not understood.
    #[error("line fault")]
    LineFault,
    /// A fault inside the program.
    #[error("internal fault")]
    Internal,
    /// Good parts no longer look as they did at calibration.
    #[error("drift")]
    Drift,
}

impl ErrorCode {
    /// Every code, in the order of [`ErrorCode::code`].
    pub const ALL: [ErrorCode; 16] = [
        ErrorCode::CameraLost,
        ErrorCode::InspectionFailed,
        ErrorCode::LateResult,
        ErrorCode::MissedTrigger,
        ErrorCode::TriggerLost,
        ErrorCode::QueueFull,
        ErrorCode::AckTimeout,
        ErrorCode::RecipeFailed,
        ErrorCode::HeartbeatLost,
        ErrorCode::EncoderStopped,
        ErrorCode::RejectUnconfirmed,
        ErrorCode::BinFull,
        ErrorCode::ConsecutiveRejects,
        ErrorCode::LineFault,
        ErrorCode::Internal,
        ErrorCode::Drift,
    ];

    /// Number on the wire, from 1.
    pub fn code(self) -> u8 {
        match self {
            ErrorCode::CameraLost => 1,
            ErrorCode::InspectionFailed => 2,
            ErrorCode::LateResult => 3,
            ErrorCode::MissedTrigger => 4,
            ErrorCode::TriggerLost => 5,
            ErrorCode::QueueFull => 6,
            ErrorCode::AckTimeout => 7,
            ErrorCode::RecipeFailed => 8,
            ErrorCode::HeartbeatLost => 9,
            ErrorCode::EncoderStopped => 10,
            ErrorCode::RejectUnconfirmed => 11,
            ErrorCode::BinFull => 12,
            ErrorCode::ConsecutiveRejects => 13,
            ErrorCode::LineFault => 14,
            ErrorCode::Internal => 15,
            ErrorCode::Drift => 16,
        }
    }

    /// The error of that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.code() == code)
    }
}
