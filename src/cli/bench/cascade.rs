//! A cascade where it leaves out the logical branch, and where it does not.

use super::now;
use super::report::Cascade;
use super::statistics::median;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::decode_bytes;
use mudenet_edge::infer::{Engine, Scorer, TractScorer};
use mudenet_edge::threads;

/// Frames of each kind.
const FRAMES: usize = 20;

/// Times the networks of `bundle` on `threads` threads, both kinds of frames in turn.
pub(super) fn measure(bundle: &Bundle, picture: &[u8], threads: usize) -> anyhow::Result<Cascade> {
    let pool = threads::pool(threads, 0)?;
    let engine = Engine::from_environment()?;
    let mut scorer = pool.install(|| TractScorer::cascaded(bundle, engine))?;
    let input = bundle.meta().preprocess.apply(&decode_bytes(picture).map_err(anyhow::Error::msg)?)?;
    let mut times = [Vec::new(), Vec::new()];
    // The first frame pays for memory that later ones find in place.
    for frame in 0..=FRAMES {
        for (settled, times) in [true, false].into_iter().zip(&mut times) {
            let start = now();
            std::hint::black_box(pool.install(|| scorer.score_until(&input, &mut |_| settled))?);
            if frame > 0 {
                times.push(1e3 * (now() - start).as_secs_f64());
            }
        }
    }
    Ok(Cascade { settled_ms: median(&times[0]), whole_ms: median(&times[1]) })
}
