//! Preprocessing against Pillow and against arithmetic by hand.
#![allow(clippy::unwrap_used, clippy::excessive_precision)]

use mudenet_edge::capture::{Frame, Samples};
use mudenet_edge::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Preprocess};

/// One grey level of 8 bits after standardising: resamplers may round a sample to its other neighbour.
const ONE_LEVEL: f32 = 1.0 / 255.0 / 0.224 + 1e-4;

/// The closed form of `picture` in `tests/oracle/resize.py`.
fn picture(height: usize, width: usize) -> Vec<u8> {
    let sample = |y: usize, x: usize, c: usize| ((x * x * 3 + y * 7 + x * y + c * 50) % 256) as u8;
    (0..height * width * 3).map(|i| sample(i / 3 / width, i / 3 % width, i % 3)).collect()
}

fn value(frame: &Frame, (channel, row, column): (usize, usize, usize)) -> f32 {
    Preprocess::imagenet(64).apply(frame).unwrap().values()[(channel * 64 + row) * 64 + column]
}

#[test]
fn resizing_equals_pillows_bilinear() {
    // tests/oracle/resize.py with numpy 2.4.6 and pillow 13.0.0.
    let shrunk = [
        ((0, 0, 0), -1.843908),
        ((1, 63, 63), 0.310224),
        ((2, 10, 50), 0.461351),
        ((0, 33, 7), -0.302680),
        ((1, 31, 32), 0.362745),
    ];
    let enlarged = [
        ((0, 0, 0), -2.117904),
        ((1, 63, 63), 0.362745),
        ((2, 10, 50), -0.026667),
        ((0, 33, 7), 1.786540),
        ((1, 31, 32), -0.372549),
    ];
    for (height, width, golden) in [(150, 200, shrunk), (40, 30, enlarged)] {
        let frame = Frame::new(width, height, Samples::Rgb8(picture(height, width))).unwrap();
        for (at, expected) in golden {
            let got = value(&frame, at);
            assert!((got - expected).abs() < ONE_LEVEL, "{height}×{width} {at:?}: {got}, expected {expected}");
        }
    }
}

#[test]
fn a_frame_of_the_right_size_is_only_standardised() {
    let samples = picture(64, 64);
    let frame = Frame::new(64, 64, Samples::Rgb8(samples.clone())).unwrap();
    let input = Preprocess::imagenet(64).apply(&frame).unwrap();
    for (i, sample) in samples.iter().enumerate() {
        let (pixel, channel) = (i / 3, i % 3);
        let expected = (f32::from(*sample) / 255.0 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel];
        assert!((input.values()[channel * 4096 + pixel] - expected).abs() < 1e-6);
    }
}

#[test]
fn sixteen_bits_keep_what_eight_would_lose() {
    // Two greys that share their upper byte.
    let grey = |level: u16| Frame::new(100, 80, Samples::Rgb16(vec![level; 24_000])).unwrap();
    for level in [0x1200u16, 0x12ff] {
        let expected = (f32::from(level) / 65535.0 - 0.485) / 0.229;
        assert!((value(&grey(level), (0, 20, 20)) - expected).abs() < 1e-4);
    }
}
