//! The box's side of the handshake with a controller: trigger, result, recipe change.
//!
//! The owner hands in what happened and the time, does what the events say, and sets its output lines to
//! [`Machine::lines`] after every call, all of them at once.

mod config;
mod phase;

pub use config::{Config, ConfigError, Event, Input, Lines, ResultMode, TriggerMode};

use crate::wire::PartResult;
use crate::{ErrorCode, Micros, State};
use phase::{Mode, Phase, RecipeChange};

/// The state machine of a box. It starts [`State::Preoperational`] and is not ready before a recipe is in use, the camera
/// delivers and there is room for a result.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    now: Micros,
    mode: Mode,
    phase: Phase,
    shown: Option<PartResult>,
    recipe: Option<u16>,
    change: Option<RecipeChange>,
    recipe_ack: bool,
    strobe_seen: bool,
    camera: bool,
    room: bool,
    present: bool,
    ack_line: bool,
    next_part: u32,
    last_seqno: Option<u32>,
    missed: bool,
    error: bool,
    heartbeat: bool,
    beat: u16,
    next_beat: Micros,
    next_self_trigger: Micros,
}

impl Machine {
    /// A machine that numbers its parts from `first_part`; numbers must not repeat across restarts (`WIRE.md`, rule 5).
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config, first_part: u32, now: Micros) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            now,
            mode: Mode::Preoperational,
            phase: Phase::Idle,
            shown: None,
            recipe: None,
            change: None,
            recipe_ack: false,
            strobe_seen: false,
            camera: false,
            room: true,
            present: true,
            ack_line: false,
            next_part: first_part,
            last_seqno: None,
            missed: false,
            error: false,
            heartbeat: false,
            beat: 0,
            next_beat: now,
            next_self_trigger: now,
        })
    }

    /// Takes an input at time `now`; a time before the last one counts as the last one.
    ///
    /// Call it from the inspection loop itself: the heartbeat beats only as long as these calls come.
    pub fn handle(&mut self, input: Input, now: Micros, emit: &mut impl FnMut(Event)) {
        self.now = self.now.max(now);
        self.advance(emit);
        match input {
            Input::Tick => {}
            Input::Start => self.start(),
            Input::Halt => self.mode = Mode::Halted,
            Input::Reset => self.reset(),
            Input::Camera(fresh) => self.camera(fresh, emit),
            Input::Room(room) => self.room = room,
            Input::Present(present) => self.present = present,
            Input::Trigger { seqno } => self.edge(seqno, emit),
            Input::TriggerPart { part } => self.trigger(part, emit),
            Input::Result(result) => self.result(result, emit),
            Input::AckLine(level) => {
                let rising = level && !self.ack_line;
                self.ack_line = level;
                if rising {
                    self.acknowledge(None);
                }
            }
            Input::Ack { part } => self.acknowledge(Some(part)),
            Input::RecipeStrobe { level, number } => self.recipe_strobe(level, number, emit),
            Input::RecipeLoaded { number, ok } => self.recipe_loaded(number, ok, emit),
            Input::Fail(error) => self.fail(error, emit),
            Input::Distrust => {
                self.fail(ErrorCode::RecipeFailed, emit);
                self.recipe = None;
            }
            Input::Alert => self.error = true,
        }
        self.advance(emit);
    }

    /// Levels of the output lines after the last input; `true` is active.
    pub fn lines(&self) -> Lines {
        let accept = self.shown.is_some_and(|result| result.verdict().is_accept());
        let fault = self.shown.is_some_and(|result| result.verdict() == crate::Verdict::Fault);
        Lines {
            ready: self.ready(),
            busy: matches!(self.phase, Phase::Busy { .. } | Phase::Settling { .. }),
            ok: accept,
            ng: !accept,
            strobe: matches!(self.phase, Phase::Strobed { .. } | Phase::Latched),
            error: self.error || fault || !self.camera || self.mode == Mode::Error,
            heartbeat: self.heartbeat,
            missed: self.missed,
            recipe_ack: self.recipe_ack,
        }
    }

    /// State as in OPC 40100-1.
    pub fn state(&self) -> State {
        match self.mode {
            Mode::Preoperational => State::Preoperational,
            Mode::Halted => State::Halted,
            Mode::Error => State::Error,
            Mode::Operational if self.recipe.is_none() || self.change.is_some() => State::Initialized,
            Mode::Operational if matches!(self.config.trigger, TriggerMode::Interval(_)) => State::ContinuousExecution,
            Mode::Operational if matches!(self.phase, Phase::Idle | Phase::Latched) => State::Ready,
            Mode::Operational => State::SingleExecution,
        }
    }

    /// The result on the lines, with its part number.
    pub fn shown(&self) -> Option<PartResult> {
        self.shown
    }

    /// The recipe in use.
    pub fn recipe(&self) -> Option<u16> {
        self.recipe
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Micros> {
        let change = self.change.and_then(|change| change.deadline(self.config.recipe_timeout));
        let again = match self.config.trigger {
            TriggerMode::Interval(_) if self.ready() && self.present => Some(self.next_self_trigger),
            _ => None,
        };
        [Some(self.next_beat), self.phase.deadline(&self.config), change, again].into_iter().flatten().min()
    }

    /// Whether a trigger would be taken now.
    fn ready(&self) -> bool {
        self.mode == Mode::Operational
            && matches!(self.phase, Phase::Idle | Phase::Latched)
            && self.recipe.is_some()
            && self.change.is_none()
            && !self.recipe_ack
            && self.camera
            && self.room
    }

    fn start(&mut self) {
        if matches!(self.mode, Mode::Preoperational | Mode::Halted) {
            self.mode = Mode::Operational;
        }
    }

    fn reset(&mut self) {
        self.missed = false;
        self.error = false;
        if self.mode == Mode::Error {
            self.mode = Mode::Operational;
            self.change = None;
            self.recipe_ack = false;
        }
    }

    fn camera(&mut self, fresh: bool, emit: &mut impl FnMut(Event)) {
        if self.camera && !fresh {
            emit(Event::Error(ErrorCode::CameraLost));
        }
        self.camera = fresh;
    }

    /// A rising edge with the kernel's count of edges: a gap is parts that nobody saw.
    fn edge(&mut self, seqno: Option<u32>, emit: &mut impl FnMut(Event)) {
        if let (Some(seqno), Some(last)) = (seqno, self.last_seqno) {
            let unseen = seqno.wrapping_sub(last).saturating_sub(1);
            if unseen > 0 {
                self.error = true;
                emit(Event::Error(ErrorCode::TriggerLost));
            }
            // A count that ran far ahead or back says nothing about how many there were; one stands for them all.
            let named = if unseen <= self.config.most_unseen { unseen } else { 1 };
            for _ in 0..named {
                let part = self.number();
                emit(Event::Unseen { part });
            }
        }
        self.last_seqno = seqno.or(self.last_seqno);
        let part = self.number();
        self.trigger(part, emit);
    }

    fn number(&mut self) -> u32 {
        let part = self.next_part;
        self.next_part = self.next_part.wrapping_add(1);
        part
    }

    fn trigger(&mut self, part: u32, emit: &mut impl FnMut(Event)) {
        if !self.ready() {
            self.missed = true;
            emit(Event::Missed { part });
            emit(Event::Error(ErrorCode::MissedTrigger));
            return;
        }
        self.shown = None;
        self.phase = Phase::Busy { part, since: self.now };
        emit(Event::Inspect { part });
    }

    fn result(&mut self, result: PartResult, emit: &mut impl FnMut(Event)) {
        match self.phase {
            // Judged by another recipe than the one in use it is not proven good.
            Phase::Busy { part, .. } if part == result.part() && self.recipe != Some(result.recipe()) => {
                emit(Event::Error(ErrorCode::InspectionFailed));
                self.show(PartResult::fault(part, result.recipe()), emit);
            }
            Phase::Busy { part, .. } if part == result.part() => self.show(result, emit),
            _ => emit(Event::Error(ErrorCode::LateResult)),
        }
    }

    /// Sets the data lines; the strobe follows later.
    fn show(&mut self, result: PartResult, emit: &mut impl FnMut(Event)) {
        self.shown = Some(result);
        self.phase = Phase::Settling { since: self.now };
        emit(Event::Publish(result));
    }

    fn acknowledge(&mut self, part: Option<u32>) {
        let shown = self.shown.map(|result| result.part());
        let meant = match part {
            // A level that rises before the strobe answers nothing.
            None => matches!(self.phase, Phase::Strobed { .. }),
            // The message with the result is out before the strobe is set.
            Some(_) => part == shown && matches!(self.phase, Phase::Settling { .. } | Phase::Strobed { .. }),
        };
        if meant && self.config.result == ResultMode::Ack {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.shown = None;
        self.phase = Phase::Idle;
    }

    fn recipe_strobe(&mut self, level: bool, number: u16, emit: &mut impl FnMut(Event)) {
        let rising = level && !self.strobe_seen;
        self.strobe_seen = level;
        if !level {
            self.recipe_ack = false;
        }
        if rising && self.mode == Mode::Error {
            emit(Event::Recipe { number, loaded: false });
        } else if rising {
            self.change = Some(RecipeChange::Loading { number, since: self.now });
            emit(Event::LoadRecipe { number });
        }
    }

    fn recipe_loaded(&mut self, number: u16, ok: bool, emit: &mut impl FnMut(Event)) {
        match self.change {
            Some(RecipeChange::Loading { number: wanted, .. }) if wanted == number && ok => {
                self.change = Some(RecipeChange::Loaded { number });
            }
            Some(RecipeChange::Loading { number: wanted, .. }) if wanted == number => {
                self.recipe_failed(number, emit);
            }
            // An answer to a request that another one or a reset has replaced.
            _ => {}
        }
    }

    fn recipe_failed(&mut self, number: u16, emit: &mut impl FnMut(Event)) {
        self.change = None;
        emit(Event::Recipe { number, loaded: false });
        self.fail(ErrorCode::RecipeFailed, emit);
    }

    /// Enters the error state; the part in work is a fault.
    fn fail(&mut self, error: ErrorCode, emit: &mut impl FnMut(Event)) {
        self.mode = Mode::Error;
        self.error = true;
        emit(Event::Error(error));
        if let Phase::Busy { part, .. } = self.phase {
            self.show(PartResult::fault(part, self.recipe.unwrap_or(0)), emit);
        }
    }

    /// Does what time brings.
    fn advance(&mut self, emit: &mut impl FnMut(Event)) {
        if self.now >= self.next_beat {
            self.heartbeat = !self.heartbeat;
            self.beat = self.beat.wrapping_add(1);
            self.next_beat = self.now.saturating_add(self.config.heartbeat);
            emit(Event::Heartbeat { beat: self.beat, state: self.state() });
        }
        self.advance_phase(emit);
        self.advance_recipe(emit);
        if let TriggerMode::Interval(interval) = self.config.trigger
            && self.ready()
            && self.present
            && self.now >= self.next_self_trigger
        {
            self.next_self_trigger = self.now.saturating_add(interval);
            let part = self.number();
            self.trigger(part, emit);
        }
    }

    fn advance_phase(&mut self, emit: &mut impl FnMut(Event)) {
        if self.phase.deadline(&self.config).is_none_or(|deadline| self.now < deadline) {
            return;
        }
        match self.phase {
            Phase::Idle | Phase::Latched => {}
            Phase::Busy { part, .. } => {
                emit(Event::Error(ErrorCode::LateResult));
                self.show(PartResult::fault(part, self.recipe.unwrap_or(0)), emit);
            }
            Phase::Settling { .. } => {
                self.phase = match self.config.result {
                    ResultMode::Latch => Phase::Latched,
                    ResultMode::OneShot { .. } | ResultMode::Ack => Phase::Strobed { since: self.now },
                };
                emit(Event::Strobe);
            }
            Phase::Strobed { .. } => {
                if self.config.result == ResultMode::Ack {
                    emit(Event::Error(ErrorCode::AckTimeout));
                }
                self.clear();
            }
        }
    }

    fn advance_recipe(&mut self, emit: &mut impl FnMut(Event)) {
        match self.change {
            Some(RecipeChange::Loaded { number }) if matches!(self.phase, Phase::Idle | Phase::Latched) => {
                self.change = None;
                self.recipe = Some(number);
                self.recipe_ack = self.strobe_seen;
                emit(Event::Recipe { number, loaded: true });
            }
            Some(change @ RecipeChange::Loading { number, .. })
                if change.deadline(self.config.recipe_timeout).is_some_and(|deadline| self.now >= deadline) =>
            {
                self.recipe_failed(number, emit);
            }
            _ => {}
        }
    }
}
