//! Every instruction set against sums of integers.

use super::*;
use crate::infer::kernels::{Finish, LANES, Output, Residual, Tap, Values, ValuesMut, bytes, padded};

/// A reproducible sequence of bytes with many of the extremes, where saturation would show.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..count).map(|_| if next() % 3 == 0 { [0, 255][next() as usize % 2] } else { (next() >> 9) as u8 }).collect()
}

struct Case {
    channels: usize,
    count: usize,
    /// Depth and step of the taps of each source.
    terms: Vec<Vec<(usize, usize)>>,
}

/// Sources, taps and the (depth, channels) weights of each term for one instruction set, the weights past a tap's own depth
/// zero.
type Prepared = (Vec<Vec<u8>>, Vec<Tap>, Vec<DotTerm>);

impl Case {
    fn prepare(&self, isa: Isa) -> Prepared {
        let pitch = padded(self.channels);
        let (mut sources, mut taps, mut terms) = (Vec::new(), Vec::new(), Vec::new());
        for (source, term) in self.terms.iter().enumerate() {
            let (mut matrix, first) = (Vec::new(), taps.len());
            let length = term.iter().map(|(depth, step)| 3 + self.count * step + depth + 64).max().unwrap_or(0);
            for (index, (depth, step)) in term.iter().enumerate() {
                let whole = depth.next_multiple_of(isa.tap_depth());
                taps.push(Tap { source, start: 3 * index, step: *step, depth: whole });
                matrix.extend(self.weights(source, index, *depth));
                matrix.resize(matrix.len() + (whole - depth) * pitch, 0);
            }
            sources.push(noise(length + 3 * term.len(), 5 + source as u32));
            let weights = isa.pack_codes(&matrix, pitch);
            let mut start = self.start(source, isa);
            start.resize(pitch.next_multiple_of(if isa.has_tiles() { 32 } else { 16 }), 0);
            let scale: Vec<f32> = (0..pitch).map(|c| self.scale(source, c)).collect();
            terms.push(DotTerm { taps: first..taps.len(), weights, start, scale: Buffer::from(&scale[..]) });
        }
        (sources, taps, terms)
    }

    /// (depth, padded channels), zero past the channels.
    fn weights(&self, source: usize, tap: usize, depth: usize) -> Vec<i8> {
        let pitch = padded(self.channels);
        let extreme = |byte: u8| if byte == 0 { -127 } else { 127 };
        let weight = |byte: u8| if byte == 0 || byte == 255 { extreme(byte) } else { (byte as i8).max(-127) };
        let noise = noise(depth * pitch, (100 + 10 * source + tap) as u32).into_iter().enumerate();
        noise.map(|(i, byte)| if i % pitch < self.channels { weight(byte) } else { 0 }).collect()
    }

    fn start(&self, source: usize, isa: Isa) -> Vec<i32> {
        let sum = |c: usize| -> i32 {
            let taps = self.terms[source].iter().enumerate();
            let column = |(tap, (depth, _)): (usize, &(usize, usize))| -> i32 {
                let weights = self.weights(source, tap, *depth);
                weights[c..].iter().step_by(padded(self.channels)).map(|w| i32::from(*w)).sum()
            };
            taps.map(column).sum()
        };
        (0..padded(self.channels)).map(|c| isa.code_offset() * sum(c) - 1000 * c as i32).collect()
    }

    fn scale(&self, source: usize, channel: usize) -> f32 {
        [2e-4, -5e-5, 1e-4, 3e-5][source] * (1.0 + channel as f32 / 64.0)
    }

    /// The sums by definition, (count, padded channels).
    fn naive(&self, bias: &[f32]) -> Vec<f64> {
        let (pitch, isa) = (padded(self.channels), Isa(Kind::Portable));
        let (sources, taps, terms) = self.prepare(isa);
        let mut sums: Vec<f64> = (0..self.count).flat_map(|_| bias.iter().map(|b| f64::from(*b))).collect();
        for (source, term) in terms.iter().enumerate() {
            let weights: Vec<Vec<i8>> = self.terms[source]
                .iter()
                .enumerate()
                .map(|(tap, (depth, _))| self.weights(source, tap, *depth))
                .collect();
            for x in 0..self.count {
                for c in 0..pitch {
                    let mut sum = i64::from(term.start[c]);
                    for (tap, weights) in taps[term.taps.clone()].iter().zip(&weights) {
                        for (k, weight) in weights[c..].iter().step_by(pitch).enumerate() {
                            sum += i64::from(sources[source][tap.start + x * tap.step + k]) * i64::from(*weight);
                        }
                    }
                    sums[x * pitch + c] += sum as f64 * f64::from(self.scale(source, c));
                }
            }
        }
        sums
    }
}

