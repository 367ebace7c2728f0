use crate::{ErrorCode, State, Verdict};

/// One message on a serial line, either way. `WIRE.md` gives the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message {
    /// Box → line: a part was judged.
    Result(PartResult),
    /// Box → line: the inspection loop is alive.
    Heartbeat {
        /// Counts up by one, wrapping.
        beat: u16,
        /// State of the box.
        state: State,
    },
    /// Box → line: something went wrong.
    Error(ErrorCode),
    /// Box → line: answer to [`Message::ChangeRecipe`].
    Recipe {
        /// The recipe asked for.
        number: u16,
        /// Whether it is in use now.
        loaded: bool,
    },
    /// Line → box: inspect a part.
    Trigger {
        /// Number of the part; `None` lets the box number it.
        part: Option<u32>,
    },
    /// Line → box: the result of this part was taken.
    Ack {
        /// Number of the part.
        part: u32,
    },
    /// Line → box: load another recipe.
    ChangeRecipe {
        /// The recipe wanted.
        number: u16,
    },
    /// Line → box: leave the error state.
    Reset,
    /// Line → box: the controller is alive.
    Alive {
        /// Counts up by one, wrapping.
        beat: u16,
    },
}

/// The result of one part. An accept always carries a finite score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartResult {
    part: u32,
    verdict: Verdict,
    score: Option<f32>,
    recipe: u16,
}

impl PartResult {
    /// A result; without a finite score the verdict becomes [`Verdict::Fault`].
    pub fn new(part: u32, verdict: Verdict, score: f32, recipe: u16) -> Self {
        if score.is_finite() { Self { part, verdict, score: Some(score), recipe } } else { Self::fault(part, recipe) }
    }

    /// The result of a part that could not be inspected.
    pub fn fault(part: u32, recipe: u16) -> Self {
        Self { part, verdict: Verdict::Fault, score: None, recipe }
    }

    /// Number of the part.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// What becomes of it.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Its score, finite; `None` only for a fault.
    pub fn score(&self) -> Option<f32> {
        self.score
    }

    /// Recipe it was judged by.
    pub fn recipe(&self) -> u16 {
        self.recipe
    }
}
