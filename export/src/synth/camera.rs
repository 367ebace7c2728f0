//! From light to the picture's bytes: vignette, lens blur, shot and read noise, tone curve.

use super::render::{Exposure, FIELD};
use image::RgbImage;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Electrons of a white pixel.
const FULL_WELL: f32 = 6000.0;
/// Noise of a black pixel, electrons.
const READ_NOISE: f32 = 16.0;
/// Lens blur, scene units; at least a fixed share of a pixel for the sensor's own low pass.
const BLUR: f32 = 0.085;
const BLUR_PIXELS: f32 = 0.42;

/// One camera for one picture.
#[derive(Clone, Debug)]
pub(super) struct Camera {
    /// Gain of each channel; 1 nominal.
    pub(super) gain: [f32; 3],
    /// Light lost in the corners, 0 to 1.
    pub(super) vignette: f32,
}

impl Camera {
    /// A camera whose overall gain is `exposure`, its white balance a little off.
    pub(super) fn drawn(exposure: f32, rng: &mut ChaCha8Rng) -> Self {
        let mut channel = || exposure * (1.0 + rng.random_range(-0.008..0.008));
        Self { gain: [channel(), channel(), channel()], vignette: 0.11 }
    }

    /// The picture without sensor noise, linear.
    pub(super) fn project(&self, exposure: &Exposure) -> Vec<[f32; 3]> {
        let size = exposure.size as usize;
        let half = 0.5 * size as f32;
        let mut light = exposure.light.clone();
        for (n, pixel) in light.iter_mut().enumerate() {
            let (x, y) = ((n % size) as f32 + 0.5 - half, (n / size) as f32 + 0.5 - half);
            let fall = 1.0 - self.vignette * (x * x + y * y) / (2.0 * half * half);
            for (c, gain) in pixel.iter_mut().zip(self.gain) {
                *c *= fall * gain;
            }
        }
        blur(&light, size, (BLUR * size as f32 / FIELD).max(BLUR_PIXELS))
    }

    /// Takes the picture.
    pub(super) fn shoot(&self, exposure: &Exposure, rng: &mut ChaCha8Rng) -> RgbImage {
        let bytes = self.project(exposure).iter().flatten().map(|&l| tone(l + noise(l, rng))).collect();
        RgbImage::from_raw(exposure.size, exposure.size, bytes).unwrap_or_default()
    }
}

/// sRGB byte of linear light; the brightest tenth is compressed.
pub(super) fn tone(light: f32) -> u8 {
    let l = light.max(0.0);
    let l = if l > 0.85 { 0.85 + 0.15 * (1.0 - (-(l - 0.85) / 0.15).exp()) } else { l };
    let s = if l <= 0.003_130_8 { 12.92 * l } else { 1.055 * l.powf(1.0 / 2.4) - 0.055 };
    (s * 255.0 + 0.5) as u8
}

/// Shot and read noise of light `l`: nearly Gaussian, the sum of four uniform draws.
fn noise(l: f32, rng: &mut ChaCha8Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: f32 = (0..4).map(|n| ((bits >> (16 * n)) & 0xffff) as f32 / 65_536.0 - 0.5).sum();
    // The sum's variance is 4/12.
    let unit = sum * 1.732_050_8;
    unit * (l.max(0.0) * FULL_WELL + READ_NOISE * READ_NOISE).sqrt() / FULL_WELL
}

/// Separable Gaussian, edges repeated.
fn blur(light: &[[f32; 3]], size: usize, sigma: f32) -> Vec<[f32; 3]> {
    let radius = (2.5 * sigma).ceil() as usize;
    let weights: Vec<f32> = (0..=2 * radius)
        .map(|n| {
            let d = n as f32 - radius as f32;
            (-0.5 * d * d / (sigma * sigma)).exp()
        })
        .collect();
    let total: f32 = weights.iter().sum();
    let pass = |from: &[[f32; 3]], stride: usize, across: usize| -> Vec<[f32; 3]> {
        let mut to = vec![[0.0f32; 3]; from.len()];
        for line in 0..size {
            for n in 0..size {
                let mut sum = [0.0f32; 3];
                for (k, w) in weights.iter().enumerate() {
                    let m = (n + k).saturating_sub(radius).min(size - 1);
                    for (s, c) in sum.iter_mut().zip(from[line * across + m * stride]) {
                        *s += w * c;
                    }
                }
                to[line * across + n * stride] = sum.map(|s| s / total);
            }
        }
        to
    };
    pass(&pass(light, 1, size), size, 1)
}
