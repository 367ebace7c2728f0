//! Frames through the whole path, timed stage by stage.

use super::now;
use super::statistics::median;
use anyhow::bail;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::decode_bytes;
use mudenet_edge::decide::decide;
use mudenet_edge::infer::{Scorer, TractScorer};
use mudenet_edge::signal::{LogSignal, Message, PartResult, Signal};
use mudenet_edge::threads;
use rayon::ThreadPool;
use std::sync::Arc;
use std::time::Duration;

/// The stages, in the order of [`Path::frame`]'s times.
pub(super) const STAGES: [&str; 7] = ["capture", "decode", "resize", "infer", "map", "decide", "signal"];
/// Longest time for warming up.
const WARM_UP: Duration = Duration::from_secs(20);
/// Frames whose median is compared while warming up.
const WINDOW: usize = 5;
/// Largest change of that median once warm, as a share.
const WARM: f64 = 0.02;

/// A frame's way from an encoded picture to a sent verdict. The camera is memory and the signal goes nowhere: devices
/// are not measured.
pub(super) struct Path {
    bundle: Arc<Bundle>,
    picture: Arc<Vec<u8>>,
    scorer: TractScorer,
    pool: ThreadPool,
    signal: LogSignal<std::io::Sink>,
}

impl Path {
    /// Prepares `bundle` for `threads` threads of each stream.
    pub(super) fn new(
        bundle: Arc<Bundle>,
        picture: Arc<Vec<u8>>,
        threads: usize,
        stream: usize,
    ) -> anyhow::Result<Self> {
        let pool = threads::pool(threads, stream)?;
        let scorer = pool.install(|| TractScorer::new(&*bundle))?;
        Ok(Self { bundle, picture, scorer, pool, signal: LogSignal::new(std::io::sink()) })
    }

    pub(super) fn scorer(&self) -> &TractScorer {
        &self.scorer
    }

    /// Inspects the picture; the milliseconds of each stage.
    pub(super) fn frame(&mut self) -> anyhow::Result<[f64; STAGES.len()]> {
        let meta = self.bundle.meta();
        let mut marks = [Duration::ZERO; STAGES.len() + 1];
        let mut stage = 0;
        let mut mark = || {
            marks[stage] = now();
            stage += 1;
        };
        mark();
        let picture = self.picture.to_vec();
        mark();
        let frame = decode_bytes(&picture).map_err(anyhow::Error::msg)?;
        mark();
        let input = meta.preprocess.apply(&frame)?;
        mark();
        let scores = self.pool.install(|| self.scorer.score(&input))?;
        mark();
        let (map, score) = meta.scoring.apply(&scores, meta.preprocess.height, meta.preprocess.width)?;
        mark();
        let verdict = decide(&score, meta.threshold.value);
        mark();
        self.signal.send(&Message::Result(PartResult::new(1, verdict, score.value, 1)))?;
        std::hint::black_box(map);
        mark();
        let mut times = [0.0; STAGES.len()];
        for (time, pair) in times.iter_mut().zip(marks.windows(2)) {
            *time = 1e3 * (pair[1] - pair[0]).as_secs_f64();
        }
        Ok(times)
    }

    /// Runs frames until they take equally long; how many, or an error for a picture that cannot be inspected.
    pub(super) fn warm_up(&mut self) -> anyhow::Result<(usize, bool)> {
        let (start, mut frames, mut before) = (now(), 0, f64::INFINITY);
        while now() - start < WARM_UP {
            let mut window = Vec::new();
            for _ in 0..WINDOW {
                window.push(self.frame()?.iter().sum());
            }
            frames += WINDOW;
            let median = median(&window);
            if (median / before - 1.0).abs() <= WARM {
                return Ok((frames, true));
            }
            before = median;
        }
        Ok((frames, false))
    }
}

/// Frames until both `frames` were timed and `time` is over; `stop` ends the run with an error.
pub(super) fn frames(
    path: &mut Path,
    frames: usize,
    time: Duration,
    stop: &dyn Fn() -> bool,
) -> anyhow::Result<Vec<[f64; STAGES.len()]>> {
    let (start, mut times) = (now(), Vec::new());
    while times.len() < frames || now() - start < time {
        if stop() {
            bail!("interrupted after {} frames", times.len());
        }
        times.push(path.frame()?);
    }
    Ok(times)
}
