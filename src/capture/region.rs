use super::{CaptureError, Frame, Samples, check_size};

/// A rectangle of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Region {
    /// The rectangle of `width` × `height` pixels whose upper left one is in column `left` and row `top`, from 0.
    ///
    /// # Errors
    /// [`CaptureError::Size`] for a size that cannot be inspected.
    pub fn new(left: usize, top: usize, width: usize, height: usize) -> Result<Self, CaptureError> {
        check_size(width, height)?;
        Ok(Self { left, top, width, height })
    }

    /// Its first column.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Its first row.
    pub fn top(&self) -> usize {
        self.top
    }

    /// The column after its last.
    pub fn right(&self) -> usize {
        self.left.saturating_add(self.width)
    }

    /// The row after its last.
    pub fn bottom(&self) -> usize {
        self.top.saturating_add(self.height)
    }
}

impl Frame {
    /// The part of the picture inside `region`.
    ///
    /// # Errors
    /// [`CaptureError::Size`] where it reaches beyond the picture.
    pub fn crop(&self, region: Region) -> Result<Frame, CaptureError> {
        if region.right() > self.width() || region.bottom() > self.height() {
            return Err(CaptureError::Size(format!(
                "the region ends at column {} and row {}, beyond the picture of {}×{}",
                region.right(),
                region.bottom(),
                self.width(),
                self.height()
            )));
        }
        let samples = match self.samples() {
            Samples::Rgb8(samples) => Samples::Rgb8(cut(samples, self.width(), region)),
            Samples::Rgb16(samples) => Samples::Rgb16(cut(samples, self.width(), region)),
        };
        Frame::new(region.width, region.height, samples)
    }
}

fn cut<T: Copy>(samples: &[T], width: usize, region: Region) -> Vec<T> {
    let rows = samples.chunks_exact(3 * width).skip(region.top).take(region.height);
    rows.flat_map(|row| row.get(3 * region.left..3 * region.right()).unwrap_or_default()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_holds_its_own_pixels() {
        let samples: Vec<u8> = (0..20 * 30).flat_map(|i| [(i % 20) as u8, (i / 20) as u8, 7]).collect();
        let frame = Frame::new(20, 30, Samples::Rgb8(samples)).unwrap();
        let part = frame.crop(Region::new(3, 5, 16, 17).unwrap()).unwrap();
        assert_eq!((part.width(), part.height()), (16, 17));
        for (i, pixel) in part.to_rgb8().chunks(3).enumerate() {
            assert_eq!(pixel, [3 + (i % 16) as u8, 5 + (i / 16) as u8, 7]);
        }
    }

    #[test]
    fn a_region_beyond_the_picture_is_refused() {
        let frame = Frame::new(20, 30, Samples::Rgb8(vec![0; 1800])).unwrap();
        let error = frame.crop(Region::new(5, 0, 16, 16).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the region ends at column 21 and row 16, beyond the picture of 20×30");
        assert!(Region::new(0, 0, 15, 16).is_err());
        assert!(frame.crop(Region::new(usize::MAX, 0, 16, 16).unwrap()).is_err());
    }
}
