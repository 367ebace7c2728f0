//! A cascade gives the verdicts of the full run.
#![allow(clippy::expect_used, reason = "a test stops where it fails")]

#[path = "common/model.rs"]
mod model;

use model::{Network, Random};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{Frame, Samples, decode};
use mudenet_edge::decide::{Verdict, decide};
use mudenet_edge::inspector::{Inspection, Inspector};
use mudenet_edge::map::{Mask, RangeObserver, RangeStatistic, Zone, Zones};
use std::num::NonZeroUsize;

const SIDE: usize = 64;

/// Pictures from even to restless, so that the branches' shares of a score differ.
fn frames() -> Vec<Frame> {
    let picture = |seed: u64| {
        let mut random = Random::new(seed);
        let contrast = 8.0 * (1 + seed % 12) as f32;
        let sample = |_| (128.0 + random.uniform(contrast)) as u8;
        Frame::new(SIDE, SIDE, Samples::Rgb8((0..3 * SIDE * SIDE).map(sample).collect())).expect("a frame")
    };
    (0..12).map(picture).collect()
}

/// A bundle whose ranges are those of some of the pictures.
fn bundle(frames: &[Frame], clamp: bool) -> Bundle {
    let plain = model::bundle(Network { width: 16, rows: SIDE, columns: SIDE, seed: 11 });
    let mut inspector = Inspector::new(&plain).expect("the bundle loads");
    let mut meta = plain.meta().clone();
    let mut observer = RangeObserver::new(meta.scoring.margin, RangeStatistic::MinMax);
    for frame in frames.iter().step_by(3) {
        observer.observe(&inspector.level_scores(frame).expect("scores")).expect("ranges");
    }
    meta.scoring.ranges = observer.finish().expect("ranges");
    meta.scoring.clamp = clamp;
    Bundle::assemble(plain.graph().clone(), &meta).expect("a bundle")
}

#[test]
fn verdicts_are_those_of_the_full_run() {
    let frames = frames();
    let half: Vec<u8> = (0..3 * SIDE * SIDE).map(|i| if i % (3 * SIDE) < 3 * SIDE / 2 { 255 } else { 0 }).collect();
    let half = Frame::new(SIDE, SIDE, Samples::Rgb8(half)).expect("a frame");
    for clamp in [false, true] {
        let bundle = bundle(&frames, clamp);
        let mut settled = [0; 2];
        for mask in [None, Some(Mask::from_picture(&half, SIDE, SIDE))] {
            let with_mask = |inspector: Inspector| match &mask {
                Some(mask) => inspector.with_mask(mask.clone()),
                None => inspector,
            };
            let mut full = with_mask(Inspector::new(&bundle).expect("the bundle loads"));
            let whole: Vec<Inspection> = frames.iter().map(|f| full.inspect(f).expect("full")).collect();
            let scores: Vec<f32> = whole.iter().map(|all| all.score.value).collect();
            let (least, most) = scores.iter().fold((f32::MAX, f32::MIN), |(l, m), s| (l.min(*s), m.max(*s)));
            // Thresholds from below all scores to above them, and scores themselves.
            let between = (-2..=12).map(|i| least + (most - least) * i as f32 / 10.0);
            let mut cascade = with_mask(Inspector::cascaded(&bundle).expect("the bundle loads"));
            for threshold in between.chain(scores.iter().copied().step_by(5)) {
                cascade = cascade.with_threshold(threshold);
                for (frame, all) in frames.iter().zip(&whole) {
                    let all = Inspection { verdict: decide(&all.score, threshold), ..all.clone() };
                    let some = cascade.inspect(frame).expect("cascade");
                    assert_eq!(some.verdict, all.verdict, "clamp {clamp}, threshold {threshold}: {:?}", all.score);
                    if some == all {
                        continue;
                    }
                    // What was left out is a bound on the same side.
                    let pixels = some.map.0.values.iter().zip(&all.map.0.values);
                    if all.verdict == Verdict::Reject {
                        settled[0] += 1;
                        assert!(pixels.into_iter().all(|(bound, value)| bound <= value));
                    } else {
                        settled[1] += 1;
                        assert!(clamp && pixels.into_iter().all(|(bound, value)| bound >= value));
                    }
                }
            }
        }
        assert!(settled[0] > 0 && (settled[1] > 0) == clamp, "clamp {clamp}: {settled:?} were settled early");
    }
}

