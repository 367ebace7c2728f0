//! How a picture was taken: light and focus.

use super::{Frame, Samples};
use serde::{Deserialize, Serialize};

/// Light and focus of one picture, to notice a lamp that ages, a lens that fogs or a camera that was touched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Mean luma (Rec. 601), 0–1.
    pub brightness: f32,
    /// Variance of the Laplacian (4 neighbours) of the luma on the scale 0–1, ≥ 0: the usual measure of focus
    /// (Pech-Pacheco et al. 2000).
    pub sharpness: f32,
    /// Share of pixels with a luma of 5/255 and under, 0–1.
    pub dark: f32,
    /// Share of pixels with a luma of 250/255 and over, 0–1.
    pub bright: f32,
}

impl Quality {
    /// Measures `frame`; about one millisecond for a megapixel.
    pub fn of(frame: &Frame) -> Self {
        match frame.samples() {
            Samples::Rgb8(samples) => measure(samples, frame.width(), i64::from),
            Samples::Rgb16(samples) => measure(samples, frame.width(), |v| i64::from(v >> 8)),
        }
    }
}

/// `value` gives a sample on the scale 0–255. Sums are of integers, so that no order of summing matters.
fn measure<T: Copy>(samples: &[T], width: usize, value: impl Fn(T) -> i64) -> Quality {
    let luma_row = |row: &[T], into: &mut Vec<i64>| {
        into.clear();
        into.extend(row.chunks_exact(3).map(|p| (77 * value(p[0]) + 150 * value(p[1]) + 29 * value(p[2]) + 128) >> 8));
    };
    let (mut above, mut here, mut below) = (vec![], vec![], vec![]);
    let (mut sum, mut dark, mut bright) = (0, 0_u64, 0_u64);
    let (mut first, mut second, mut inner) = (0_i64, 0_i64, 0_u64);
    for (y, row) in samples.chunks_exact(3 * width).enumerate() {
        luma_row(row, &mut below);
        for luma in &below {
            sum += luma;
            dark += u64::from(*luma <= 5);
            bright += u64::from(*luma >= 250);
        }
        if y >= 2 {
            for ((up, down), middle) in above.iter().zip(&below).skip(1).zip(here.windows(3)) {
                let laplacian: i64 = up + down + middle[0] + middle[2] - 4 * middle[1];
                first += laplacian;
                second += laplacian * laplacian;
                inner += 1;
            }
        }
        std::mem::swap(&mut above, &mut here);
        std::mem::swap(&mut here, &mut below);
    }
    let pixels = (samples.len() / 3).max(1) as f64;
    let inner = inner.max(1) as f64;
    let mean = first as f64 / inner;
    Quality {
        brightness: (sum as f64 / pixels / 255.0) as f32,
        sharpness: ((second as f64 / inner - mean * mean) / (255.0 * 255.0)) as f32,
        dark: (dark as f64 / pixels) as f32,
        bright: (bright as f64 / pixels) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy 2.4.6, scipy 1.17.1:
    // y, x = np.mgrid[0:20, 0:24]; rgb = np.stack([(7 * x + 3 * y) % 256, x * y % 256, (x * x + 5 * y) % 256], -1)
    // luma = (77 * rgb[..., 0] + 150 * rgb[..., 1] + 29 * rgb[..., 2] + 128) >> 8
    // lap = scipy.ndimage.laplace(luma.astype(float))[1:-1, 1:-1]
    // print(luma.mean() / 255, lap.var() / 255**2, (luma <= 5).mean(), (luma >= 250).mean())
    const GOLDEN: [f64; 4] = [0.36455065359477123, 0.052003646400352786, 0.014583333333333334, 0.0];

    fn made() -> Vec<u16> {
        let pixel = |i: usize| {
            let (y, x) = (i / 24, i % 24);
            [(7 * x + 3 * y) % 256, x * y % 256, (x * x + 5 * y) % 256]
        };
        (0..20 * 24).flat_map(pixel).map(|v| v as u16).collect()
    }

    #[test]
    fn equals_numpys_and_scipys() {
        let eight = Samples::Rgb8(made().into_iter().map(|v| v as u8).collect());
        let sixteen = Samples::Rgb16(made().into_iter().map(|v| v << 8 | 0x5a).collect());
        for samples in [eight, sixteen] {
            let quality = Quality::of(&Frame::new(24, 20, samples).unwrap());
            let got = [quality.brightness, quality.sharpness, quality.dark, quality.bright];
            for (got, expected) in got.into_iter().zip(GOLDEN) {
                assert!((f64::from(got) - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }

    #[test]
    fn blur_and_darkness_are_told_apart() {
        let board = |low: u8, high: u8, cell: usize| {
            let level = move |i: usize| if (i / 64 / cell + i % 64 / cell).is_multiple_of(2) { low } else { high };
            let samples = (0..64 * 64).flat_map(|i| [level(i); 3]).collect();
            Quality::of(&Frame::new(64, 64, Samples::Rgb8(samples)).unwrap())
        };
        let (fine, coarse, black) = (board(90, 160, 1), board(90, 160, 16), board(0, 0, 1));
        assert!(fine.sharpness > 10.0 * coarse.sharpness && (fine.brightness - coarse.brightness).abs() < 1e-6);
        assert_eq!((black.brightness, black.sharpness, black.dark, black.bright), (0.0, 0.0, 1.0, 0.0));
        assert_eq!(board(255, 255, 1).bright, 1.0);
    }
}
