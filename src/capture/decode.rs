//! Picture files → [`Frame`].

use super::{CaptureError, Frame, MAX_PIXELS, Samples, check_size};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Reads a PNG, JPEG, BMP or TIFF file of 8 or 16 bits a sample, recognised by its content. Grey becomes RGB, alpha is
/// dropped, 16 bits stay 16 bits.
///
/// The size is checked from the header, before memory for pixels is taken. A file that ends early is an error, never a
/// partly grey picture.
///
/// # Errors
/// [`CaptureError::Read`], [`CaptureError::Decode`] or [`CaptureError::FileSize`], all naming the file.
pub fn decode(path: &Path) -> Result<Frame, CaptureError> {
    let read = |source| CaptureError::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(read)?.is_file() {
        return Err(CaptureError::Decode { path: path.to_owned(), reason: "not a regular file".into() });
    }
    let file = BufReader::new(File::open(path).map_err(read)?);
    decode_stream(file).map_err(|error| match error {
        Failure::Read(source) => read(source),
        Failure::Content(reason) => CaptureError::Decode { path: path.to_owned(), reason },
        Failure::Size(reason) => CaptureError::FileSize { path: path.to_owned(), reason },
    })
}

/// Like [`decode`], for a file's bytes.
///
/// # Errors
/// A sentence without a name.
pub fn decode_bytes(bytes: &[u8]) -> Result<Frame, String> {
    decode_stream(Cursor::new(bytes)).map_err(|error| match error {
        Failure::Read(source) => source.to_string(),
        Failure::Content(reason) | Failure::Size(reason) => reason,
    })
}

enum Failure {
    Read(std::io::Error),
    Content(String),
    Size(String),
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Failure::Size(error.to_string())
    }
}

impl From<image::ImageError> for Failure {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Failure::Content("it ends early".into())
            }
            image::ImageError::IoError(e) if e.raw_os_error().is_some() => Failure::Read(e),
            other => Failure::Content(other.to_string()),
        }
    }
}

fn decode_stream(stream: impl BufRead + Seek) -> Result<Frame, Failure> {
    let mut reader = ImageReader::new(stream).with_guessed_format().map_err(Failure::Read)?;
    match reader.format() {
        Some(ImageFormat::Jpeg) => return decode_jpeg(reader.into_inner()),
        Some(_) => {}
        None => {
            return Err(Failure::Content("it is not a PNG, JPEG, BMP or TIFF".into()));
        }
    }
    // 8 bytes a pixel hold RGBA at 16 bits; the rest is for the decoder's own tables.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS as u64 + (64 << 20));
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let color = decoder.color_type();
    if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(Failure::Content(format!("its samples are {color:?}, expected 8 or 16 bits")));
    }
    let picture = DynamicImage::from_decoder(decoder)?;
    let samples = match color {
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
            Samples::Rgb16(picture.into_rgb16().into_raw())
        }
        _ => Samples::Rgb8(picture.into_rgb8().into_raw()),
    };
    Ok(Frame::new(width as usize, height as usize, samples)?)
}

/// `image` decodes JPEG leniently: what is missing of a cut file becomes grey. Here that is an error.
fn decode_jpeg(mut stream: impl Read) -> Result<Frame, Failure> {
    let mut bytes = Vec::new();
    // No JPEG within the pixel limit is larger than its samples.
    let limit = 3 * MAX_PIXELS as u64;
    stream.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(Failure::Read)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::Size(format!("the file is longer than {limit} bytes")));
    }
    let fail = |error: DecodeErrors| match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Failure::Content("it ends early".into()),
        other => Failure::Content(other.to_string().trim().to_owned()),
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_slice()), options);
    decoder.decode_headers().map_err(fail)?;
    let (width, height) = decoder.info().map(|i| (usize::from(i.width), usize::from(i.height))).unwrap_or_default();
    check_size(width, height)?;
    if !ends_after_last_scan(&bytes) {
        return Err(Failure::Content("it ends early".into()));
    }
    let samples = decoder.decode().map_err(fail)?;
    Ok(Frame::new(width, height, Samples::Rgb8(samples))?)
}

