//! The reject gate, downstream of the camera: every part between the two, and the pulses that sort them.
//!
//! A part leaves through the reject way unless its own accept arrived before it is due. Rejects are stronger: where the
//! windows of a reject and of a good part overlap, both are rejected.

mod config;
mod entry;

pub use config::{Delay, GateConfig, GateEvent, GateInput, Outcome, QueueTooSmall, Reason, Wiring};

use crate::{ErrorCode, Micros, Verdict};
use entry::{Entry, Fate, Span};

/// A gate with room for `N` parts on the way.
#[derive(Clone, Debug)]
pub struct Gate<const N: usize> {
    config: GateConfig,
    entries: heapless::Vec<Entry, N>,
    untracked: Option<Span>,
    now: Micros,
    counts: i64,
    last_moved: Micros,
    stop_reported: bool,
    last_part_at: Option<i64>,
    held: bool,
    reject_until: Micros,
    accept_until: Micros,
}

impl<const N: usize> Gate<N> {
    /// A gate that knows of no part. Those that passed the camera before `now` are unknown, so it rejects for one delay.
    ///
    /// # Errors
    /// [`QueueTooSmall`] where more parts can be on the way than `N`.
    pub fn new(config: GateConfig, now: Micros) -> Result<Self, QueueTooSmall> {
        let (delay, pitch) = match config.delay {
            Delay::Time { delay, pitch } => (delay, pitch),
            Delay::Encoder { counts, pitch, .. } => (u64::from(counts), u64::from(pitch)),
        };
        let needed = delay.div_ceil(pitch.max(1)).saturating_add(1);
        let got = u64::try_from(N).unwrap_or(u64::MAX);
        if needed > got {
            return Err(QueueTooSmall { needed, got });
        }
        let mut gate = Self {
            config,
            entries: heapless::Vec::new(),
            untracked: None,
            now,
            counts: 0,
            last_moved: now,
            stop_reported: false,
            last_part_at: None,
            held: false,
            reject_until: 0,
            accept_until: 0,
        };
        gate.reject_between(i64::MIN, gate.position().saturating_add(gate.way()));
        Ok(gate)
    }

    /// Takes an input at time `now`; a time before the last one counts as the last one, but for parts: a part that is told
    /// late, as by a loop that was held up, is due when it is at the gate all the same.
    pub fn handle(&mut self, input: GateInput, now: Micros, emit: &mut impl FnMut(GateEvent)) {
        self.now = self.now.max(now);
        self.settle(emit);
        match input {
            GateInput::Tick => {}
            GateInput::Part { part } => self.enter(part, Fate::Pending, now, emit),
            GateInput::Missed { part } => self.enter(part, Fate::Reject(Reason::Missed), now, emit),
            GateInput::Unseen { part } => self.unseen(part, now, emit),
            GateInput::Result { part, verdict } => self.judge(part, verdict, emit),
            GateInput::Encoder { counts } => {
                self.counts = self.counts.saturating_add(i64::from(counts));
                if counts != 0 {
                    self.last_moved = self.now;
                    self.stop_reported = false;
                }
            }
            GateInput::EncoderLost => {
                emit(GateEvent::Error(ErrorCode::EncoderStopped));
                let here = self.position();
                self.distrust_all(here, here.saturating_add(self.way()));
            }
            GateInput::Hold(held) => {
                if self.held && !held {
                    self.reject_for_a_pulse();
                }
                self.held = held;
            }
        }
        self.settle(emit);
        self.watch_encoder(emit);
    }

    /// Level of the gate's output after the last input; `true` is the pulse.
    pub fn output(&self) -> bool {
        match self.config.wiring {
            Wiring::RejectPulse => self.rejecting(),
            Wiring::AcceptPulse => self.now < self.accept_until && !self.rejecting(),
        }
    }

    /// When [`GateInput::Tick`] is due.
    pub fn deadline(&self) -> Option<Micros> {
        let pulses = [self.reject_until, self.accept_until].into_iter().filter(|end| *end > self.now);
        let positions = self.entries.iter().map(|entry| entry.due);
        let spans = self.untracked.into_iter().flat_map(|span| [span.from, span.to.saturating_add(1)]);
        let here = self.position();
        let times = positions
            .chain(spans)
            .filter(|at| matches!(self.config.delay, Delay::Time { .. }) && *at > here)
            .filter_map(|at| Micros::try_from(at).ok());
        let stop = match self.config.delay {
            Delay::Encoder { stopped_after: Some(after), .. } if !self.entries.is_empty() && !self.stop_reported => {
                Some(self.last_moved.saturating_add(after))
            }
            _ => None,
        };
        pulses.chain(times).chain(stop).min()
    }

    /// Parts on the way.
    pub fn waiting(&self) -> usize {
        self.entries.len()
    }

    /// Place of the belt: microseconds or encoder counts.
    fn position(&self) -> i64 {
        self.position_at(self.now)
    }

    /// Place of the belt at `time`; of an encoder only the place now is known.
    fn position_at(&self, time: Micros) -> i64 {
        match self.config.delay {
            Delay::Time { .. } => i64::try_from(time).unwrap_or(i64::MAX),
            Delay::Encoder { .. } => self.counts,
        }
    }

    /// From the trigger to the gate.
    fn way(&self) -> i64 {
        match self.config.delay {
            Delay::Time { delay, .. } => i64::try_from(delay).unwrap_or(i64::MAX),
            Delay::Encoder { counts, .. } => i64::from(counts),
        }
    }

