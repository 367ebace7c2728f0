//! What drivers hand over → [`Frame`].

use super::bayer::Mosaic;
use crate::capture::{Frame, Samples, decode_bytes};
use std::io;
use v4l::FourCC;

/// How a driver hands pixels over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// `YUYV`: two pixels in four bytes, BT.601 in limited range.
    Yuyv,
    /// `MJPG`: a JPEG each picture.
    Mjpeg,
    /// `GREY`: one byte a pixel.
    Grey,
    /// `RGB3`: red, green, blue bytes.
    Rgb3,
    /// `BA81`: a Bayer sensor whose first rows are blue, green … and green, red …; one byte a pixel, as below.
    Bggr,
    /// `GBRG`: green, blue … and red, green …
    Gbrg,
    /// `GRBG`: green, red … and blue, green …
    Grbg,
    /// `RGGB`: red, green … and green, blue …
    Rggb,
}

impl PixelFormat {
    /// The format of that FourCC.
    pub fn of_four_cc(code: [u8; 4]) -> Option<Self> {
        [Self::Yuyv, Self::Mjpeg, Self::Grey, Self::Rgb3, Self::Bggr, Self::Gbrg, Self::Grbg, Self::Rggb]
            .into_iter()
            .find(|format| format.four_cc().repr == code)
    }

    pub(super) fn four_cc(self) -> FourCC {
        FourCC::new(match self {
            PixelFormat::Yuyv => b"YUYV",
            PixelFormat::Mjpeg => b"MJPG",
            PixelFormat::Grey => b"GREY",
            PixelFormat::Rgb3 => b"RGB3",
            PixelFormat::Bggr => b"BA81",
            PixelFormat::Gbrg => b"GBRG",
            PixelFormat::Grbg => b"GRBG",
            PixelFormat::Rggb => b"RGGB",
        })
    }

    fn mosaic(self) -> Option<Mosaic> {
        match self {
            PixelFormat::Bggr => Some(Mosaic { red: (1, 1) }),
            PixelFormat::Gbrg => Some(Mosaic { red: (0, 1) }),
            PixelFormat::Grbg => Some(Mosaic { red: (1, 0) }),
            PixelFormat::Rggb => Some(Mosaic { red: (0, 0) }),
            PixelFormat::Yuyv | PixelFormat::Mjpeg | PixelFormat::Grey | PixelFormat::Rgb3 => None,
        }
    }

    /// Bytes of a row, without padding; `None` for compressed pictures.
    fn row_bytes(self, width: usize) -> Option<usize> {
        match self {
            PixelFormat::Mjpeg => None,
            PixelFormat::Yuyv => Some(width.div_ceil(2) * 4),
            PixelFormat::Rgb3 => Some(3 * width),
            PixelFormat::Grey | PixelFormat::Bggr | PixelFormat::Gbrg | PixelFormat::Grbg | PixelFormat::Rggb => {
                Some(width)
            }
        }
    }

    /// A frame from a buffer whose rows begin `stride` bytes apart, in the memory of `spare`.
    pub(super) fn frame(
        self,
        width: usize,
        height: usize,
        stride: usize,
        bytes: &[u8],
        mut spare: Vec<u8>,
    ) -> io::Result<Frame> {
        let Some(length) = self.row_bytes(width) else {
            let frame = decode_bytes(bytes).map_err(io::Error::other)?;
            return same_size(frame, width, height);
        };
        let stride = stride.max(length);
        let expected = stride * (height - 1) + length;
        if bytes.len() < expected {
            return Err(io::Error::other(format!("gave {} bytes for a picture, expected {expected}", bytes.len())));
        }
        spare.clear();
        spare.reserve_exact(3 * (width + 1) * height);
        if let Some(mosaic) = self.mosaic() {
            mosaic.rgb(width, height, stride, bytes, &mut spare);
        } else {
            for row in bytes.chunks(stride).take(height) {
                let end = spare.len() + 3 * width;
                self.row(row.get(..length).unwrap_or(row), &mut spare);
                // The second pixel of a pair that reaches over the edge.
                spare.truncate(end);
            }
        }
        Frame::new(width, height, Samples::Rgb8(spare)).map_err(io::Error::other)
    }

    fn row(self, row: &[u8], samples: &mut Vec<u8>) {
        match self {
            PixelFormat::Yuyv => {
                let pairs = row.chunks_exact(4).flat_map(|p| [[p[0], p[1], p[3]], [p[2], p[1], p[3]]]);
                samples.extend(pairs.flat_map(rgb));
            }
            PixelFormat::Rgb3 => samples.extend_from_slice(row),
            _ => samples.extend(row.iter().flat_map(|grey| [*grey; 3])),
        }
    }
}

fn same_size(frame: Frame, width: usize, height: usize) -> io::Result<Frame> {
    if (frame.width(), frame.height()) != (width, height) {
        return Err(io::Error::other(format!(
            "expected a picture of {width}×{height} pixels, got {}×{}",
            frame.width(),
            frame.height()
        )));
    }
    Ok(frame)
}

/// BT.601 in limited range (Y 16–235, U and V 16–240) to RGB 0–255.
fn rgb([y, u, v]: [u8; 3]) -> [u8; 3] {
    let luma = 298 * (i32::from(y) - 16);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [luma + 409 * v, luma - 100 * u - 208 * v, luma + 516 * u].map(|c| ((c + 128) >> 8).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colour bars at 75 %, ITU-R BT.801: the primaries' Y, U and V of 8-bit BT.601.
    #[test]
    fn colour_bars_come_out_in_their_colours() {
        let bars = [
            ([180, 128, 128], [191, 191, 191]),
            ([162, 44, 142], [191, 191, 0]),
            ([131, 156, 44], [0, 191, 191]),
            ([112, 72, 58], [0, 191, 0]),
            ([84, 184, 198], [191, 0, 191]),
            ([65, 100, 212], [191, 0, 0]),
            ([35, 212, 114], [0, 0, 191]),
            ([16, 128, 128], [0, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
        ];
        for (yuv, expected) in bars {
            let got = rgb(yuv);
            assert!(got.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2), "{yuv:?}: {got:?}");
        }
    }

    #[test]
    fn padding_at_the_end_of_rows_is_passed_over() {
        let (width, height, stride) = (17, 16, 24);
        let bytes: Vec<u8> =
            (0..stride * height).map(|i| if i % stride < width { (i / stride) as u8 } else { 255 }).collect();
        let frame = PixelFormat::Grey.frame(width, height, stride, &bytes, vec![]).unwrap();
        let expected: Vec<u8> = (0..3 * width * height).map(|i| (i / (3 * width)) as u8).collect();
        assert_eq!(frame.samples(), &Samples::Rgb8(expected));
        let short = PixelFormat::Grey.frame(width, height, stride, &bytes[..stride * (height - 1)], vec![]);
        assert!(short.unwrap_err().to_string().contains("expected 377"));
    }

    #[test]
    fn odd_widths_keep_their_last_pixel() {
        let bytes: Vec<u8> =
            (0..16).flat_map(|_| (0..9).flat_map(|pair| [16 + 10 * pair, 128, 21 + 10 * pair, 128])).collect();
        let frame = PixelFormat::Yuyv.frame(17, 16, 36, &bytes, vec![]).unwrap();
        let samples = frame.to_rgb8();
        let expected: Vec<u8> = (0..17).map(|x: i32| ((298 * 5 * x + 128) >> 8) as u8).collect();
        assert_eq!(samples.chunks(3).take(17).map(|p| p[1]).collect::<Vec<_>>(), expected);
    }
}
