use super::loader::{Prepared, Recipes};
use super::worker::Inspected;
use crate::run::clock;
use crate::run::station::InputLine;
use mudenet_board::{ErrorCode, Micros};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Inputs that wait for the loop; who has more waits for room.
const CAPACITY: usize = 1024;

/// What threads tell the loop.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each part")]
pub(super) enum Said {
    Line { line: InputLine, level: bool, at: Micros, seqno: Option<u32> },
    Encoder { counts: i32, at: Micros },
    EncoderLost { at: Micros },
    Inspected(Inspected),
    Camera(Result<(), String>),
    Recipe { number: u16, result: Result<Box<Prepared>, String> },
    Replace(Box<dyn Recipes>),
    ChangeRecipe(u16),
    Fault { code: ErrorCode, reason: String },
    Drifted { reason: String },
    Distrust { recipe: u16, reason: String },
    Wake,
    Stop,
}

pub(super) struct Inbox {
    sender: SyncSender<Said>,
    receiver: Receiver<Said>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let (sender, receiver) = sync_channel(CAPACITY);
        Self { sender, receiver }
    }

    pub(super) fn handle(&self) -> Handle {
        Handle(self.sender.clone())
    }

    pub(super) fn wait(&self, longest: Duration) -> Option<Said> {
        self.receiver.recv_timeout(longest).ok()
    }

    pub(super) fn next(&self) -> Option<Said> {
        self.receiver.try_recv().ok()
    }
}

/// Tells a running line what happens. Every call but [`Handle::wake`] waits while the line has 1024 inputs to go through,
/// and gives `false` once the line has ended.
#[derive(Clone)]
pub struct Handle(SyncSender<Said>);

impl Handle {
    /// An input line took `level` at `at` on [`now`](crate::run::now)'s clock; `seqno` is the kernel's count of its edges.
    pub fn line(&self, line: InputLine, level: bool, at: Micros, seqno: Option<u32>) -> bool {
        self.say(Said::Line { line, level, at, seqno })
    }

    /// Like [`Handle::line`] at this moment, for those who must not wait: gives `false` also while the line has no room.
    pub fn offer(&self, line: InputLine, level: bool) -> bool {
        self.0.try_send(Said::Line { line, level, at: clock::now(), seqno: None }).is_ok()
    }

    /// The belt moved.
    pub fn encoder(&self, counts: i32, at: Micros) -> bool {
        self.say(Said::Encoder { counts, at })
    }

    /// Counts of the belt's encoder were lost: the parts on the way are rejected.
    pub fn encoder_lost(&self, at: Micros) -> bool {
        self.say(Said::EncoderLost { at })
    }

    /// Something that the line depends on failed: everything is rejected until a reset.
    pub fn fault(&self, code: ErrorCode, reason: String) -> bool {
        self.say(Said::Fault { code, reason })
    }

    /// Good parts no longer look as they did at calibration: the alarm is on until a reset, parts are judged as before.
    pub fn drifted(&self, reason: String) -> bool {
        self.say(Said::Drifted { reason })
    }

    /// Recipe `recipe` judged known parts wrong. Where it is in use everything is rejected, and a reset loads it anew, golden
    /// samples included, before a part is taken.
    pub fn distrust(&self, recipe: u16, reason: String) -> bool {
        self.say(Said::Distrust { recipe, reason })
    }

    /// Other recipes from now on; the one in use is loaded anew.
    pub fn replace_recipes(&self, recipes: Box<dyn Recipes>) -> bool {
        self.say(Said::Replace(recipes))
    }

    /// Load this recipe and use it from the next part on.
    pub fn change_recipe(&self, number: u16) -> bool {
        self.say(Said::ChangeRecipe(number))
    }

    /// Leave the error state and clear the alarm, as the RESET line does.
    pub fn reset(&self) -> bool {
        self.line(InputLine::Reset, true, clock::now(), None)
    }

    /// The controller's line has something to say. Returns at once.
    pub fn wake(&self) {
        // A line that is behind will look by itself.
        let _: Result<(), TrySendError<Said>> = self.0.try_send(Said::Wake);
    }

    /// Take no more parts, let those on the way go theirs, and end; said twice, end at once.
    pub fn stop(&self) -> bool {
        self.say(Said::Stop)
    }

    pub(super) fn say(&self, said: Said) -> bool {
        self.0.send(said).is_ok()
    }
}
