//! Decisions and the first threshold.

use mudenet_edge::decide::{Verdict, decide, provisional};
use mudenet_edge::map::{Branch, ImageScore};

fn score(value: f32) -> ImageScore {
    ImageScore { value, row: 0, column: 0, branch: Branch::Structural, level: 1 }
}

#[test]
fn only_a_finite_score_at_or_below_a_finite_threshold_is_accepted() {
    assert_eq!(decide(&score(1.0), 1.0), Verdict::Accept);
    assert_eq!(decide(&score(-3.0), 1.0), Verdict::Accept);
    assert_eq!(decide(&score(1.000_000_1), 1.0), Verdict::Reject);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(decide(&score(bad), 1.0), Verdict::Fault);
        assert_eq!(decide(&score(0.0), bad), Verdict::Fault);
    }
}

#[test]
fn the_first_threshold_lies_half_the_upper_spread_above_the_largest_score() {
    let threshold = provisional(&[3.0, 1.0, 2.0, 5.0, 4.0]).unwrap();
    assert_eq!((threshold.value, threshold.good_parts), (6.0, 5));
    // It follows scale and offset of the scores.
    let moved = provisional(&[13.0, 7.0, 10.0, 19.0, 16.0]).unwrap();
    assert_eq!(moved.value, 3.0 * 6.0 + 4.0);
    assert!(provisional(&[]).is_none());
    assert!(provisional(&[f32::NAN]).is_none());
}
