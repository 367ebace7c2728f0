//! The box without its devices: handshake, reject gate, watches and counters joined. Time goes in, nothing blocks.

mod config;
mod counters;

pub use config::{Action, GateSettings, InputLine, QUEUE_CAPACITY, StationConfig, StationError, StationInput};
pub use counters::Counters;

use crate::signal::{Levels, Message};
use mudenet_board::confirm::RejectConfirm;
use mudenet_board::gate::{Gate, GateEvent, GateInput, Outcome, Reason};
use mudenet_board::heartbeat::HeartbeatWatch;
use mudenet_board::machine::{self, Event, Input, Machine};
use mudenet_board::{ErrorCode, Micros, State, Verdict, millis};

/// Rejected parts whose fall can be watched at once.
const FALLING: usize = 64;
/// Errors at the gate that show on the ERROR line until a reset: a part may have gone the wrong way, or soon will.
const ALERTS: [ErrorCode; 4] =
    [ErrorCode::QueueFull, ErrorCode::EncoderStopped, ErrorCode::RejectUnconfirmed, ErrorCode::BinFull];
/// How long the recipe lines must not have changed before a strobe counts.
const RECIPE_SETTLE: Micros = millis(1);

/// A box: [`Machine`], [`Gate`] and the watches around them.
pub struct Station {
    config: StationConfig,
    machine: Machine,
    gate: Option<Gate<QUEUE_CAPACITY>>,
    confirm: Option<RejectConfirm<FALLING>>,
    controller: Option<HeartbeatWatch>,
    controller_lost: bool,
    counters: Counters,
    alerts: u64,
    held: bool,
    free: bool,
    rejects_in_a_row: u32,
    /// Too many rejects in a row.
    alarm: bool,
    /// Good parts look different than at calibration.
    drifted: bool,
    recipe_bits: u16,
    bits_changed: Micros,
    strobe_waits: bool,
}

impl Station {
    /// A station that has seen nothing.
    ///
    /// # Errors
    /// [`StationError`] for settings that cannot work.
    pub fn new(config: StationConfig, now: Micros) -> Result<Self, StationError> {
        let mut machine = Machine::new(config.machine, config.first_part, now)?;
        if config.part_present {
            machine.handle(Input::Present(false), now, &mut |_| {});
        }
        let gate = config.gate.map(|settings| Gate::new(settings.gate, now)).transpose()?;
        let confirm = config.gate.and_then(|settings| settings.confirm).map(RejectConfirm::new);
        Ok(Self {
            machine,
            gate,
            confirm,
            controller: config.controller_heartbeat.map(HeartbeatWatch::new),
            controller_lost: config.controller_heartbeat.is_some(),
            counters: Counters::default(),
            alerts: 0,
            held: false,
            free: true,
            rejects_in_a_row: 0,
            alarm: false,
            drifted: false,
            recipe_bits: 0,
            bits_changed: now,
            strobe_waits: false,
            config,
        })
    }

    /// Takes an input at time `now`; a time before the last one counts as the last one.
    pub fn handle(&mut self, input: StationInput, now: Micros, emit: &mut impl FnMut(Action)) {
        match input {
            StationInput::Tick => self.machine(Input::Tick, now, emit),
            StationInput::Start => self.machine(Input::Start, now, emit),
            StationInput::Halt => self.machine(Input::Halt, now, emit),
            StationInput::Camera(fresh) => self.machine(Input::Camera(fresh), now, emit),
            StationInput::Free => {
                self.free = true;
                self.machine(Input::Tick, now, emit);
            }
            StationInput::Line { line, level, seqno } => self.line(line, level, seqno, now, emit),
            StationInput::Encoder(counts) => {
                self.gate(GateInput::Encoder { counts }, now, emit);
                self.machine(Input::Tick, now, emit);
            }
            StationInput::EncoderLost => {
                self.gate(GateInput::EncoderLost, now, emit);
                self.machine(Input::Tick, now, emit);
            }
            StationInput::Command(message) => self.command(message, now, emit),
            StationInput::Result(result) => self.machine(Input::Result(result), now, emit),
            StationInput::RecipeLoaded { number, ok } => self.machine(Input::RecipeLoaded { number, ok }, now, emit),
            StationInput::ChangeRecipe(number) => self.change_recipe(number, now, emit),
            StationInput::Drifted => {
                self.drifted = true;
                report(&mut self.counters, ErrorCode::Drift, emit);
            }
            StationInput::Report(code) => report(&mut self.counters, code, emit),
            StationInput::Fail(code) => self.machine(Input::Fail(code), now, emit),
            StationInput::Distrust => self.machine(Input::Distrust, now, emit),
        }
        self.gate(GateInput::Tick, now, emit);
        self.watch(now, emit);
        self.settle(now, emit);
    }

    /// Levels of the output lines after the last input.
    pub fn levels(&self) -> Levels {
        let lines = self.machine.lines();
        let lines = machine::Lines { error: lines.error || self.controller_lost, ..lines };
        Levels::new(lines, self.gate.as_ref().is_some_and(Gate::output), self.alarm || self.drifted)
    }

