//! F(4×4, 3×3) of a map of codes with 8-bit weights in whole numbers: transformed inputs and weights fit 16 bits, and their sums
//! of products 32, so that nothing is rounded before the last transform.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "no other processor multiplies words faster than f32")
)]

use super::batch::{Batch, Block, Products};
use super::points::Six;
use super::{Band, BandWeights, Share, Tile, Values};
use crate::infer::kernels::dot::{WordKernel, Words, add_products};
use crate::infer::kernels::vector::{BLOCK, Vector};
use crate::infer::kernels::{Buffer, Isa, LANES, bytes_mut, next_panel, padded};
use std::mem::MaybeUninit;

/// Inputs along one side of a tile.
const SIDE: usize = Tile::F4x3.inputs();
/// Bytes that are read past the last pixel, and have no weight.
pub(super) const BEYOND: usize = LANES;
/// How much larger than the inputs each value may be along one side: the sum of the magnitudes in a row of Bᵀ.
const GROWTH: [i64; SIDE] = [10, 10, 10, 6, 6, 10];

/// Weights in whole numbers, for each position packed as by [`Isa::pack`], two inputs at a time.
#[derive(Debug)]
pub(in crate::infer) struct WordWeights {
    /// (position, panel, half the inputs, channel, 2), 16 bits each.
    pairs: Buffer,
    /// What sums of products are multiplied with, (position, channel).
    scale: Buffer,
}

impl WordWeights {
    /// Of `codes` in (output, input, row, column) order, which stand for `code · scale` of their output's scale. None where a sum of
    /// products with inputs that are at most `most` from 0 could need more than 32 bits.
    pub(in crate::infer) fn new(isa: Isa, codes: &[i8], scales: &[f32], most: u8) -> Option<Self> {
        let outputs = scales.len();
        let inputs = codes.len() / (outputs * Tile::F4x3.kernel().pow(2)).max(1);
        let (pitch, pairs) = (padded(outputs), inputs.div_ceil(2));
        let positions = transformed(codes, outputs, inputs);
        let mut found = Self {
            pairs: Buffer::zeroed(positions.len() * pairs * pitch),
            scale: Buffer::zeroed(positions.len() * pitch),
        };
        let factors: Vec<f64> = Tile::F4x3.points().iter().map(|(_, scale)| *scale).chain([1.0]).collect();
        let mut packed = bytes_mut(&mut found.pairs).chunks_exact_mut(2);
        for (position, matrix) in positions.iter().enumerate() {
            let [y, x] = [position / SIDE, position % SIDE];
            for output in 0..outputs {
                let sum: i64 = (0..inputs).map(|input| i64::from(matrix[input * outputs + output].abs())).sum();
                if sum * GROWTH[y] * GROWTH[x] * i64::from(most) > i64::from(i32::MAX) {
                    return None;
                }
                let scale = f64::from(scales[output]) * factors[y] * factors[x];
                found.scale[position * pitch + output] = scale as f32;
            }
            let mut first = 0;
            while first < pitch {
                let width = next_panel((pitch - first) / isa.lanes(), isa.panel()) * isa.lanes();
                for pair in 0..pairs {
                    for channel in first..first + width {
                        for input in [2 * pair, 2 * pair + 1] {
                            let known = input < inputs && channel < outputs;
                            let weight =
                                if known { i16::try_from(matrix[input * outputs + channel]).ok()? } else { 0 };
                            packed.next()?.copy_from_slice(&weight.to_ne_bytes());
                        }
                    }
                }
                first += width;
            }
        }
        Some(found)
    }

    /// Whether they are those of `depth` inputs and `channels` outputs, the latter padded.
    pub(super) fn fit(&self, depth: usize, channels: usize) -> bool {
        let positions = SIDE * SIDE;
        self.pairs.len() == positions * depth.div_ceil(2) * channels && self.scale.len() == positions * channels
    }
}

/// G·w·Gᵀ without the scales of G, for each position in (input, output) order: powers of the points, whole numbers.
fn transformed(codes: &[i8], outputs: usize, inputs: usize) -> Vec<Vec<i32>> {
    let kernel = Tile::F4x3.kernel();
    let power = |(point, _): &(f64, f64)| (0..kernel).map(|j| (*point as i32).pow(j as u32)).collect();
    let mut rows: Vec<Vec<i32>> = Tile::F4x3.points().iter().map(power).collect();
    rows.push((0..kernel).map(|j| i32::from(j + 1 == kernel)).collect());
    let mut positions = vec![vec![0; inputs * outputs]; SIDE * SIDE];
    for (index, taps) in codes.chunks_exact(kernel * kernel).enumerate() {
        let (output, input) = (index / inputs, index % inputs);
        for (position, matrix) in positions.iter_mut().enumerate() {
            let (down, across) = (&rows[position / SIDE], &rows[position % SIDE]);
            let row = |y: usize| (0..kernel).map(|x| across[x] * i32::from(taps[y * kernel + x])).sum::<i32>();
            matrix[input * outputs + output] = (0..kernel).map(|y| down[y] * row(y)).sum();
        }
    }
    positions
}