    fn rejecting(&self) -> bool {
        let here = self.position();
        self.held || self.now < self.reject_until || self.untracked.is_some_and(|span| span.contains(here))
    }

    fn reject_for_a_pulse(&mut self) {
        self.reject_until = self.reject_until.max(self.now.saturating_add(self.config.pulse));
    }

    fn enter(&mut self, part: u32, mut fate: Fate, at: Micros, emit: &mut impl FnMut(GateEvent)) {
        let here = self.position_at(at);
        let due = here.saturating_add(self.way());
        if let Delay::Encoder { pitch, .. } = self.config.delay
            && self.last_part_at.is_some_and(|last| here.saturating_sub(last) < i64::from(pitch))
        {
            emit(GateEvent::Error(ErrorCode::EncoderStopped));
            self.distrust_all(here, due);
            fate = Fate::Reject(Reason::Distrusted);
        }
        self.last_part_at = Some(here);
        // One result cannot be told to belong to one of two parts.
        for entry in self.entries.iter_mut().filter(|entry| entry.part == part) {
            entry.fate = Fate::Reject(Reason::Distrusted);
            fate = Fate::Reject(Reason::Distrusted);
        }
        if self.entries.push(Entry { part, due, fate }).is_err() {
            emit(GateEvent::Error(ErrorCode::QueueFull));
            self.reject_between(due, due);
            emit(GateEvent::Settled { part, outcome: Outcome::Rejected(Reason::Overflow) });
        }
    }

    /// The encoder is wrong: where the parts on the way are is not known, only that they are before `last`.
    fn distrust_all(&mut self, here: i64, last: i64) {
        let mut to = last;
        for entry in &mut self.entries {
            entry.fate = Fate::Reject(Reason::Distrusted);
            to = to.max(entry.due);
        }
        self.reject_between(here, to);
    }

    fn unseen(&mut self, part: u32, at: Micros, emit: &mut impl FnMut(GateEvent)) {
        emit(GateEvent::Error(ErrorCode::TriggerLost));
        let due = self.position_at(at).saturating_add(self.way());
        let from = self.last_part_at.map_or(self.position(), |last| last.saturating_add(self.way()));
        self.reject_between(from.min(due), due);
        emit(GateEvent::Settled { part, outcome: Outcome::Rejected(Reason::Unseen) });
    }

    fn reject_between(&mut self, from: i64, to: i64) {
        let span = Span { from, to };
        self.untracked = Some(self.untracked.map_or(span, |old| old.hull(span)));
    }

    fn judge(&mut self, part: u32, verdict: Verdict, emit: &mut impl FnMut(GateEvent)) {
        match self.entries.iter_mut().find(|entry| entry.part == part) {
            None => emit(GateEvent::Error(ErrorCode::LateResult)),
            Some(entry) => entry.judge(verdict),
        }
    }

    /// Settles the parts that are due: rejects first, for they are stronger.
    fn settle(&mut self, emit: &mut impl FnMut(GateEvent)) {
        let here = self.position();
        if self.untracked.is_some_and(|span| here > span.to) {
            self.untracked = None;
            self.reject_for_a_pulse();
        }
        while let Some(entry) = self.take_due(here, |fate| fate != Fate::Pass) {
            self.reject_for_a_pulse();
            if self.overdue(&entry) {
                emit(GateEvent::Error(ErrorCode::Internal));
            }
            let reason = match entry.fate {
                Fate::Reject(reason) => reason,
                Fate::Pending | Fate::Pass => {
                    emit(GateEvent::Error(ErrorCode::LateResult));
                    Reason::Late
                }
            };
            emit(GateEvent::Settled { part: entry.part, outcome: Outcome::Rejected(reason) });
        }
        while let Some(entry) = self.take_due(here, |_| true) {
            let outcome = self.open_for(&entry);
            emit(GateEvent::Settled { part: entry.part, outcome });
        }
    }

    fn take_due(&mut self, here: i64, wanted: impl Fn(Fate) -> bool) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.due <= here && wanted(entry.fate))?;
        let taken = self.entries.get(index).copied();
        let mut others = 0..self.entries.len();
        self.entries.retain(|_| others.next() != Some(index));
        taken
    }

    fn open_for(&mut self, entry: &Entry) -> Outcome {
        if self.held {
            return Outcome::Rejected(Reason::Held);
        }
        if self.rejecting() {
            return Outcome::Rejected(Reason::Neighbour);
        }
        if self.overdue(entry) && self.config.wiring == Wiring::AcceptPulse {
            return Outcome::Rejected(Reason::Overdue);
        }
        let start = match self.config.delay {
            Delay::Time { .. } => Micros::try_from(entry.due).unwrap_or(self.now),
            Delay::Encoder { .. } => self.now,
        };
        self.accept_until = self.accept_until.max(start.saturating_add(self.config.pulse));
        Outcome::Passed
    }

    /// Whether the part's time at the gate was over before the gate was told.
    fn overdue(&self, entry: &Entry) -> bool {
        let since = u64::try_from(self.position().saturating_sub(entry.due)).unwrap_or(0);
        matches!(self.config.delay, Delay::Time { .. }) && since >= self.config.pulse.max(1)
    }

    fn watch_encoder(&mut self, emit: &mut impl FnMut(GateEvent)) {
        if let Delay::Encoder { stopped_after: Some(after), .. } = self.config.delay
            && !self.stop_reported
            && !self.entries.is_empty()
            && self.now.saturating_sub(self.last_moved) >= after
        {
            self.stop_reported = true;
            emit(GateEvent::Error(ErrorCode::EncoderStopped));
        }
    }
}