    /// When [`StationInput::Tick`] is due.
    pub fn deadline(&self) -> Option<Micros> {
        let strobe = self.strobe_waits.then(|| self.bits_changed.saturating_add(RECIPE_SETTLE));
        let controller = self.controller.as_ref().filter(|_| !self.controller_lost).and_then(HeartbeatWatch::deadline);
        let gate = self.gate.as_ref().and_then(Gate::deadline);
        let confirm = self.confirm.as_ref().and_then(RejectConfirm::deadline);
        [self.machine.deadline(), strobe, controller, gate, confirm].into_iter().flatten().min()
    }

    /// When the gate's output changes next by time; `None` where an encoder moves it or there is no gate.
    pub fn gate_deadline(&self) -> Option<Micros> {
        self.gate.as_ref().and_then(Gate::deadline)
    }

    /// State as in OPC 40100-1.
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// The recipe in use.
    pub fn recipe(&self) -> Option<u16> {
        self.machine.recipe()
    }

    /// Whether no part is being inspected, none is shown for a time, and none is on the way to the gate.
    pub fn idle(&self) -> bool {
        let lines = self.machine.lines();
        let shown = lines.strobe && self.config.machine.result != machine::ResultMode::Latch;
        let gate = self.gate.as_ref().is_none_or(|gate| gate.waiting() == 0 && gate.deadline().is_none());
        !lines.busy && !shown && gate
    }

    /// Rejects and faults since the last accepted part or reset.
    pub fn rejects_in_a_row(&self) -> u32 {
        self.rejects_in_a_row
    }

    /// Whether good parts were found to look different than at calibration, until a reset.
    pub fn drifted(&self) -> bool {
        self.drifted
    }

