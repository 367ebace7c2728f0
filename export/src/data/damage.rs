//! Made-up damage on images of good parts, so that a teacher also learns what the backbone says of things that no good
//! part shows.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Marks on one image.
const MOST_MARKS: usize = 4;

/// Puts one to [`MOST_MARKS`] marks, drawn by `seed`, on an image (3, side, side) on 0–1: patches from elsewhere in the
/// image, streaks, stains of one colour and patches of noise.
pub(super) fn damage(image: &mut [f32], side: usize, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..rng.random_range(1..=MOST_MARKS) {
        let before = image.to_vec();
        let mask = if rng.random_bool(0.35) { streak(side, &mut rng) } else { blot(side, &mut rng) };
        let opacity: f32 = rng.random_range(0.3..=1.0);
        let filling = Filling::draw(side, &mut rng);
        for (channel, plane) in image.chunks_exact_mut(side * side).enumerate() {
            for (i, (value, cover)) in plane.iter_mut().zip(&mask).enumerate().filter(|(_, (_, cover))| **cover > 0.0) {
                let wanted = filling.at(&before, side, channel, i, *value, &mut rng);
                *value = (*value + (wanted - *value) * cover * opacity).clamp(0.0, 1.0);
            }
        }
    }
}

/// Change of a channel, of 1, from which on damage shows.
const VISIBLE: f32 = 0.04;
/// Fewest pixels that show.
const LEAST: usize = 12;

/// A damaged copy of an image (3, side, side) on 0–1 and where it shows; `None` where what was drawn hardly does.
pub(crate) fn visible_damage(image: &[f32], side: usize, seed: u64) -> Option<(Vec<f32>, Vec<bool>)> {
    let mut damaged = image.to_vec();
    damage(&mut damaged, side, seed);
    let mut mask = vec![false; side * side];
    for (before, after) in image.chunks_exact(side * side).zip(damaged.chunks_exact(side * side)) {
        for ((shows, before), after) in mask.iter_mut().zip(before).zip(after) {
            *shows |= (after - before).abs() > VISIBLE;
        }
    }
    (mask.iter().filter(|shows| **shows).count() >= LEAST).then_some((damaged, mask))
}

/// What a mark shows.
enum Filling {
    /// The image as it is this many rows and columns away, wrapped at the border.
    Moved(usize, usize),
    /// One colour.
    Colour([f32; 3]),
    /// The image, lighter or darker.
    Shade(f32),
    /// Noise around the image of this amplitude.
    Noise(f32),
}

impl Filling {
    fn draw(side: usize, rng: &mut impl Rng) -> Self {
        match rng.random_range(0..5) {
            0 | 1 => Filling::Moved(rng.random_range(side / 8..side), rng.random_range(side / 8..side)),
            2 => Filling::Colour([rng.random(), rng.random(), rng.random()]),
            3 => Filling::Shade(rng.random_range(-0.5..=0.5)),
            _ => Filling::Noise(rng.random_range(0.1..=0.6)),
        }
    }

    fn at(&self, image: &[f32], side: usize, channel: usize, i: usize, value: f32, rng: &mut impl Rng) -> f32 {
        match self {
            Filling::Moved(rows, columns) => {
                let (row, column) = ((i / side + rows) % side, (i % side + columns) % side);
                image.get((channel * side + row) * side + column).copied().unwrap_or(value)
            }
            Filling::Colour(colour) => colour.get(channel).copied().unwrap_or(value),
            Filling::Shade(change) => value + change,
            Filling::Noise(amplitude) => value + rng.random_range(-*amplitude..=*amplitude),
        }
    }
}

/// A turned ellipse with a wavy outline: how much of each pixel it covers, 0–1.
fn blot(side: usize, rng: &mut impl Rng) -> Vec<f32> {
    let span = side as f32;
    let centre = [rng.random_range(0.0..span), rng.random_range(0.0..span)];
    let radius = [rng.random_range(0.012..0.12) * span, rng.random_range(0.012..0.12) * span];
    let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let (waves, phase) = (rng.random_range(2..7) as f32, rng.random_range(0.0..std::f32::consts::TAU));
    cover(side, |x, y| {
        let (dx, dy) = (x - centre[0], y - centre[1]);
        let (u, v) = ((dx * cos + dy * sin) / radius[0], (dy * cos - dx * sin) / radius[1]);
        let edge = 1.0 + 0.25 * (waves * v.atan2(u) + phase).sin();
        (edge - u.hypot(v)) * radius[0].min(radius[1])
    })
}

/// A bent line of one width: how much of each pixel it covers, 0–1.
fn streak(side: usize, rng: &mut impl Rng) -> Vec<f32> {
    let span = side as f32;
    let start = [rng.random_range(0.0..span), rng.random_range(0.0..span)];
    let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let (length, width) = (rng.random_range(0.05..0.5) * span, rng.random_range(0.003..0.012) * span);
    let bend = rng.random_range(-0.15..0.15) * length;
    cover(side, |x, y| {
        let (dx, dy) = (x - start[0], y - start[1]);
        let (along, across) = (dx * cos + dy * sin, dy * cos - dx * sin);
        let middle = bend * (std::f32::consts::PI * along / length).sin();
        let beside = (across - middle).abs() - width;
        let beyond = (-along).max(along - length);
        -beside.max(beyond)
    })
}

/// Turns a distance inside an outline, in pixels, into covers with soft edges.
fn cover(side: usize, inside: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let at = |i: usize| inside((i % side) as f32, (i / side) as f32);
    (0..side * side).map(|i| (at(i) + 0.5).clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(side: usize) -> Vec<f32> {
        (0..3 * side * side).map(|i| (i % 17) as f32 / 16.0).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_damage_and_another_seed_another() {
        let side = 64;
        let of = |seed| {
            let mut image = plain(side);
            damage(&mut image, side, seed);
            image
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_shows_is_what_changed() {
        let (side, image) = (64, plain(64));
        let mut shown = 0;
        for seed in 0..40 {
            let Some((damaged, mask)) = visible_damage(&image, side, seed) else { continue };
            shown += 1;
            for (i, shows) in mask.iter().enumerate() {
                let change = (0..3).map(|c| (damaged[c * side * side + i] - image[c * side * side + i]).abs());
                assert_eq!(*shows, change.fold(0.0, f32::max) > 0.04, "seed {seed}, pixel {i}");
            }
        }
        assert!(shown > 20, "only {shown} of 40 show");
        // Patches of a black image and its shades downwards are black.
        let black = vec![0.0; 3 * side * side];
        assert!((0..40).any(|seed| visible_damage(&black, side, seed).is_none()));
    }

    #[test]
    fn damage_is_local_and_stays_within_range() {
        let side = 128;
        let mut total = 0;
        for seed in 0..40 {
            let (before, mut after) = (plain(side), plain(side));
            damage(&mut after, side, seed);
            assert!(after.iter().all(|v| (0.0..=1.0).contains(v)));
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed < before.len() / 2, "seed {seed} changed {changed} of {}", before.len());
            total += usize::from(changed > 0);
        }
        assert!(total > 30, "only {total} of 40 images have a visible mark");
    }
}
