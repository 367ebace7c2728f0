use super::Grid;
use crate::capture::{Frame, Samples};

/// Where a map is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    ignored: Vec<bool>,
}

impl Mask {
    /// A mask for maps of `height` × `width` from a picture of any size: a pixel is ignored where the picture's nearest
    /// pixel is bright, red 128 and more.
    pub fn from_picture(picture: &Frame, height: usize, width: usize) -> Self {
        let bright = |row: usize, column: usize| {
            let at = 3 * (row * picture.width() + column);
            match picture.samples() {
                Samples::Rgb8(samples) => samples.get(at).is_some_and(|sample| *sample >= 128),
                Samples::Rgb16(samples) => samples.get(at).is_some_and(|sample| *sample >= 128 << 8),
            }
        };
        let nearest = |i: usize, from: usize, to: usize| (2 * i + 1) * to / (2 * from);
        let pixels = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let ignored = pixels
            .map(|(row, column)| {
                bright(nearest(row, height, picture.height()), nearest(column, width, picture.width()))
            })
            .collect();
        Self { height, width, ignored }
    }

    /// Whether nothing is left to look at.
    pub fn covers_everything(&self) -> bool {
        self.ignored.iter().all(|ignored| *ignored)
    }

    /// Lowers ignored values to the map's smallest. Values that are not finite stay: they are a fault wherever they are.
    pub(super) fn hide(&self, map: &mut Grid) {
        debug_assert_eq!((self.height, self.width), (map.height, map.width));
        let smallest = map.values.iter().copied().filter(|value| value.is_finite()).fold(f32::INFINITY, f32::min);
        for (value, ignored) in map.values.iter_mut().zip(&self.ignored) {
            if *ignored && value.is_finite() {
                *value = smallest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bright_pixels_are_hidden_and_faults_are_not() {
        let samples = (0..20 * 16).flat_map(|i| [if i % 20 >= 10 { 128 } else { 127 }; 3]).collect();
        let picture = Frame::new(20, 16, Samples::Rgb8(samples)).unwrap();
        let mask = Mask::from_picture(&picture, 2, 4);
        assert!(!mask.covers_everything());
        let mut map = Grid { height: 2, width: 4, values: vec![1.0, 2.0, 9.0, 8.0, 0.5, 3.0, f32::NAN, f32::INFINITY] };
        mask.hide(&mut map);
        assert_eq!(map.values[..6], [1.0, 2.0, 0.5, 0.5, 0.5, 3.0]);
        assert!(map.values[6].is_nan() && map.values[7].is_infinite());
    }
}
