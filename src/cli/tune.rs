//! `--tune`.

use mudenet_edge::infer::{PlanSource, TractScorer, Tuner};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The plan of a model, measured.
#[derive(clap::Args)]
pub(super) struct Tune {
    /// Measure for about a second which way to compute each layer is fastest on this machine, and remember it in the user's
    /// cache folder ($CACHE_DIRECTORY, else $XDG_CACHE_HOME/mudenet-edge, else ~/.cache/mudenet-edge) for this model,
    /// processor, number of threads and version
    #[arg(long)]
    tune: bool,
}

impl Tune {
    /// Has every model that is loaded from now on tuned where that was asked for.
    pub(super) fn install(&self) {
        if self.tune {
            Tuner::new(now, Tuner::default_folder()).install();
        }
    }
}

/// `fused, avx512`, and where the plan is measured, so much.
pub(super) fn engine(scorer: &TractScorer) -> String {
    let source = match scorer.plan_source() {
        PlanSource::Estimated => "",
        PlanSource::Measured => ", measured",
        PlanSource::Remembered => ", measured earlier",
    };
    format!("{}{source}", scorer.engine())
}

/// Time since the first call.
#[expect(clippy::disallowed_methods, reason = "a plan is measured before anything is inspected")]
fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