#[test]
fn zones_and_means_of_the_largest_pixels_are_judged_alike() {
    let frames: Vec<Frame> = frames().into_iter().step_by(3).collect();
    for clamp in [false, true] {
        for (top, has_zones) in [(25, false), (1, true), (25, true)] {
            let ranged = bundle(&frames, clamp);
            let mut meta = ranged.meta().clone();
            meta.scoring.top = NonZeroUsize::new(top).expect("at least 1");
            let bundle = Bundle::assemble(ranged.graph().clone(), &meta).expect("a bundle");
            let mut full = Inspector::new(&bundle).expect("the bundle loads");
            let mut cascade = Inspector::cascaded(&bundle).expect("the bundle loads");
            let scores: Vec<f32> = frames.iter().map(|f| full.inspect(f).expect("full").score.value).collect();
            let (least, most) = scores.iter().fold((f32::MAX, f32::MIN), |(l, m), s| (l.min(*s), m.max(*s)));
            let at = |share: f32| least + (most - least) * share;
            if has_zones {
                let zone = |name: &str, area, share| Zone { name: name.into(), area, threshold: at(share) };
                let zones = vec![zone("left", [0, 0, 20, SIDE], 0.4), zone("corner", [40, 40, 24, 24], 1.1)];
                let zones = Zones::new(zones).expect("zones");
                full = full.with_zones(zones.clone());
                cascade = cascade.with_zones(zones);
            }
            let mut settled = 0;
            for threshold in [-0.2, 0.1, 0.5, 0.9, 1.2].map(at) {
                full = full.with_threshold(threshold);
                cascade = cascade.with_threshold(threshold);
                for frame in &frames {
                    let all = full.inspect(frame).expect("full");
                    let some = cascade.inspect(frame).expect("cascade");
                    let name = format!("clamp {clamp}, top {top}, zones {has_zones}, threshold {threshold}");
                    assert_eq!(some.verdict, all.verdict, "{name}: {:?}", all.score);
                    settled += usize::from(some != all);
                }
            }
            assert!(settled > 0, "clamp {clamp}, top {top}, zones {has_zones}: nothing was left out");
        }
    }
}

#[test]
fn a_picture_that_does_not_fit_is_an_error_in_both() {
    let bundle = bundle(&frames(), false);
    let narrow = Frame::new(20, 16, Samples::Rgb8(vec![9; 3 * 20 * 16])).expect("a frame");
    let region = mudenet_edge::capture::Region::new(0, 0, 400, 400).expect("a region");
    for inspector in [Inspector::new(&bundle), Inspector::cascaded(&bundle)] {
        let mut inspector = inspector.expect("the bundle loads").with_region(region);
        assert!(inspector.inspect(&narrow).is_err(), "the region is not on the frame");
    }
}

#[test]
fn the_demo_is_judged_alike() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let bundle = Bundle::load(&folder.join("tray.onnx")).expect("the demo's model");
    let mut full = Inspector::new(&bundle).expect("the bundle loads");
    let mut cascade = Inspector::cascaded(&bundle).expect("the bundle loads");
    let own = full.threshold();
    let mut pictures = 0;
    for entry in std::fs::read_dir(&folder).expect("the demo's folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "png") {
            continue;
        }
        pictures += 1;
        let frame = decode(&path).expect("a picture");
        let score = full.inspect(&frame).expect("a score").score.value;
        for threshold in [own, score, 0.999 * score, 0.5 * score, 0.1 * score] {
            full = full.with_threshold(threshold);
            cascade = cascade.with_threshold(threshold);
            let expected = full.inspect(&frame).expect("full").verdict;
            assert_eq!(cascade.inspect(&frame).expect("cascade").verdict, expected, "{}, {threshold}", path.display());
        }
    }
    assert!(pictures >= 5, "{pictures} pictures");
}
