//! Augmentation of good images, seeded for each image and epoch.

use super::damage::damage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Different damages of one mirroring of an image.
const DAMAGES: u64 = 3;

/// What is varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Mirror left and right.
    pub horizontal: bool,
    /// Mirror top and bottom.
    pub vertical: bool,
    /// Largest rotation either way, degrees; what comes in from outside is mirrored.
    pub rotation: f64,
    /// Largest relative change of brightness, contrast and saturation.
    pub jitter: f64,
    /// Share of images with made-up damage, 0–1, for distillation only.
    #[serde(default)]
    pub damage: f64,
}

/// One image's draw from an [`Augmentation`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variant {
    /// Mirror left and right.
    pub horizontal: bool,
    /// Mirror top and bottom.
    pub vertical: bool,
    /// Degrees.
    pub rotation: f64,
    /// Factors of brightness, contrast and saturation.
    pub colour: [f64; 3],
    /// Seed of the damage, where there is one.
    pub damage: Option<u64>,
}

impl Augmentation {
    /// The draw for one image in one epoch; it depends on nothing else.
    pub fn draw(&self, seed: u64, epoch: usize, image: usize) -> Variant {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed, epoch as u64, image as u64));
        let mut within = |limit: f64| if limit > 0.0 { rng.random_range(-limit..=limit) } else { 0.0 };
        let rotation = within(self.rotation);
        let colour = [1.0 + within(self.jitter), 1.0 + within(self.jitter), 1.0 + within(self.jitter)];
        Variant {
            horizontal: self.horizontal && rng.random(),
            vertical: self.vertical && rng.random(),
            rotation,
            colour,
            // Few different ones, so that what is computed from them can be kept.
            damage: (self.damage > 0.0 && rng.random_bool(self.damage.min(1.0)))
                .then(|| mix(seed, rng.random_range(0..DAMAGES), image as u64)),
        }
    }

    /// Whether a draw can be one of four mirrorings only, damaged or not, so that whatever is computed from an image can be kept.
    pub fn mirrors_only(&self) -> bool {
        self.rotation == 0.0 && self.jitter == 0.0
    }
}

impl Variant {
    /// The image as it is.
    pub const NONE: Variant =
        Variant { horizontal: false, vertical: false, rotation: 0.0, colour: [1.0; 3], damage: None };

    /// (3, side, side) on 0–1 → the same, by arithmetic that does not depend on threads or devices.
    pub fn apply(&self, image: &[f32], side: usize) -> Vec<f32> {
        let mut x = image.to_vec();
        if self.horizontal {
            x.chunks_exact_mut(side).for_each(<[f32]>::reverse);
        }
        if self.vertical {
            for plane in x.chunks_exact_mut(side * side) {
                for row in 0..side / 2 {
                    let (top, bottom) = plane.split_at_mut((side - 1 - row) * side);
                    top[row * side..(row + 1) * side].swap_with_slice(&mut bottom[..side]);
                }
            }
        }
        if self.rotation != 0.0 {
            x = rotate(&x, side, self.rotation);
        }
        recolour(&mut x, self.colour);
        if let Some(seed) = self.damage {
            damage(&mut x, side, seed);
        }
        x
    }
}

/// Rotation about the centre, bilinear; what comes in from outside is mirrored at the border's outer edge.
fn rotate(x: &[f32], side: usize, degrees: f64) -> Vec<f32> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (side as f64 - 1.0) / 2.0;
    let area = side * side;
    let mut rotated = vec![0.0; x.len()];
    for row in 0..side {
        for column in 0..side {
            let (dx, dy) = (column as f64 - centre, row as f64 - centre);
            let (left, right, across) = neighbours(cos * dx - sin * dy + centre, side);
            let (top, bottom, down) = neighbours(sin * dx + cos * dy + centre, side);
            for channel in 0..x.len() / area {
                let at = |row: usize, column: usize| x[channel * area + row * side + column];
                let upper = at(top, left) + (at(top, right) - at(top, left)) * across;
                let lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
                rotated[channel * area + row * side + column] = upper + (lower - upper) * down;
            }
        }
    }
    rotated
}

