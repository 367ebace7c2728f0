//! What a line records → the journal of its box.

use super::line::{Finished, Product, Record, RecordSink};
use super::{now, wall_clock};
use crate::capture::Look;
use crate::decide::Verdict;
use crate::record::journal::{Context, Journal, Latency, Part};
use mudenet_board::Micros;
use mudenet_board::gate::Reason;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

type Tell = Box<dyn FnMut(String) + Send>;

/// Writes every part down: those that were inspected, and as faults those that were not.
pub struct JournalSink {
    journal: Journal,
    tell: Tell,
    /// Losses that were told.
    told: u64,
    /// Of the part before.
    product: Option<Arc<Product>>,
    context: Arc<Context>,
}

impl JournalSink {
    /// A sink that keeps `journal`; `tell` is told when something could not be kept, at the first loss and whenever their
    /// number has doubled.
    pub fn new(journal: Journal, tell: impl FnMut(String) + Send + 'static) -> Self {
        Self { journal, tell: Box::new(tell), told: 0, product: None, context: Arc::default() }
    }

    fn tell_losses(&mut self) {
        let status = self.journal.status();
        let (lines, pictures) =
            (status.lines_dropped + status.lines_failed, status.pictures_dropped + status.pictures_failed);
        if lines + pictures >= (2 * self.told).max(1) {
            self.told = lines + pictures;
            let why = status.last_error.unwrap_or_else(|| "the disk is too slow".to_owned());
            (self.tell)(format!("record: {lines} parts and {pictures} pictures could not be kept: {why}"));
        }
    }

    fn take_product(&mut self, product: Option<&Arc<Product>>) {
        let Some(product) = product else { return };
        if self.product.as_ref() != Some(product) {
            self.context = Arc::new(Context {
                recipe: product.name.clone(),
                model: product.model.clone(),
                zones: product.zones.clone(),
            });
            self.product = Some(Arc::clone(product));
        }
    }

    fn part(&self, id: u32, triggered: Micros, verdict: Verdict) -> Part {
        Part {
            id,
            time: wall_clock_of(triggered),
            verdict,
            score: None,
            zone: None,
            areas: vec![],
            threshold: self.product.as_ref().map_or(0.0, |product| product.threshold),
            context: Arc::clone(&self.context),
            latency: Latency::default(),
            look: None,
            frame: None,
            map: None,
            error: None,
        }
    }

    fn finished(&self, finished: &Finished) -> Part {
        let frame = finished.view();
        let inspection = finished.inspection.as_ref();
        let spent = |time: Micros| (time > 0).then(|| Duration::from_micros(time));
        Part {
            score: inspection.map(|inspection| inspection.score),
            zone: inspection.and_then(|inspection| inspection.zone.clone()),
            areas: inspection.map(|inspection| inspection.areas.clone()).unwrap_or_default(),
            latency: Latency {
                capture: spent(finished.capture),
                inspect: spent(finished.inspect),
                total: spent(finished.took),
            },
            look: frame.as_deref().map(Look::at),
            frame,
            map: inspection.map(|inspection| Arc::new(inspection.map.clone())),
            error: finished.error.clone(),
            ..self.part(finished.part, finished.triggered, finished.verdict)
        }
    }
}

impl RecordSink for JournalSink {
    fn put(&mut self, record: &Record) {
        let part = match record {
            Record::Part(finished) => {
                self.take_product(finished.product.as_ref());
                self.finished(finished)
            }
            Record::Uninspected { part, reason, at } => {
                let error = match reason {
                    Reason::Missed => "the trigger came while the box was not ready",
                    _ => "nobody saw the part: a trigger edge was lost",
                };
                Part { error: Some(error.to_owned()), ..self.part(*part, *at, Verdict::Fault) }
            }
            Record::Settled { .. } | Record::Error { .. } | Record::Notice { .. } => return,
        };
        self.journal.record(part);
        self.tell_losses();
    }
}

/// The wall clock's time when [`now`]'s clock showed `at`.
pub fn wall_clock_of(at: Micros) -> SystemTime {
    let wall = wall_clock();
    wall.checked_sub(Duration::from_micros(now().saturating_sub(at))).unwrap_or(wall)
}
