//! The memory of an evaluation does not grow with its pixels.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use cap::Cap;
use mudenet_edge::metric::{PixelSweep, Truth};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const SIDE: usize = 256;

/// Most memory that the program has held so far, in bytes, after it took `images` images and gave their figures.
fn peak(images: u32) -> f64 {
    let sweep = PixelSweep::with_memory(2, 1 << 20);
    let mut state = 1_u32;
    for image in 0..images {
        let noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32
        };
        let scores: Vec<f32> = (0..SIDE * SIDE).map(noise).collect();
        let mask: Vec<bool> = (0..SIDE * SIDE).map(|pixel| pixel / SIDE < 8).collect();
        let (kind, truth) = if image % 2 == 0 { (0, Truth::Good) } else { (1, Truth::Mask(&mask)) };
        sweep.add(kind, &scores, SIDE, truth).unwrap();
    }
    let (figures, _) = sweep.finish().unwrap();
    assert!((figures.auroc.unwrap() - 0.5).abs() < 0.01, "noise tells nothing: {:?}", figures.auroc);
    ALLOCATOR.max_allocated() as f64
}

#[test]
fn each_further_image_takes_a_small_part_of_its_scores() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (few, many) = one.install(|| (peak(60), peak(240)));
    let each = (many - few) / 180.0;
    let scores = (SIDE * SIDE * size_of::<f32>()) as f64;
    assert!(each < scores / 16.0, "{each} of {scores} bytes an image ({few} at 60, {many} at 240)");
    // The budget, one image while it is packed, one part while it is sorted.
    assert!(many < 8e6, "{many}");
}
