//! The station's turn: what it is told and what it asks for in return.

use super::record::Recorder;
use super::{Loop, Part, Record};
use crate::run::clock;
use crate::run::station::{Action, StationInput};
use crate::signal::{Levels, Message, OutputLine, Outputs, Signal};
use mudenet_board::{ErrorCode, Micros, State};
use std::sync::Arc;

impl Loop {
    /// Hands `input` to the station, does what it says, and sets the lines.
    pub(super) fn feed(&mut self, input: StationInput, now: Micros, outputs: &mut dyn Outputs) {
        let Self { station, signal, watchdog, worker, loader, recorder, config, .. } = self;
        // An inspection that hangs is no sign of life.
        let longest = config.station.machine.inspect_timeout.saturating_add(config.camera_lost);
        let hangs = self.part.is_some_and(|part| now >= part.triggered.saturating_add(longest));
        let fresh = self.camera && !hangs;
        let (part, loaded, unsent) = (&mut self.part, &mut self.loaded, &mut self.unsent);
        let (product, last_error) = (&mut self.product, &mut self.last_error);
        let (asked, again) = (&mut self.asked, &mut self.again);
        let stood = station.state() == State::Error;
        let mut judged = None;
        let mut broken = None;
        let due = station.gate_deadline();
        station.handle(input, now, &mut |action| match action {
            Action::Inspect { part: number } => {
                *part = Some(Part { number, triggered: now });
                let until = now.saturating_add(config.station.machine.inspect_timeout);
                if worker.inspect(number, now, until).is_err() {
                    broken = Some("the inspection takes no more jobs");
                }
            }
            Action::LoadRecipe { number } => {
                *asked = number;
                loader.load(number);
            }
            Action::UseRecipe { number } => match loaded.take().filter(|prepared| prepared.product.number == number) {
                Some(prepared) => {
                    *again = None;
                    *product = Some(Arc::clone(&prepared.product));
                    if worker.use_recipe(prepared).is_err() {
                        broken = Some("the inspection takes no other recipe");
                    }
                }
                None => broken = Some("the recipe that was loaded is not the one asked for"),
            },
            Action::Send(message) => send(signal, &message, unsent, recorder),
            Action::Judged(result) => judged = Some(result),
            Action::Uninspected { part, reason } => recorder.put(Record::Uninspected { part, reason, at: now }),
            Action::Settled { part, outcome } => {
                recorder.put(Record::Settled { part, outcome, at: now });
            }
            Action::Error(code) => {
                // What stopped the box is what has to be done something about, not the parts that it misses since.
                if !(stood && code == ErrorCode::MissedTrigger) {
                    *last_error = Some((code, now));
                }
                if code == ErrorCode::RecipeFailed && product.is_none() {
                    *again = Some(*asked);
                }
                recorder.put(Record::Error { code, at: now });
            }
            Action::Alive(state) => {
                // Without a picture there is nothing to live for, unless a person is waited for.
                if fresh || (!hangs && matches!(state, State::Error | State::Halted)) {
                    watchdog.alive(state);
                }
            }
        });
        self.show(outputs, now, due);
        if let Some(number) = self.again.filter(|_| stood && self.station.state() == State::Initialized) {
            self.feed(StationInput::ChangeRecipe(number), now, outputs);
        }
        if let Some(result) = judged {
            self.last_result = Some(result);
            let at = clock::now();
            let finished = self.inspected.take().filter(|inspected| inspected.part() == result.part());
            self.publish(result, finished, now, at);
        }
        if let Some(reason) = broken {
            self.recorder.notice(reason.to_owned());
            self.feed(StationInput::Fail(ErrorCode::Internal), now, outputs);
        }
    }

    /// Sets the lines where they changed.
    fn show(&mut self, outputs: &mut dyn Outputs, now: Micros, due: Option<Micros>) {
        let levels = self.station.levels();
        if self.levels == Some(levels) {
            return;
        }
        let gate = |levels: Levels| levels.get(OutputLine::Gate);
        let due = due.filter(|due| *due <= now && gate(levels) && !self.levels.is_none_or(gate));
        match outputs.set(levels) {
            Ok(()) => {
                self.levels = Some(levels);
                self.lines_failed = false;
                if let Some(due) = due {
                    self.pulse.add(clock::now().saturating_sub(due));
                }
            }
            Err(error) if !self.lines_failed => {
                self.lines_failed = true;
                self.note(&error);
                self.feed(StationInput::Fail(ErrorCode::LineFault), now, outputs);
            }
            Err(_) => {}
        }
    }
}

fn send(signal: &mut Option<Box<dyn Signal>>, message: &Message, unsent: &mut u64, recorder: &mut Recorder) {
    if let Some(signal) = signal
        && let Err(error) = signal.send(message)
    {
        *unsent += 1;
        if *unsent == 1 {
            recorder.notice(error.to_string());
        }
    }
}
