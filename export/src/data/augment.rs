//! Augmentation of good images, seeded for each image and epoch.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

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
        }
    }

    /// Whether a draw can be one of four mirrorings only, so that whatever is computed from an image can be kept.
    pub fn mirrors_only(&self) -> bool {
        self.rotation == 0.0 && self.jitter == 0.0
    }
}

impl Variant {
    /// (3, H, W) on 0–1 → the same.
    pub fn apply(&self, image: &Tensor) -> Tensor {
        let mut x = image.unsqueeze(0);
        if self.horizontal {
            x = x.flip([3]);
        }
        if self.vertical {
            x = x.flip([2]);
        }
        if self.rotation != 0.0 {
            x = rotate(&x, self.rotation);
        }
        recolour(&x, self.colour).squeeze_dim(0)
    }
}

fn rotate(x: &Tensor, degrees: f64) -> Tensor {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let theta = [cos, -sin, 0.0, sin, cos, 0.0].map(|v| v as f32);
    let grid = Tensor::affine_grid_generator(&Tensor::from_slice(&theta).view([1, 2, 3]), x.size(), false);
    let (bilinear, reflection) = (0, 2);
    x.grid_sampler(&grid, bilinear, reflection, false)
}

/// Brightness, then contrast around the mean grey, then saturation, each clipped to 0–1.
fn recolour(x: &Tensor, [brightness, contrast, saturation]: [f64; 3]) -> Tensor {
    if [brightness, contrast, saturation] == [1.0; 3] {
        return x.shallow_clone();
    }
    let weights = Tensor::from_slice(&[0.299f32, 0.587, 0.114]).view([1, 3, 1, 1]);
    let grey = |x: &Tensor| (x * &weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    let x = (x * brightness).clamp(0.0, 1.0);
    let mean = grey(&x).mean(Kind::Float);
    let x = (&x * contrast + mean * (1.0 - contrast)).clamp(0.0, 1.0);
    let flat = grey(&x);
    (x * saturation + flat * (1.0 - saturation)).clamp(0.0, 1.0)
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