fn cases() -> Vec<Case> {
    let one = |channels, count, taps: &[(usize, usize)]| Case { channels, count, terms: vec![taps.to_vec()] };
    vec![
        one(64, 70, &[(192, 64), (192, 64), (192, 64)]),
        one(16, 33, &[(48, 16), (48, 16), (48, 16)]),
        one(80, 20, &[(28, 4), (28, 4)]),
        one(5, 7, &[(64, 128)]),
        one(128, 1, &[(1024, 1024)]),
        one(20, 3, &[(36, 64), (12, 64)]),
        one(33, 64, &[(4, 8), (132, 8), (256, 8)]),
        Case { channels: 128, count: 40, terms: vec![vec![(64, 64)], vec![(64, 32), (64, 32)]] },
        Case { channels: 48, count: 12, terms: vec![vec![(32, 32)], vec![(16, 16)]] },
        Case { channels: 96, count: 37, terms: vec![vec![(64, 64)], vec![(64, 64)], vec![(32, 32)], vec![(16, 16)]] },
    ]
}

/// The instruction sets with integer kernels, and their twin.
fn tested() -> Vec<Isa> {
    Isa::available().into_iter().filter(|isa| isa.has_dot_products() || isa.0 == Kind::Portable).collect()
}

#[test]
fn sums_are_those_of_integers() {
    for (index, case) in cases().iter().enumerate() {
        let pitch = padded(case.channels);
        let bias: Vec<f32> = (0..pitch).map(|c| c as f32 / 10.0 - 2.0).collect();
        let expected = case.naive(&bias);
        let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for isa in tested() {
            let name = format!("case {index} on {}", isa.name());
            let (sources, taps, terms) = case.prepare(isa);
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let run = |output: Output| {
                let row =
                    DotRow { sources: &sources, taps: &taps, terms: &terms, bias: &bias, count: case.count, output };
                row.run(isa);
            };
            let (finish, step) = (Finish::default(), pitch + 16);
            let mut floats = vec![f32::NAN; case.count * step];
            let out = ValuesMut::Floats(&mut floats);
            run(Output::Pixels { out, step, residual: None, finish });
            for (x, row) in expected.chunks_exact(pitch).enumerate() {
                for (c, expected) in row.iter().enumerate() {
                    let error = (expected - f64::from(floats[x * step + c])).abs();
                    assert!(error <= 1e-6 * largest, "{name}: {error} at {x}, {c}");
                }
                assert!(floats[x * step + pitch..(x + 1) * step].iter().all(|v| v.is_nan()), "{name}: beyond");
            }
            let mut squares = vec![f32::NAN; 2 * case.count];
            run(Output::Squares { out: &mut squares, step: 2 });
            let mut smallest = vec![f32::INFINITY; case.count * LANES];
            run(Output::Smallest { least: &mut smallest });
            let smallest: Vec<f32> =
                smallest.chunks_exact(LANES).map(|lanes| lanes.iter().copied().fold(f32::INFINITY, f32::min)).collect();
            for (x, row) in expected.chunks_exact(pitch).enumerate() {
                let sum: f64 = row.iter().map(|v| v * v).sum();
                assert!((f64::from(squares[2 * x]) - sum).abs() <= 1e-5 * sum, "{name}: squares at {x}");
                let least = row.iter().copied().fold(f64::INFINITY, f64::min);
                assert!((f64::from(smallest[x]) - least).abs() <= 1e-6 * largest, "{name}: smallest at {x}");
                assert!(squares[2 * x + 1].is_nan(), "{name}: beyond");
            }
        }
    }
}

/// Rounding, activation, residual and both ends of the range.
#[test]
fn results_are_rounded_to_codes() {
    let case = &cases()[0];
    let pitch = padded(case.channels);
    let bias = vec![0.25; pitch];
    let exact = case.naive(&bias);
    let largest = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let other = noise(case.count * pitch, 9);
    for isa in tested() {
        let (sources, taps, terms) = case.prepare(isa);
        let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        for (relu, zero) in [(false, 0), (false, 117), (true, 0), (true, 40)] {
            let mut codes = vec![0; case.count * pitch];
            let out = ValuesMut::Codes { codes: &mut codes, zero };
            let residual = Some(Residual { values: Values::Codes(&other), step: pitch, factor: 0.5 });
            let output = Output::Pixels { out, step: pitch, residual, finish: Finish { relu, grid: None } };
            DotRow { sources: &sources, taps: &taps, terms: &terms, bias: &bias, count: case.count, output }.run(isa);
            let mut reached = [false; 2];
            for ((exact, other), code) in exact.iter().zip(&other).zip(&codes) {
                let value = exact + 0.5 * f64::from(*other);
                let value = if relu { value.max(0.0) } else { value };
                let nearest = (value + f64::from(zero)).clamp(0.0, 255.0);
                let error = (nearest - f64::from(*code)).abs();
                assert!(error <= 0.5 + 1e-6 * largest, "{}, {relu}, {zero}: {value} became {code}", isa.name());
                reached[0] |= *code == if relu { zero } else { 0 };
                reached[1] |= *code == 255;
            }
            assert_eq!(reached, [true; 2], "both ends are tested");
        }
    }
}

#[test]
fn what_no_integer_holds_is_not_taken_for_little() {
    use crate::infer::kernels::portable::Portable;
    let store = |value: f32| {
        let mut code = [0; 4];
        // SAFETY: four bytes are written.
        unsafe { Portable::splat(value).store_codes(7, 0, code.as_mut_ptr()) };
        code[0]
    };
    assert_eq!((store(3e12), store(-3e12), store(0.5), store(1.5)), (255, 0, 7, 9));
    let weights = [1.0; 64];
    assert_eq!(bytes(&weights).len(), 256);
}
