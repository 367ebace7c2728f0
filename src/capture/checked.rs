//! A camera whose pictures are looked at before they are inspected.

use super::{Camera, CaptureError, Frame, Samples};
use crate::config::PictureLimits;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Pixels of a side, at most, that brightness and sharpness are computed from.
const GRID: usize = 256;

/// A [`Camera`] that gives no picture that is dark, overexposed, blurred or one too many of the same: a lamp that failed, a
/// lens that moved, a driver that hands out one buffer again and again.
pub struct CheckedCamera<C> {
    camera: C,
    limits: PictureLimits,
    last: [u8; 32],
    same: u32,
}

impl<C: Camera> CheckedCamera<C> {
    /// `camera` within `limits`.
    pub fn new(camera: C, limits: PictureLimits) -> Self {
        Self { camera, limits, last: [0; 32], same: 0 }
    }

    fn refuse(&mut self, frame: &Frame) -> Option<String> {
        let look = Look::at(frame);
        let PictureLimits { dark, bright, sharpness, frozen } = self.limits;
        if let Some(limit) = dark.filter(|limit| look.mean < *limit) {
            return Some(format!("the picture is dark: mean brightness {:.3}, at least {limit}", look.mean));
        }
        if let Some(limit) = bright.filter(|limit| look.saturated > *limit) {
            let share = look.saturated;
            return Some(format!("the picture is overexposed: {share:.3} of it at full scale, at most {limit}"));
        }
        if let Some(limit) = sharpness.filter(|limit| look.sharpness < *limit) {
            return Some(format!("the picture is blurred: sharpness {:.6}, at least {limit}", look.sharpness));
        }
        let limit = frozen?;
        let hash = hash(frame);
        self.same = if hash == self.last { self.same + 1 } else { 1 };
        self.last = hash;
        (self.same > limit).then(|| format!("the camera is frozen: {} pictures without any difference", self.same))
    }
}

impl<C: Camera> Camera for CheckedCamera<C> {
    fn name(&self) -> &str {
        self.camera.name()
    }

    fn trigger(&mut self, deadline: Duration) -> Result<Frame, CaptureError> {
        let frame = self.camera.trigger(deadline)?;
        match self.refuse(&frame) {
            None => Ok(frame),
            Some(reason) => Err(CaptureError::Picture { camera: self.camera.name().to_owned(), reason }),
        }
    }

    fn check(&mut self) -> Result<(), CaptureError> {
        self.camera.check()
    }

    fn recycle(&mut self, frame: Frame) {
        self.camera.recycle(frame);
    }
}

/// What limits are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Mean brightness, the mean of R, G and B, 0–1.
    pub mean: f32,
    /// Share of pixels with a sample at full scale, 0–1.
    pub saturated: f32,
    /// Mean squared Laplacian (4-neighbour) of the brightness.
    pub sharpness: f32,
}

impl Look {
    /// Looks at every n-th pixel and its neighbours, n so that there are at most 256 × 256 of them.
    pub fn at(frame: &Frame) -> Self {
        match frame.samples() {
            Samples::Rgb8(samples) => look(samples, frame.width(), frame.height(), 255.0),
            Samples::Rgb16(samples) => look(samples, frame.width(), frame.height(), 65535.0),
        }
    }
}

fn look<T: Copy + Into<f32>>(samples: &[T], width: usize, height: usize, full: f32) -> Look {
    let step = width.max(height).div_ceil(GRID);
    let pixel = |x: usize, y: usize| -> [f32; 3] {
        let at = 3 * (y * width + x);
        samples.get(at..at + 3).map_or([0.0; 3], |pixel| [0, 1, 2].map(|c| pixel.get(c).map_or(0.0, |s| (*s).into())))
    };
    let bright = |x: usize, y: usize| pixel(x, y).iter().sum::<f32>() / (3.0 * full);
    let (mut sum, mut saturated, mut squares, mut count) = (0.0f64, 0u32, 0.0f64, 0u32);
    for y in (1..height - 1).step_by(step) {
        for x in (1..width - 1).step_by(step) {
            let centre = bright(x, y);
            let around = bright(x - 1, y) + bright(x + 1, y) + bright(x, y - 1) + bright(x, y + 1);
            sum += f64::from(centre);
            squares += f64::from(around - 4.0 * centre).powi(2);
            saturated += u32::from(pixel(x, y).iter().any(|sample| *sample >= full));
            count += 1;
        }
    }
    let count = f64::from(count.max(1));
    Look {
        mean: (sum / count) as f32,
        saturated: (f64::from(saturated) / count) as f32,
        sharpness: (squares / count) as f32,
    }
}

fn hash(frame: &Frame) -> [u8; 32] {
    let mut hash = Sha256::new();
    match frame.samples() {
        Samples::Rgb8(samples) => hash.update(samples),
        Samples::Rgb16(samples) => samples.iter().for_each(|sample| hash.update(sample.to_ne_bytes())),
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pictures in turn.
    struct Pictures(Vec<Vec<u8>>, usize);

    impl Camera for Pictures {
        fn name(&self) -> &str {
            "pictures"
        }

        fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
            self.1 += 1;
            let samples = self.0[(self.1 - 1) % self.0.len()].clone();
            Frame::new(32, 32, Samples::Rgb8(samples))
        }
    }

    fn plain(level: u8) -> Vec<u8> {
        vec![level; 3 * 32 * 32]
    }

    /// A chequerboard: every Laplacian is ±4 times the difference of its levels.
    fn sharp(levels: [u8; 2]) -> Vec<u8> {
        (0..32 * 32).flat_map(|i| [levels[(i % 32 + i / 32) % 2]; 3]).collect()
    }

    fn errors(pictures: Vec<Vec<u8>>, limits: PictureLimits, count: usize) -> Vec<String> {
        let mut camera = CheckedCamera::new(Pictures(pictures, 0), limits);
        (0..count).map(|_| camera.trigger(Duration::ZERO).err().map(|e| e.to_string()).unwrap_or_default()).collect()
    }

    #[test]
    fn each_limit_refuses_its_own_picture() {
        let dark = PictureLimits { dark: Some(0.1), ..Default::default() };
        let [good, bad] = errors(vec![plain(26), plain(25)], dark, 2).try_into().unwrap();
        assert!(good.is_empty() && bad.contains("is dark: mean brightness 0.098, at least 0.1"), "{good} {bad}");
        let bright = PictureLimits { bright: Some(0.4), ..Default::default() };
        let [good, bad] = errors(vec![plain(254), sharp([0, 255])], bright, 2).try_into().unwrap();
        assert!(good.is_empty() && bad.contains("overexposed: 0.500"), "{good} {bad}");
        let blurred = PictureLimits { sharpness: Some(0.01), ..Default::default() };
        let [good, bad] = errors(vec![sharp([100, 108]), sharp([100, 105])], blurred, 2).try_into().unwrap();
        assert!(good.is_empty() && bad.contains("is blurred: sharpness 0.006151"), "{good} {bad}");
    }

    #[test]
    fn the_same_picture_once_too_often_is_a_frozen_camera() {
        let limits = PictureLimits { frozen: Some(2), ..Default::default() };
        let told = errors(vec![plain(1), plain(1), plain(1), plain(1), plain(2)], limits, 6);
        let frozen: Vec<bool> = told.iter().map(|reason| reason.contains("frozen")).collect();
        assert_eq!(frozen, [false, false, true, true, false, false]);
    }
}