/// Whether an end-of-image marker follows the last start of a scan: within a scan's data 0xFF 0xD9 cannot occur.
fn ends_after_last_scan(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xFF, marker]);
    matches!((last(0xDA), last(0xD9)), (Some(scan), Some(end)) if end > scan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn pattern(x: u32, y: u32, channel: u32) -> u16 {
        ((x * 2003 + y * 4001 + channel * 9973) % 65536) as u16
    }

    fn expected(width: u32, height: u32, channel: impl Fn(u32) -> u32) -> Vec<u16> {
        let pixel = |i: u32| {
            let channel = &channel;
            (0..3).map(move |c| pattern(i % width, i / width, channel(c)))
        };
        (0..width * height).flat_map(pixel).collect()
    }

    #[test]
    fn sixteen_bits_stay_sixteen_bits_and_alpha_is_dropped() {
        let rgb: ImageBuffer<Rgb<u16>, _> =
            ImageBuffer::from_fn(21, 17, |x, y| Rgb([pattern(x, y, 0), pattern(x, y, 1), pattern(x, y, 2)]));
        let rgba: ImageBuffer<Rgba<u16>, _> =
            ImageBuffer::from_fn(21, 17, |x, y| Rgba([pattern(x, y, 0), pattern(x, y, 1), pattern(x, y, 2), 7]));
        let grey: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(21, 17, |x, y| Luma([pattern(x, y, 1)]));
        let grey_alpha: ImageBuffer<LumaA<u16>, _> = ImageBuffer::from_fn(21, 17, |x, y| LumaA([pattern(x, y, 1), 0]));
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            for bytes in [encoded(rgb.clone(), format), encoded(rgba.clone(), format)] {
                let frame = decode_bytes(&bytes).unwrap();
                assert_eq!(frame.samples(), &Samples::Rgb16(expected(21, 17, |c| c)), "{format:?}");
            }
            let frame = decode_bytes(&encoded(grey.clone(), format)).unwrap();
            assert_eq!(frame.samples(), &Samples::Rgb16(expected(21, 17, |_| 1)), "{format:?}");
        }
        let frame = decode_bytes(&encoded(grey_alpha, ImageFormat::Png)).unwrap();
        assert_eq!(frame.samples(), &Samples::Rgb16(expected(21, 17, |_| 1)));
    }

    #[test]
    fn eight_bits_of_every_format_are_kept() {
        let low = |values: Vec<u16>| Samples::Rgb8(values.iter().map(|v| (v % 256) as u8).collect());
        let byte = |x, y, c| (pattern(x, y, c) % 256) as u8;
        let rgb: ImageBuffer<Rgb<u8>, _> =
            ImageBuffer::from_fn(33, 16, |x, y| Rgb([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)]));
        let grey: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_fn(33, 16, |x, y| Luma([byte(x, y, 2)]));
        for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Bmp] {
            let frame = decode_bytes(&encoded(rgb.clone(), format)).unwrap();
            assert_eq!((frame.width(), frame.height()), (33, 16));
            assert_eq!(frame.samples(), &low(expected(33, 16, |c| c)), "{format:?}");
            let frame = decode_bytes(&encoded(grey.clone(), format)).unwrap();
            assert_eq!(frame.samples(), &low(expected(33, 16, |_| 2)), "{format:?}");
        }
    }

    #[test]
    fn jpeg_is_close_to_the_picture_it_was_made_from() {
        let smooth = |x: u32, y: u32| [(x * 4) as u8, (y * 4) as u8, 128];
        let rgb: ImageBuffer<Rgb<u8>, _> = ImageBuffer::from_fn(48, 40, |x, y| Rgb(smooth(x, y)));
        let grey: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_fn(48, 40, |x, _| Luma([(x * 5) as u8]));
        let near = |bytes: &[u8], truth: &dyn Fn(u32, u32) -> [u8; 3]| {
            let frame = decode_bytes(bytes).unwrap();
            let samples = frame.to_rgb8();
            for (i, pixel) in samples.chunks(3).enumerate() {
                let truth = truth(i as u32 % 48, i as u32 / 48);
                for (got, want) in pixel.iter().zip(truth) {
                    assert!(got.abs_diff(want) < 16, "pixel {i}: {pixel:?}, expected {truth:?}");
                }
            }
        };
        near(&encoded(rgb, ImageFormat::Jpeg), &smooth);
        near(&encoded(grey, ImageFormat::Jpeg), &|x, _| [(x * 5) as u8; 3]);
    }

    #[test]
    fn no_cut_file_is_a_picture() {
        let rgb: ImageBuffer<Rgb<u8>, _> =
            ImageBuffer::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, (pattern(x, y, 1) >> 8) as u8, y as u8]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff] {
            let bytes = encoded(rgb.clone(), format);
            let whole = decode_bytes(&bytes).unwrap();
            for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 2]) {
                // What follows the pixels (a PNG's last chunk, a TIFF's last tags) may be missing, never pixels.
                if let Ok(cut) = decode_bytes(&bytes[..length]) {
                    assert_eq!(cut, whole, "{format:?} cut to {length} of {} bytes", bytes.len());
                }
            }
            assert!(decode_bytes(&bytes[..bytes.len() / 2]).is_err(), "{format:?}");
        }
    }

    #[test]
    fn a_damaged_scan_is_an_error() {
        let grey: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_fn(64, 64, |x, y| Luma([(pattern(x, y, 0) >> 8) as u8]));
        let mut bytes = encoded(grey, ImageFormat::Jpeg);
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle + 40, [0xFF, 0xD8]);
        assert!(decode_bytes(&bytes).is_err());
    }

    #[test]
    fn what_is_no_picture_says_so() {
        for bytes in [&b""[..], b"hello", b"\x89PNG", b"II*\0"] {
            assert!(decode_bytes(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(decode_bytes(b"hello there, I am text").unwrap_err(), "it is not a PNG, JPEG, BMP or TIFF");
        let tiny: ImageBuffer<Luma<u8>, _> = ImageBuffer::from_pixel(1, 1, Luma([0]));
        assert!(decode_bytes(&encoded(tiny, ImageFormat::Png)).unwrap_err().contains("1×1 pixels, too small"));
    }

    #[test]
    fn float_samples_are_refused() {
        let picture: ImageBuffer<Rgb<f32>, _> = ImageBuffer::from_pixel(16, 16, Rgb([0.5, 0.5, 0.5]));
        assert!(decode_bytes(&encoded(picture, ImageFormat::Tiff)).unwrap_err().contains("expected 8 or 16 bits"));
    }
}