impl WordKernel for Band<'_> {
    #[inline(always)]
    unsafe fn run<W: Words>(mut self) {
        let (Values::Codes(codes), [share]) = (self.input, self.shares) else { return };
        let BandWeights::Words { weights, zero } = share.weights else { return };
        // SAFETY: the caller's.
        unsafe {
            let zero = W::splat(i16::from(zero));
            self.batches::<_, Six, SIDE, SIDE, 4>(WordProducts { codes: codes.as_ptr(), weights, zero });
        }
    }
}

/// Codes less that of 0, and weights, in whole numbers.
#[derive(Clone, Copy)]
struct WordProducts<'a, W> {
    codes: *const u8,
    weights: &'a WordWeights,
    zero: W,
}

impl<W: Words> Products<SIDE> for WordProducts<'_, W> {
    type Floats = W::Floats;

    fn batch(self, band: &Band) -> Batch {
        let words = band.input_pitch.next_multiple_of(2 * W::Floats::LANES) / 2;
        Batch::apart(SIDE * SIDE, words, band.channels(), self.weights.pairs.len())
    }

    #[inline(always)]
    unsafe fn transform_input(self, band: &mut Band, batch: &Batch, tile: usize, at: usize) {
        let (row, pitch, position) = (band.input_row, band.input_pitch, 2 * BLOCK * batch.inputs_pitch);
        // SAFETY: the caller's; every element of `half` is written before it is read.
        unsafe {
            let from = self.codes.add(at);
            let to = band.scratch.as_mut_ptr().add(batch.input(tile)).cast::<i16>();
            let mut half: MaybeUninit<[[W; SIDE]; SIDE]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[W; SIDE]>();
            for channel in (0..pitch).step_by(2 * W::Floats::LANES) {
                for x in 0..SIDE {
                    let mut line = [self.zero; SIDE];
                    for (y, value) in line.iter_mut().enumerate() {
                        *value = W::load_codes(from.add(y * row + x * pitch + channel)).sub(self.zero);
                    }
                    for (y, value) in transform(&line).into_iter().enumerate() {
                        half.add(y).cast::<W>().add(x).write(value);
                    }
                }
                for y in 0..SIDE {
                    for (x, value) in transform(&*half.add(y)).into_iter().enumerate() {
                        value.store(to.add((y * SIDE + x) * position + channel));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<const R: usize, const N: usize>(self, band: &mut Band, batch: &Batch, _: &Share, at: Block) {
        let (channels, pairs, lanes) = (band.channels(), band.depth.div_ceil(2), W::Floats::LANES);
        // SAFETY: the caller's.
        unsafe {
            let scratch = band.scratch.as_mut_ptr();
            let outputs = scratch.add(batch.output(at.tile) + at.position * BLOCK * batch.outputs_pitch + at.channel);
            let weights = self.weights.pairs.as_ptr().add((at.position * channels + at.channel) * pairs);
            let scale = self.weights.scale.as_ptr().add(at.position * channels + at.channel);
            let sums = [[W::splat(0); N]; R];
            let sums = add_products(sums, at.inputs.cast(), 4 * batch.inputs_pitch, 4 * pairs, weights.cast());
            for n in 0..N {
                let scale = W::Floats::load(scale.add(n * lanes));
                for (r, row) in sums.iter().enumerate() {
                    row[n].floats().mul(scale).store(outputs.add(r * batch.outputs_pitch + n * lanes));
                }
            }
        }
    }
}

/// Bᵀ·d, as [`Six`] does it of f32.
///
/// # Safety
/// As for [`Words`].
#[inline(always)]
unsafe fn transform<W: Words>(d: &[W; SIDE]) -> [W; SIDE] {
    // SAFETY: the caller's.
    unsafe {
        let (even, odd) = (d[4].sub(d[2].times_four()), d[3].sub(d[1].times_four()));
        let (far_even, far_odd) = (d[4].sub(d[2]), d[3].sub(d[1]));
        let far_odd = far_odd.add(far_odd);
        let zero = d[0].times_four().add(even).sub(d[2]);
        let infinity = d[5].sub(d[3].times_four()).sub(odd);
        [zero, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), infinity]
    }
}
