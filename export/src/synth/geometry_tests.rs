use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The least distance from `q` to the points where `field` changes sign along a fine grid, with the field's sign.
fn measured(field: impl Fn(P) -> f32, q: P) -> f32 {
    let step = 0.02;
    let inside = |x: i32, y: i32| field(p(x as f32 * step, y as f32 * step)) < 0.0;
    let mut best = f32::MAX;
    for y in -400..400 {
        for x in -400..400 {
            let here = inside(x, y);
            if here != inside(x + 1, y) || here != inside(x, y + 1) {
                best = best.min((q - p(x as f32 * step, y as f32 * step)).length());
            }
        }
    }
    if field(q) < 0.0 { -best } else { best }
}

#[test]
fn distances_are_those_to_the_outline() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    type Field = (&'static str, fn(P) -> f32);
    let fields: [Field; 3] = [
        ("slab", |q| slab(q, p(5.0, 3.0), 1.0)),
        ("hexagon", |q| hexagon(q, 4.0)),
        ("segment", |q| segment(q, p(-3.0, -1.0), p(4.0, 2.0)).0 - 1.0),
    ];
    for (name, field) in fields {
        for _ in 0..12 {
            let q = p(rng.random_range(-7.0..7.0), rng.random_range(-7.0..7.0));
            let (claimed, found) = (field(q), measured(field, q));
            assert!((claimed - found).abs() < 0.04, "{name} at {q:?}: {claimed}, measured {found}");
        }
    }
}

#[test]
fn a_gear_has_its_teeth() {
    let around = |r: f32| (0..4000).map(move |n| gear(P::polar(n as f32 / 4000.0 * TAU, r), 20.0, 10.0, 12.0) < 0.0);
    let steps = |r| around(r).zip(around(r).skip(1)).filter(|(a, b)| a != b).count();
    assert_eq!(steps(11.0), 40, "two flanks a tooth");
    assert!(around(9.8).all(|inside| inside) && !around(12.1).any(|inside| inside));
}

#[test]
fn a_pose_moves_its_origin_and_keeps_lengths() {
    let pose = Pose::new(p(3.0, -2.0), 0.7);
    assert!(pose.local(p(3.0, -2.0)).length() < 1e-6);
    let (a, b) = (p(1.0, 5.0), p(-4.0, 0.5));
    assert!(((pose.local(a) - pose.local(b)).length() - (a - b).length()).abs() < 1e-5);
    // A point one to the right of a body turned by a quarter lies at its far side from +y.
    let q = Pose::new(p(0.0, 0.0), degrees(90.0)).local(p(1.0, 0.0));
    assert!((q - p(0.0, -1.0)).length() < 1e-6);
}

#[test]
fn noise_is_bounded_centred_and_continuous() {
    let mut sum = 0.0;
    for n in 0..20_000 {
        let q = p(n as f32 * 0.37 - 3000.0, n as f32 * 0.11 - 900.0);
        let (here, beside) = (noise(q, 5), noise(q + p(0.002, 0.0), 5));
        assert!(here.abs() <= 1.0);
        assert!((here - beside).abs() < 0.02, "jumps from {here} to {beside} at {q:?}");
        sum += here;
    }
    assert!((sum / 20_000.0).abs() < 0.05);
}
