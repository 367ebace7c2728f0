//! What happens at the line, and what the station is told of it.

use super::inbox::Said;
use super::worker::Inspected;
use super::{AT_ONCE, Finished, Loop, Prepared, Record};
use crate::run::clock;
use crate::run::station::StationInput;
use crate::signal::Outputs;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros};

impl Loop {
    pub(super) fn take(&mut self, said: Said, outputs: &mut dyn Outputs) {
        match said {
            Said::Line { line, level, at, seqno } => {
                self.feed(StationInput::Line { line, level, seqno }, at, outputs);
            }
            Said::Encoder { counts, at } => self.feed(StationInput::Encoder(counts), at, outputs),
            Said::EncoderLost { at } => self.feed(StationInput::EncoderLost, at, outputs),
            Said::Inspected(inspected) => self.inspected(inspected, outputs),
            Said::Camera(Ok(())) => self.fresh(outputs),
            Said::Camera(Err(reason)) => self.lose_camera(&reason, clock::now(), outputs),
            Said::Recipe { number, result } => self.recipe(number, result, outputs),
            Said::Replace(recipes) => {
                self.loader.replace(recipes);
                let number = self.station.recipe().or(self.again).unwrap_or(self.config.recipe);
                self.feed(StationInput::ChangeRecipe(number), clock::now(), outputs);
            }
            Said::ChangeRecipe(number) => self.feed(StationInput::ChangeRecipe(number), clock::now(), outputs),
            Said::Fault { code, reason } => {
                self.recorder.notice(reason);
                self.feed(StationInput::Fail(code), clock::now(), outputs);
            }
            Said::Drifted { reason } => {
                self.recorder.notice(reason);
                self.feed(StationInput::Drifted, clock::now(), outputs);
            }
            Said::Distrust { recipe, reason } => {
                self.recorder.notice(reason);
                if self.station.recipe() == Some(recipe) {
                    self.again = Some(recipe);
                    self.feed(StationInput::Distrust, clock::now(), outputs);
                }
            }
            Said::Stop => {
                let now = clock::now();
                if self.stopping.is_some() {
                    // The second time: at once.
                    self.stopping = Some(0);
                } else {
                    self.stopping = Some(now);
                    self.feed(StationInput::Halt, now, outputs);
                }
            }
            Said::Wake => {}
        }
    }

    /// Takes what the controller said and what failed on the way to it.
    pub(super) fn hear(&mut self, outputs: &mut dyn Outputs) {
        for _ in 0..AT_ONCE {
            match self.signal.as_mut().and_then(|signal| signal.receive()) {
                None => return,
                Some(Ok(message)) => self.feed(StationInput::Command(message), clock::now(), outputs),
                Some(Err(error)) => {
                    self.note(&error);
                    self.feed(StationInput::Report(ErrorCode::LineFault), clock::now(), outputs);
                }
            }
        }
    }

    fn inspected(&mut self, inspected: Inspected, outputs: &mut dyn Outputs) {
        let now = clock::now();
        let result = inspected.result();
        let camera = inspected.camera.as_ref().err().cloned();
        self.inspected = Some(inspected);
        self.part = None;
        self.feed(StationInput::Free, now, outputs);
        self.feed(StationInput::Result(result), now, outputs);
        self.inspected = None;
        match camera {
            None => self.fresh(outputs),
            Some(reason) => self.lose_camera(&reason, now, outputs),
        }
    }

    pub(super) fn publish(&mut self, result: PartResult, inspected: Option<Inspected>, now: Micros, at: Micros) {
        let triggered = match (&inspected, self.part) {
            (Some(inspected), _) => inspected.triggered,
            (None, Some(part)) if part.number == result.part() => part.triggered,
            (None, _) => now,
        };
        let mut finished = Finished::new(result, triggered, at.saturating_sub(triggered));
        if let Some(inspected) = inspected {
            self.overhead.add(finished.took.saturating_sub(inspected.work));
            inspected.fill(&mut finished);
        }
        self.recorder.put(Record::Part(finished));
    }

    fn fresh(&mut self, outputs: &mut dyn Outputs) {
        let now = clock::now();
        self.last_fresh = now;
        if !self.camera {
            self.camera = true;
            self.recorder.notice("the camera delivers".to_owned());
            self.feed(StationInput::Camera(true), now, outputs);
        }
    }

    pub(super) fn lose_camera(&mut self, reason: &str, now: Micros, outputs: &mut dyn Outputs) {
        if self.camera {
            self.camera = false;
            self.recorder.notice(reason.to_owned());
            self.feed(StationInput::Camera(false), now, outputs);
        }
    }

    fn recipe(&mut self, number: u16, result: Result<Box<Prepared>, String>, outputs: &mut dyn Outputs) {
        let ok = match result {
            Ok(prepared) => {
                self.recorder.notice(format!("recipe {number} loaded: {}", prepared.product.name));
                self.loaded = Some(prepared);
                true
            }
            Err(reason) => {
                self.recorder.notice(format!("recipe {number}: {reason}"));
                false
            }
        };
        self.feed(StationInput::RecipeLoaded { number, ok }, clock::now(), outputs);
    }
}
