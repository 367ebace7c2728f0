use crate::{ErrorCode, Micros, Verdict};

/// Where the gate is, behind the trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Parts move at a constant speed.
    Time {
        /// From trigger to gate.
        delay: Micros,
        /// Shortest time between two parts.
        pitch: Micros,
    },
    /// An encoder counts the way. Hand counts over before the trigger that they precede.
    Encoder {
        /// From trigger to gate.
        counts: u32,
        /// Fewest counts between two parts; parts closer than this prove the encoder wrong.
        pitch: u32,
        /// Parts that wait this long without a count are reported as [`ErrorCode::EncoderStopped`].
        stopped_after: Option<Micros>,
    },
}

/// What the gate's output does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// A pulse rejects. A dead box lets parts pass.
    RejectPulse,
    /// A pulse accepts. A dead box rejects: prefer this.
    AcceptPulse,
}

/// Settings of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// The way from trigger to gate.
    pub delay: Delay,
    /// Width of a pulse, also the time that a part spends at the gate.
    pub pulse: Micros,
    /// What a pulse does.
    pub wiring: Wiring,
}

/// A queue too small for the parts on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reject queue holds {got} parts, {needed} can be on the way to the gate")]
pub struct QueueTooSmall {
    /// ⌈delay / pitch⌉ + 1.
    pub needed: u64,
    /// Capacity of the queue.
    pub got: u64,
}

/// What a gate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateInput {
    /// Time has passed.
    Tick,
    /// A part triggered now; its result is to come.
    Part {
        /// Its number.
        part: u32,
    },
    /// A part passed the sensor now that is not inspected: a missed trigger.
    Missed {
        /// Its number.
        part: u32,
    },
    /// A part passed the sensor unseen, at some time since the part before.
    Unseen {
        /// Its number.
        part: u32,
    },
    /// A part was judged.
    Result {
        /// Its number.
        part: u32,
        /// How it was judged.
        verdict: Verdict,
    },
    /// The encoder moved; negative runs back.
    Encoder {
        /// Counts since the last input of this kind.
        counts: i32,
    },
    /// Counts of the encoder were lost: where the parts on the way are is not known.
    EncoderLost,
    /// Whether the results can be relied on at all; without, everything is rejected (heartbeat lost, error state).
    Hold(bool),
}

/// What a gate reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// A part got its one disposition.
    Settled {
        /// Its number.
        part: u32,
        /// Which.
        outcome: Outcome,
    },
    /// Something went wrong.
    Error(ErrorCode),
}

/// Which way a part left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Through the accept way.
    Passed,
    /// Through the reject way.
    Rejected(Reason),
}

/// Why a part was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was judged so, or could not be inspected.
    Judged,
    /// Its result had not come when it was due.
    Late,
    /// Its trigger was missed.
    Missed,
    /// Nobody saw it.
    Unseen,
    /// The queue had no room for it.
    Overflow,
    /// Where it is was not certain: the encoder failed, or its number was used twice.
    Distrusted,
    /// A rejected part was at the gate at the same time.
    Neighbour,
    /// The gate was held at reject.
    Held,
    /// The gate was told the time too late to open for it.
    Overdue,
}
