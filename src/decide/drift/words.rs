//! What was found, in one sentence.

use super::{Advice, Drift, Finding, Quantity};
use std::fmt::{Display, Formatter, Result};

/// The advice, what happened and where to look.
impl Display for Drift {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let changed = self.findings.iter().flatten().filter(|finding| finding.advice > Advice::Stable);
        let causes: Vec<&str> = changed.map(cause).collect();
        match self.advice {
            Advice::Stable => f.write_str("stable: good parts look as they did at calibration"),
            Advice::Watch => write!(f, "watch: {}", causes.join("; ")),
            Advice::Recalibrate => write!(f, "recalibrate: {}", causes.join("; ")),
        }
    }
}

fn cause(finding: &Finding) -> &'static str {
    match (finding.quantity, finding.median_now > finding.median_before) {
        (Quantity::Score, true) => "good parts score higher: more of them are rejected than was promised",
        (Quantity::Score, false) => "good parts score lower: defects may slip through",
        (Quantity::Brightness, true) => "pictures are brighter: look at light, exposure and stray light",
        (Quantity::Brightness, false) => "pictures are darker: look at the lamp, dust and the aperture",
        (Quantity::Sharpness, true) => "pictures are sharper or noisier: look at focus, gain and exposure",
        (Quantity::Sharpness, false) => "pictures are less sharp: look at focus, dirt on the lens, vibration",
    }
}