/// The two cells around a coordinate, after mirroring it at −½ and side − ½, and the weight of the second.
fn neighbours(coordinate: f64, side: usize) -> (usize, usize, f32) {
    let span = side as f64;
    let folded = (coordinate + 0.5).rem_euclid(2.0 * span);
    let inside = (if folded < span { folded } else { 2.0 * span - folded }) - 0.5;
    let inside = inside.clamp(0.0, span - 1.0);
    let first = (inside as usize).min(side - 1);
    (first, (first + 1).min(side - 1), (inside - first as f64) as f32)
}

/// Brightness, then contrast around the mean grey, then saturation, each clipped to 0–1.
fn recolour(x: &mut [f32], factors: [f64; 3]) {
    if factors == [1.0; 3] {
        return;
    }
    let [brightness, contrast, saturation] = factors.map(|factor| factor as f32);
    let (red, rest) = x.split_at_mut(x.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    let mut sum = 0.0;
    for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        for value in [&mut *r, &mut *g, &mut *b] {
            *value = (*value * brightness).clamp(0.0, 1.0);
        }
        sum += f64::from(grey(*r, *g, *b));
    }
    let offset = (sum / red.len() as f64) as f32 * (1.0 - contrast);
    for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        for value in [&mut *r, &mut *g, &mut *b] {
            *value = (*value * contrast + offset).clamp(0.0, 1.0);
        }
        let flat = grey(*r, *g, *b) * (1.0 - saturation);
        for value in [r, g, b] {
            *value = (*value * saturation + flat).clamp(0.0, 1.0);
        }
    }
}

fn grey(red: f32, green: f32, blue: f32) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// One seed out of three numbers (SplitMix64's finaliser over each).
pub(super) fn mix(a: u64, b: u64, c: u64) -> u64 {
    [a, b, c].iter().fold(0x9e37_79b9_7f4a_7c15, |state, value| {
        let mut z = (state ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise;
    use tch::{Kind, Tensor};

    const SIDE: usize = 37;

    fn picture() -> Tensor {
        noise(&[3, SIDE as i64, SIDE as i64], 5).sigmoid()
    }

    fn apply(variant: Variant, image: &Tensor) -> Tensor {
        let values = Vec::<f32>::try_from(image.view(-1)).unwrap();
        Tensor::from_slice(&variant.apply(&values, SIDE)).view_as(image)
    }

    const STILL: Variant = Variant::NONE;

    #[track_caller]
    fn assert_close(got: &Tensor, expected: &Tensor) {
        let error = (got - expected).abs().max().double_value(&[]);
        assert!(error < 2e-5, "{error}");
    }

    #[test]
    fn mirroring_equals_libtorch() {
        let image = picture();
        assert_eq!(apply(STILL, &image), image);
        assert_eq!(apply(Variant { horizontal: true, ..STILL }, &image), image.flip([2]));
        assert_eq!(apply(Variant { vertical: true, ..STILL }, &image), image.flip([1]));
    }

    #[test]
    fn rotation_equals_libtorchs_grid_sampler() {
        let image = picture();
        for degrees in [-10.0f64, 0.3, 45.0, 179.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let theta = Tensor::from_slice(&[cos, -sin, 0.0, sin, cos, 0.0]).view([1, 2, 3]).to_kind(Kind::Double);
            let image64 = image.to_kind(Kind::Double).unsqueeze(0);
            let grid = Tensor::affine_grid_generator(&theta, image64.size(), false);
            let (bilinear, reflection) = (0, 2);
            let expected = image64.grid_sampler(&grid, bilinear, reflection, false).squeeze_dim(0);
            assert_close(&apply(Variant { rotation: degrees, ..STILL }, &image), &expected);
        }
    }

    #[test]
    fn recolouring_equals_the_same_formulas_in_libtorch() {
        let image = picture();
        for [brightness, contrast, saturation] in [[1.1, 0.9, 1.05], [0.5, 1.9, 0.1], [1.0, 1.0, 1.3]] {
            let weights = Tensor::from_slice(&[0.299f32, 0.587, 0.114]).view([3, 1, 1]);
            let grey = |x: &Tensor| (x * &weights).sum_dim_intlist([0i64].as_slice(), true, Kind::Float);
            let x = (&image * brightness).clamp(0.0, 1.0);
            let x = (&x * contrast + grey(&x).mean(Kind::Float) * (1.0 - contrast)).clamp(0.0, 1.0);
            let expected = (&x * saturation + grey(&x) * (1.0 - saturation)).clamp(0.0, 1.0);
            assert_close(&apply(Variant { colour: [brightness, contrast, saturation], ..STILL }, &image), &expected);
        }
    }
}
