use super::*;
use camera::tone;
use std::collections::HashMap;

const PRODUCTS: [Product; 3] = [Product::Tray, Product::Blister, Product::Kit];
const BAD: [Set; 2] = [Set::Logical, Set::Structural];

fn shot(product: Product, set: Set, index: u32, size: u32) -> Shot {
    Shot { product, seed: 7, set, index, size }
}

/// Two rounds of every kind of defect of every product.
fn defective(size: u32) -> impl Iterator<Item = Shot> {
    let sets = PRODUCTS.into_iter().flat_map(|product| BAD.map(|set| (product, set)));
    sets.flat_map(move |(product, set)| (0..10).map(move |index| shot(product, set, index, size)))
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for set in [Set::Train, Set::Logical, Set::Structural] {
        let one = shot(Product::Tray, set, 3, 96);
        let (a, b) = (one.take(), one.take());
        assert_eq!(a.image, b.image);
        assert_eq!(a.mask, b.mask);
        let other = Shot { seed: 8, ..one }.take();
        assert_ne!(a.image, other.image, "{set:?}: another seed gives the same picture");
    }
}

#[test]
fn every_set_and_index_shows_another_unit() {
    let mut seen = HashMap::new();
    for set in [Set::Train, Set::Validation, Set::TestGood, Set::Logical, Set::Structural] {
        for index in 0..3 {
            let image = shot(Product::Blister, set, index, 64).take().image;
            if let Some(other) = seen.insert(image.into_raw(), (set, index)) {
                panic!("{other:?} and {:?} are the same picture", (set, index));
            }
        }
    }
}

#[test]
fn kinds_of_defects_take_turns() {
    for (set, kinds) in [(Set::Logical, &Defect::LOGICAL[..]), (Set::Structural, &Defect::STRUCTURAL[..])] {
        for (index, kind) in kinds.iter().cycle().take(12).enumerate() {
            assert_eq!(shot(Product::Tray, set, index as u32, 64).defect(), Some(*kind));
        }
    }
}

#[test]
fn good_products_have_no_mask_and_defective_ones_have_their_value() {
    for product in PRODUCTS {
        assert!(shot(product, Set::TestGood, 0, 64).take().mask.is_none());
    }
    for shot in defective(128) {
        let photo = shot.take();
        let mask = photo.mask.unwrap_or_default();
        assert_eq!(mask.dimensions(), photo.image.dimensions());
        let value = shot.defect().map(|d| d.entry().pixel_value);
        let covered = mask.pixels().filter(|p| p.0[0] != 0).count();
        assert!(mask.pixels().all(|p| p.0[0] == 0 || Some(p.0[0]) == value), "{shot:?}");
        let share = covered as f64 / mask.pixels().len() as f64;
        assert!((0.0003..0.09).contains(&share), "{shot:?}: the mask covers {share} of the picture");
    }
}

#[test]
fn without_shadows_nothing_changes_outside_the_mask() {
    for shot in defective(144) {
        let mut staged = shot.stage();
        staged.good.shadows = false;
        if let Some(defective) = staged.defective.as_mut() {
            defective.shadows = false;
        }
        let before = render(&staged.good, shot.size);
        let (after, touched) = staged.expose(shot.size);
        for (n, (b, a)) in before.light.iter().zip(&after.light).enumerate() {
            assert!(b == a || touched[n], "{shot:?}: pixel {n} changed from {b:?} to {a:?} outside the mask");
        }
        let changed = before.light.iter().zip(&after.light).filter(|(b, a)| b != a).count();
        let covered = touched.iter().filter(|t| **t).count();
        assert!(changed * 10 >= covered * 8, "{shot:?}: only {changed} of {covered} pixels of the mask changed");
    }
}

#[test]
fn only_shadows_of_what_moved_reach_beyond_the_mask() {
    for shot in defective(144) {
        let staged = shot.stage();
        let before = render(&staged.good, shot.size);
        let (after, touched) = staged.expose(shot.size);
        let size = shot.size as i64;
        // A shadow is as long as its part is high, 5 scene units at most, and its edge is soft.
        let reach = (8.0 * shot.size as f32 / render::FIELD).ceil() as i64;
        let near = |n: i64| {
            let (x, y) = (n % size, n / size);
            let span = |c: i64| (c - reach).max(0)..(c + reach + 1).min(size);
            span(y).any(|v| span(x).any(|u| touched[(v * size + u) as usize]))
        };
        for (n, (b, a)) in before.light.iter().zip(&after.light).enumerate() {
            assert!(b == a || near(n as i64), "{shot:?}: pixel {n} changed far from the mask");
        }
    }
}

/// Mean difference over the pixels that `keep` selects, of the channel that differs most.
fn difference(a: &RgbImage, b: &RgbImage, keep: impl Fn(u32, u32) -> bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0u32);
    for (x, y, pixel) in a.enumerate_pixels().filter(|(x, y, _)| keep(*x, *y)) {
        let steps = pixel.0.iter().zip(b.get_pixel(x, y).0).map(|(a, b)| a.abs_diff(b));
        sum += f64::from(steps.max().unwrap_or(0));
        count += 1;
    }
    sum / f64::from(count.max(1))
}

#[test]
fn every_defect_stands_out_from_the_noise() {
    for shot in defective(144) {
        let staged = shot.stage();
        let photo = shot.take();
        let mask = photo.mask.unwrap_or_default();
        let good = render(&staged.good, shot.size);
        let again = |seed| staged.camera.shoot(&good, &mut ChaCha8Rng::seed_from_u64(seed));
        let (one, two) = (again(1), again(2));
        let inside = |x, y| mask.get_pixel(x, y).0[0] != 0;
        let (defect, noise) = (difference(&photo.image, &one, inside), difference(&one, &two, inside));
        assert!(defect > 2.0 * noise, "{shot:?}: differs by {defect:.1}, noise by {noise:.1} grey levels");
    }
}

#[test]
fn the_same_scene_is_seen_at_any_size() {
    for product in PRODUCTS {
        for set in [Set::Train, Set::Structural] {
            let (small, large) = (shot(product, set, 1, 96).take().image, shot(product, set, 1, 192).take().image);
            let halved = image::imageops::resize(&large, 96, 96, image::imageops::FilterType::Triangle);
            let apart = difference(&small, &halved, |_, _| true);
            let others = shot(product, set, 2, 96).take().image;
            let unlike = difference(&small, &others, |_, _| true);
            assert!(apart < 8.0 && apart < 0.6 * unlike, "{product:?} {set:?}: {apart:.1} apart, others {unlike:.1}");
        }
    }
}

#[test]
fn the_lamp_stays_within_eight_per_cent() {
    for seed in 0..5 {
        for index in (0..400).step_by(7) {
            let staged = Shot { product: Product::Tray, seed, set: Set::Train, index, size: 64 }.stage();
            for gain in staged.camera.gain {
                let light = staged.good.light.power * gain;
                assert!((light - 1.0).abs() < 0.09, "seed {seed}, picture {index}: {light}");
            }
        }
    }
}

#[test]
fn the_tone_curve_rises_and_ends_at_black_and_white() {
    let bytes: Vec<u8> = (0..=300).map(|n| tone(n as f32 / 100.0)).collect();
    assert!(bytes.windows(2).all(|w| w[0] <= w[1]));
    assert_eq!((tone(-1.0), tone(0.0), tone(9.0)), (0, 0, 255));
    // sRGB of 18 % grey, IEC 61966-2-1: 255 · (1.055 · 0.18^(1/2.4) − 0.055) = 117.6
    assert_eq!(tone(0.18), 118);
}
