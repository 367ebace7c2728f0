//! One colour a pixel → three, bilinear.

/// Which colours the first two rows of a sensor have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mosaic {
    /// Column (0 or 1) and row of the red pixel of each 2×2 block; blue is across.
    pub(super) red: (usize, usize),
}

impl Mosaic {
    /// Channel of a pixel: 0 red, 1 green, 2 blue.
    fn channel(self, x: usize, y: usize) -> usize {
        usize::from((x + self.red.0).is_multiple_of(2) != (y + self.red.1).is_multiple_of(2))
            + 2 * usize::from(!(x + self.red.0).is_multiple_of(2) && !(y + self.red.1).is_multiple_of(2))
    }

    /// RGB from rows of `stride` bytes: each missing colour is the mean of its neighbours of that colour in the 3×3 block
    /// around, those beyond the border left out. `samples` is filled with `3 · width · height` values.
    pub(super) fn rgb(self, width: usize, height: usize, stride: usize, bytes: &[u8], samples: &mut Vec<u8>) {
        for y in 0..height {
            for x in 0..width {
                let (mut sums, mut counts) = ([0u16; 3], [0u16; 3]);
                for row in y.saturating_sub(1)..(y + 2).min(height) {
                    for column in x.saturating_sub(1)..(x + 2).min(width) {
                        let channel = self.channel(column, row);
                        if let (Some(value), Some(sum), Some(count)) =
                            (bytes.get(row * stride + column), sums.get_mut(channel), counts.get_mut(channel))
                        {
                            *sum += u16::from(*value);
                            *count += 1;
                        }
                    }
                }
                let own = self.channel(x, y);
                for channel in 0..3 {
                    let mean = || (sums[channel] + counts[channel] / 2) / counts[channel].max(1);
                    let value = if channel == own {
                        bytes.get(y * stride + x).copied().unwrap_or(0)
                    } else {
                        mean().min(255) as u8
                    };
                    samples.push(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [(Mosaic, [[usize; 2]; 2]); 4] = [
        (Mosaic { red: (0, 0) }, [[0, 1], [1, 2]]),
        (Mosaic { red: (1, 0) }, [[1, 0], [2, 1]]),
        (Mosaic { red: (0, 1) }, [[1, 2], [0, 1]]),
        (Mosaic { red: (1, 1) }, [[2, 1], [1, 0]]),
    ];

    /// What a sensor with that order of colours gives of a picture.
    fn mosaic(order: [[usize; 2]; 2], width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        (0..width * height).map(|i| pixel(i % width, i / width)[order[i / width % 2][i % width % 2]]).collect()
    }

    #[test]
    fn a_plain_colour_comes_back_exactly_in_every_order() {
        for (mosaic_of, order) in ORDERS {
            let bytes = mosaic(order, 18, 17, |_, _| [200, 100, 50]);
            let mut samples = Vec::new();
            mosaic_of.rgb(18, 17, 18, &bytes, &mut samples);
            assert!(samples.chunks(3).all(|pixel| pixel == [200, 100, 50]), "{order:?}");
            assert_eq!(samples.len(), 3 * 18 * 17);
        }
    }

    /// Bilinear interpolation is exact where brightness changes linearly, borders aside.
    #[test]
    fn a_slope_comes_back_exactly_inside() {
        let picture = |x: usize, y: usize| [(4 * x + 2 * y) as u8, (40 + 2 * x + 4 * y) as u8, (90 + 2 * x) as u8];
        for (mosaic_of, order) in ORDERS {
            let bytes = mosaic(order, 20, 18, picture);
            let mut samples = Vec::new();
            mosaic_of.rgb(20, 18, 20, &bytes, &mut samples);
            for y in 1..17 {
                for x in 1..19 {
                    assert_eq!(samples[3 * (20 * y + x)..][..3], picture(x, y), "{order:?} {x} {y}");
                }
            }
        }
    }
}
