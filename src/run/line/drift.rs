//! Whether good parts still look as they did at calibration, asked beside the running line: in the record's thread.

use super::Product;
use super::inbox::Handle;
use super::record::{Finished, Record};
use crate::capture::Look;
use crate::decide::Verdict;
use crate::decide::drift::{Advice, Limits, Monitor, Sample};
use std::sync::Arc;

/// Watches the accepted parts of one recipe after the other.
pub(super) struct DriftWatch {
    /// Parts between two looks.
    window: usize,
    handle: Handle,
    /// Of the part before.
    product: Option<Arc<Product>>,
    /// `None` where the product was not calibrated, or on too few parts.
    monitor: Option<Monitor>,
}

impl DriftWatch {
    pub(super) fn new(window: usize, handle: Handle) -> Self {
        Self { window, handle, product: None, monitor: None }
    }

    /// Takes what was recorded; tells the line where good parts have changed.
    pub(super) fn see(&mut self, record: &Record) {
        let Record::Part(part) = record else { return };
        let Some(product) = &part.product else { return };
        if self.product.as_ref() != Some(product) {
            let baseline = product.baseline.as_deref().cloned().map(|baseline| baseline.accepted(product.threshold));
            self.monitor = baseline.and_then(|baseline| Monitor::new(baseline, Limits::continuous(), self.window).ok());
            self.product = Some(Arc::clone(product));
        }
        let (Some(monitor), Some(sample)) = (&mut self.monitor, sample(part)) else { return };
        if let Some(drift) = monitor.push(sample).filter(|drift| drift.advice > Advice::Stable) {
            self.handle.drifted(format!("drift: {drift}"));
        }
    }
}

fn sample(part: &Finished) -> Option<Sample> {
    if part.verdict != Verdict::Accept {
        return None;
    }
    let look = part.view().map(|view| Look::at(&view));
    Some(Sample {
        score: part.score?,
        brightness: look.map(|look| look.mean),
        sharpness: look.map(|look| look.sharpness),
    })
}