    /// Parts between the camera and the gate.
    pub fn on_the_way(&self) -> usize {
        self.gate.as_ref().map_or(0, Gate::waiting)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn line(&mut self, line: InputLine, level: bool, seqno: Option<u32>, now: Micros, emit: &mut impl FnMut(Action)) {
        match line {
            InputLine::Trigger if level => self.machine(Input::Trigger { seqno }, now, emit),
            InputLine::PartPresent => self.machine(Input::Present(level), now, emit),
            InputLine::Ack => self.machine(Input::AckLine(level), now, emit),
            InputLine::Reset if level => self.reset(now, emit),
            InputLine::RecipeStrobe if level => self.strobe_waits = true,
            InputLine::RecipeStrobe => {
                self.strobe_waits = false;
                let number = self.recipe_bits;
                self.machine(Input::RecipeStrobe { level: false, number }, now, emit);
            }
            InputLine::RecipeBit(bit) => {
                let mask = 1u16.checked_shl(u32::from(bit)).unwrap_or(0);
                self.recipe_bits = if level { self.recipe_bits | mask } else { self.recipe_bits & !mask };
                self.bits_changed = now;
            }
            InputLine::Encoder if level => {
                self.gate(GateInput::Encoder { counts: 1 }, now, emit);
                self.machine(Input::Tick, now, emit);
            }
            InputLine::RejectConfirm if level => self.confirm.iter_mut().for_each(RejectConfirm::seen),
            InputLine::BinFull => {
                if let Some(Err(code)) = self.confirm.as_mut().map(|confirm| confirm.bin_full(level)) {
                    report(&mut self.counters, code, emit);
                }
            }
            InputLine::Trigger
            | InputLine::Reset
            | InputLine::Encoder
            | InputLine::EncoderB
            | InputLine::RejectConfirm => {}
        }
    }

    fn command(&mut self, message: Message, now: Micros, emit: &mut impl FnMut(Action)) {
        match message {
            Message::Trigger { part: None } => self.machine(Input::Trigger { seqno: None }, now, emit),
            Message::Trigger { part: Some(part) } => self.machine(Input::TriggerPart { part }, now, emit),
            Message::Ack { part } => self.machine(Input::Ack { part }, now, emit),
            Message::ChangeRecipe { number } => self.change_recipe(number, now, emit),
            Message::Reset => self.reset(now, emit),
            Message::Alive { beat } => {
                if let Some(controller) = &mut self.controller {
                    controller.beat(beat, now);
                    self.controller_lost = controller.lost(now);
                }
            }
            // What only a box says comes from a line that echoes.
            Message::Result(_) | Message::Heartbeat { .. } | Message::Error(_) | Message::Recipe { .. } => {
                report(&mut self.counters, ErrorCode::LineFault, emit);
            }
        }
    }

    fn change_recipe(&mut self, number: u16, now: Micros, emit: &mut impl FnMut(Action)) {
        self.machine(Input::RecipeStrobe { level: true, number }, now, emit);
        self.machine(Input::RecipeStrobe { level: false, number }, now, emit);
    }

    fn reset(&mut self, now: Micros, emit: &mut impl FnMut(Action)) {
        self.alarm = false;
        self.drifted = false;
        self.rejects_in_a_row = 0;
        self.machine(Input::Reset, now, emit);
    }

    /// Hands `input` to the machine and what it says to the gate, the counters and the owner.
    fn machine(&mut self, input: Input, now: Micros, emit: &mut impl FnMut(Action)) {
        let Self { machine, gate, confirm, counters, free, rejects_in_a_row, alarm, config, .. } = self;
        machine.handle(input, now, &mut |event| {
            let mut to_gate = |input| feed(gate, confirm, counters, input, now, emit);
            match event {
                Event::Inspect { part } => {
                    to_gate(GateInput::Part { part });
                    counters.triggered += 1;
                    *free = false;
                    emit(Action::Inspect { part });
                }
                Event::Missed { part } => {
                    to_gate(GateInput::Missed { part });
                    counters.missed += 1;
                    emit(Action::Uninspected { part, reason: Reason::Missed });
                }
                Event::Unseen { part } => {
                    to_gate(GateInput::Unseen { part });
                    counters.unseen += 1;
                    emit(Action::Uninspected { part, reason: Reason::Unseen });
                }
                Event::Publish(result) => {
                    to_gate(GateInput::Result { part: result.part(), verdict: result.verdict() });
                    emit(Action::Send(Message::Result(result)));
                    emit(Action::Judged(result));
                    counters.judge(result.verdict());
                    *rejects_in_a_row = match result.verdict() {
                        Verdict::Accept => 0,
                        Verdict::Reject | Verdict::Fault => rejects_in_a_row.saturating_add(1),
                    };
                    if config.consecutive_rejects.is_some_and(|limit| *rejects_in_a_row >= limit) && !*alarm {
                        *alarm = true;
                        report(counters, ErrorCode::ConsecutiveRejects, emit);
                    }
                }
                Event::Strobe => {}
                Event::LoadRecipe { number } => emit(Action::LoadRecipe { number }),
                Event::Recipe { number, loaded } => {
                    if loaded {
                        counters.recipe_changes += 1;
                        emit(Action::UseRecipe { number });
                    }
                    emit(Action::Send(Message::Recipe { number, loaded }));
                }
                Event::Error(code) => report(counters, code, emit),
                Event::Heartbeat { beat, state } => {
                    emit(Action::Send(Message::Heartbeat { beat, state }));
                    emit(Action::Alive(state));
                }
            }
        });
    }

    fn gate(&mut self, input: GateInput, now: Micros, emit: &mut impl FnMut(Action)) {
        feed(&mut self.gate, &mut self.confirm, &mut self.counters, input, now, emit);
    }

    /// Time-outs of what is neither machine nor gate.
    fn watch(&mut self, now: Micros, emit: &mut impl FnMut(Action)) {
        if self.strobe_waits && now >= self.bits_changed.saturating_add(RECIPE_SETTLE) {
            self.strobe_waits = false;
            let number = self.recipe_bits;
            self.machine(Input::RecipeStrobe { level: true, number }, now, emit);
        }
        while let Some(code) = self.confirm.as_mut().and_then(|confirm| confirm.poll(now)) {
            report(&mut self.counters, code, emit);
        }
        let lost = self.controller.as_ref().is_some_and(|controller| controller.lost(now));
        if lost && !self.controller_lost {
            report(&mut self.counters, ErrorCode::HeartbeatLost, emit);
        }
        self.controller_lost = lost;
    }

    /// Lets gate and machine know of each other.
    fn settle(&mut self, now: Micros, emit: &mut impl FnMut(Action)) {
        let alerts = ALERTS.iter().map(|code| self.counters.errors_of(*code)).sum();
        if alerts > self.alerts {
            self.alerts = alerts;
            self.machine(Input::Alert, now, emit);
        }
        let held = self.controller_lost || matches!(self.machine.state(), State::Preoperational | State::Error);
        if held != self.held {
            self.held = held;
            self.gate(GateInput::Hold(held), now, emit);
        }
        let queue = self.config.gate.map_or(QUEUE_CAPACITY, |settings| settings.queue);
        let room = self.free && self.gate.as_ref().is_none_or(|gate| gate.waiting() < queue);
        self.machine(Input::Room(room), now, emit);
    }
}

fn feed(
    gate: &mut Option<Gate<QUEUE_CAPACITY>>,
    confirm: &mut Option<RejectConfirm<FALLING>>,
    counters: &mut Counters,
    input: GateInput,
    now: Micros,
    emit: &mut impl FnMut(Action),
) {
    let Some(gate) = gate else { return };
    gate.handle(input, now, &mut |event| match event {
        GateEvent::Error(code) => report(counters, code, emit),
        GateEvent::Settled { part, outcome } => {
            counters.settle(outcome);
            emit(Action::Settled { part, outcome });
            let falls =
                matches!(outcome, Outcome::Rejected(reason) if !matches!(reason, Reason::Overflow | Reason::Unseen));
            if let Some(Err(code)) = confirm.as_mut().filter(|_| falls).map(|confirm| confirm.rejected(now)) {
                report(counters, code, emit);
            }
        }
    });
}

fn report(counters: &mut Counters, code: ErrorCode, emit: &mut impl FnMut(Action)) {
    counters.error(code);
    emit(Action::Error(code));
    emit(Action::Send(Message::Error(code)));
}
