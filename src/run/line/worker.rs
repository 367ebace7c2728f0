use super::inbox::{Handle, Said};
use super::loader::Prepared;
use super::{Finished, LineConfig, Product};
use crate::capture::{Camera, CaptureError, Frame};
use crate::decide::Verdict;
use crate::guard::guarded;
use crate::inspector::Inspection;
use crate::run::clock;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Between two looks at an idle camera.
const CHECK: Duration = Duration::from_millis(200);
/// Longest wait for the thread at the end; one that hangs in a driver is left behind.
const GOODBYE: Duration = Duration::from_millis(500);

enum Job {
    Inspect { part: u32, triggered: Micros, until: Micros },
    Use(Box<Prepared>),
}

/// What came of one part.
pub(super) struct Inspected {
    part: u32,
    recipe: u16,
    pub(super) triggered: Micros,
    /// Time in camera and model, µs.
    pub(super) work: Micros,
    /// Of that, in the camera.
    capture: Micros,
    /// Whether the camera gave a picture.
    pub(super) camera: Result<(), String>,
    score: f32,
    verdict: Verdict,
    error: Option<String>,
    inspection: Option<Inspection>,
    frame: Option<Frame>,
    product: Option<Arc<Product>>,
}

impl Inspected {
    pub(super) fn part(&self) -> u32 {
        self.part
    }

    pub(super) fn result(&self) -> PartResult {
        PartResult::new(self.part, self.verdict, self.score, self.recipe)
    }

    pub(super) fn fill(self, finished: &mut Finished) {
        finished.capture = self.capture;
        finished.inspect = self.work.saturating_sub(self.capture);
        finished.error = self.error;
        finished.inspection = self.inspection.map(Arc::new);
        finished.frame = self.frame.map(Arc::new);
        finished.product = self.product;
    }
}

/// The job was not taken.
pub(super) struct Busy;

/// The thread that owns camera and model.
pub(super) struct Worker {
    jobs: SyncSender<Job>,
    ended: Receiver<()>,
}

impl Worker {
    pub(super) fn start(camera: Box<dyn Camera>, config: LineConfig, handle: Handle) -> Self {
        let (jobs, receiver) = sync_channel(4);
        let (end, ended) = sync_channel(1);
        let mut inspection = Inspecting { camera, config, recipe: None };
        spawn(move || {
            if let Err(panicked) = guarded(|| inspection.serve(&receiver, &handle)) {
                handle.fault(ErrorCode::Internal, format!("the inspection ended: {panicked}"));
            }
            let _ = end.try_send(());
        });
        Self { jobs, ended }
    }

    pub(super) fn inspect(&self, part: u32, triggered: Micros, until: Micros) -> Result<(), Busy> {
        self.jobs.try_send(Job::Inspect { part, triggered, until }).map_err(|_| Busy)
    }

    pub(super) fn use_recipe(&self, recipe: Box<Prepared>) -> Result<(), Busy> {
        self.jobs.try_send(Job::Use(recipe)).map_err(|_| Busy)
    }

    pub(super) fn stop(self) {
        drop(self.jobs);
        let _ = self.ended.recv_timeout(GOODBYE);
    }
}

struct Inspecting {
    camera: Box<dyn Camera>,
    config: LineConfig,
    recipe: Option<Box<Prepared>>,
}

impl Inspecting {
    fn serve(&mut self, jobs: &Receiver<Job>, handle: &Handle) {
        // Before anything else: without it the box is not ready.
        let mut go_on = handle.say(Said::Camera(self.check()));
        while go_on {
            go_on = match jobs.recv_timeout(CHECK) {
                Ok(Job::Use(recipe)) => {
                    self.recipe = Some(recipe);
                    true
                }
                Ok(Job::Inspect { part, triggered, until }) => {
                    handle.say(Said::Inspected(self.inspect(part, triggered, until)))
                }
                Err(RecvTimeoutError::Timeout) => handle.say(Said::Camera(self.check())),
                Err(RecvTimeoutError::Disconnected) => false,
            };
        }
    }

    fn check(&mut self) -> Result<(), String> {
        match guarded(|| self.camera.check()) {
            Ok(checked) => checked.map_err(|error| error.to_string()),
            Err(panicked) => Err(panicked.to_string()),
        }
    }

    fn inspect(&mut self, part: u32, triggered: Micros, until: Micros) -> Inspected {
        let wait = triggered.saturating_add(self.config.trigger_delay).saturating_sub(clock::now());
        if wait > 0 {
            sleep(Duration::from_micros(wait));
        }
        let start = clock::now();
        let left = Duration::from_micros(self.config.capture_timeout.min(until.saturating_sub(start)));
        let frame = match guarded(|| self.camera.trigger(left)) {
            Ok(Ok(frame)) => Ok(frame),
            // A picture that is not to be inspected came from a camera that delivers.
            Ok(Err(CaptureError::Picture { reason, .. })) => Err((reason, true)),
            Ok(Err(error)) => Err((error.to_string(), false)),
            Err(panicked) => Err((panicked.to_string(), false)),
        };
        let captured = clock::now();
        let capture = captured.saturating_sub(start);
        let mut inspected = Inspected {
            part,
            recipe: self.recipe.as_ref().map_or(0, |recipe| recipe.product.number),
            triggered,
            work: capture,
            capture,
            camera: Ok(()),
            score: f32::NAN,
            verdict: Verdict::Fault,
            error: None,
            inspection: None,
            frame: None,
            product: self.recipe.as_ref().map(|recipe| Arc::clone(&recipe.product)),
        };
        match frame {
            Err((reason, delivers)) => {
                if !delivers {
                    inspected.camera = Err(reason.clone());
                }
                inspected.error = Some(reason);
            }
            Ok(frame) if captured >= until => {
                inspected.error = Some("the picture came too late to be inspected".to_owned());
                inspected.frame = Some(frame);
            }
            Ok(frame) => self.judge(frame, &mut inspected),
        }
        inspected.work = clock::now().saturating_sub(start);
        inspected
    }

    fn judge(&mut self, frame: Frame, inspected: &mut Inspected) {
        let Some(recipe) = &mut self.recipe else {
            inspected.error = Some("no recipe is in use".to_owned());
            return;
        };
        match recipe.pipeline.inspect(&frame).result {
            Err(fault) => inspected.error = Some(fault.to_string()),
            Ok(inspection) => {
                inspected.score = inspection.score.value;
                inspected.verdict = inspection.verdict;
                inspected.inspection = Some(inspection);
            }
        }
        if inspected.verdict == Verdict::Accept && !self.config.record_accepted {
            inspected.inspection = None;
            self.camera.recycle(frame);
        } else {
            inspected.frame = Some(frame);
        }
    }
}
