//! Winograd convolutions F(4×4, 3×3) and F(4×4, 5×5) (Lavin and Gray, arXiv 1509.09308): a tile of inputs, of weights and
//! of outputs each go through a small linear transform, between which a convolution is one multiplication a position.

use super::vector::{BLOCK, Vector, multiply_add};
use super::{Buffer, Isa, Kernel, Residual, next_panel, padded};

/// Outputs along one side of a tile.
const OUTPUTS: usize = 4;
/// Transformed inputs of one batch of tiles, values: what stays in a second-level cache beside the weights.
const BATCH: usize = 100_000;
/// Values between the positions of a batch, so that they do not fall on the same cache sets.
const SKEW: usize = 16;

/// A convolution that has a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tile {
    /// 4 × 4 outputs of a 3 × 3 kernel: points 0, ±1, ±2, ∞.
    F4x3,
    /// 4 × 4 outputs of a 5 × 5 kernel: points 0, ±1, ±2, ±½, ∞.
    F4x5,
}

impl Tile {
    /// The transform for a `kernel` × `kernel` convolution of stride 1.
    pub(in super::super) fn for_kernel(kernel: usize) -> Option<Self> {
        match kernel {
            3 => Some(Self::F4x3),
            5 => Some(Self::F4x5),
            _ => None,
        }
    }

    /// Outputs along one side.
    pub(in super::super) fn outputs(self) -> usize {
        OUTPUTS
    }

    /// Inputs along one side.
    pub(in super::super) fn inputs(self) -> usize {
        self.kernel() + OUTPUTS - 1
    }

    fn kernel(self) -> usize {
        match self {
            Self::F4x3 => 3,
            Self::F4x5 => 5,
        }
    }

    /// G·w·Gᵀ of weights in (output, input, row, column) order, for each position packed with [`Isa::pack`].
    pub(in super::super) fn weights(self, isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Buffer {
        let (kernel, side) = (self.kernel(), self.inputs());
        let (pitch, g) = (padded(outputs), self.weight_transform());
        let mut positions = vec![vec![0f32; inputs * pitch]; side * side];
        let mut half = vec![0f64; side * kernel];
        for (index, taps) in weights.chunks_exact(kernel * kernel).enumerate() {
            let (output, input) = (index / inputs, index % inputs);
            for i in 0..side {
                for x in 0..kernel {
                    half[i * kernel + x] = (0..kernel).map(|y| g[i][y] * f64::from(taps[y * kernel + x])).sum();
                }
            }
            for i in 0..side {
                for j in 0..side {
                    let value: f64 = (0..kernel).map(|x| half[i * kernel + x] * g[j][x]).sum();
                    positions[i * side + j][input * pitch + output] = value as f32;
                }
            }
        }
        let mut all = Buffer::zeroed(side * side * inputs * pitch);
        for (position, packed) in positions.iter().zip(all.chunks_exact_mut((inputs * pitch).max(1))) {
            packed.copy_from_slice(&isa.pack(position, pitch));
        }
        all
    }

    /// G: row i evaluates a kernel at point i, scaled so that the other two transforms have few factors.
    fn weight_transform(self) -> Vec<Vec<f64>> {
        let points: &[(f64, f64)] = match self {
            Self::F4x3 => {
                &[(0.0, 1.0 / 4.0), (1.0, -1.0 / 6.0), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 24.0), (-2.0, 1.0 / 24.0)]
            }
            Self::F4x5 => &[
                (0.0, 1.0),
                (1.0, -2.0 / 9.0),
                (-1.0, -2.0 / 9.0),
                (2.0, 1.0 / 90.0),
                (-2.0, 1.0 / 90.0),
                (0.5, 32.0 / 45.0),
                (-0.5, 32.0 / 45.0),
            ],
        };
        let power = |(point, scale): &(f64, f64)| (0..self.kernel()).map(|j| scale * point.powi(j as i32)).collect();
        let mut rows: Vec<Vec<f64>> = points.iter().map(power).collect();
        let mut infinity = vec![0.0; self.kernel()];
        infinity[self.kernel() - 1] = 1.0;
        rows.push(infinity);
        rows
    }
}

/// Rows of a convolution's outputs.
pub(in super::super) struct Band<'a> {
    pub tile: Tile,
    /// Starts at the first output's upper left input; padding is stored.
    pub input: &'a [f32],
    /// Values from one input row to the next.
    pub input_row: usize,
    /// Values an input pixel, a multiple of [`super::LANES`].
    pub input_pitch: usize,
    /// Channels of the input, at most its pitch.
    pub depth: usize,
    /// From [`Tile::weights`].
    pub weights: &'a [f32],
    /// One value a channel of the output; their number is the output's pitch.
    pub bias: &'a [f32],
    /// Rows of outputs.
    pub rows: usize,
    /// Columns of outputs.
    pub columns: usize,
    /// Starts at the first output.
    pub out: &'a mut [f32],
    /// Values from one output row to the next.
    pub out_row: usize,
    /// Added before the activation; `step` is from one row to the next, the pitch is the output's.
    pub residual: Option<Residual<'a>>,
    /// Replace negative values by 0.
    pub relu: bool,
    /// Memory for the transformed tiles.
    pub scratch: &'a mut Buffer,
}

impl Band<'_> {
    /// Computes the rows.
    ///
    /// # Panics
    /// Where input, weights, residual or output do not fit their slices: a mistake in the plan.
    pub(in super::super) fn run(self, isa: Isa) {
        let (rows, columns, channels, side) = (self.rows, self.columns, self.bias.len(), self.tile.inputs());
        if rows == 0 || columns == 0 || channels == 0 {
            return;
        }
        assert_eq!((self.input_pitch % super::LANES, channels % super::LANES), (0, 0), "channels in whole vectors");
        assert!(self.depth <= self.input_pitch, "channels in their pixel");
        let last = |outputs: usize| outputs.next_multiple_of(OUTPUTS) - OUTPUTS + side - 1;
        let end = last(rows) * self.input_row + (last(columns) + 1) * self.input_pitch;
        assert!(end <= self.input.len(), "tiles in their map");
        assert_eq!(self.weights.len(), side * side * self.depth * channels, "weights of all positions");
        assert!((rows - 1) * self.out_row + columns * channels <= self.out.len(), "outputs in their slice");
        if let Some(residual) = &self.residual {
            let end = (rows - 1) * residual.step + columns * channels;
            assert!(end <= residual.values.len(), "residual in its slice");
        }
        // SAFETY: the assertions bound every access to the maps; `Batch::new` sizes the scratch memory.
        unsafe { isa.run(self) }
    }
}

impl Kernel for Band<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        // SAFETY: the caller's.
        unsafe {
            match self.tile {
                Tile::F4x3 => self.batches::<V, F4x3, 6>(),
                Tile::F4x5 => self.batches::<V, F4x5, 8>(),
            }
        }
    }
}

/// Where a batch of tiles lies in scratch memory: position by position, each (tiles, pitch).
struct Batch {
    /// Tiles, a multiple of [`BLOCK`].
    tiles: usize,
    /// Values from one position to the next.
    inputs_position: usize,
    /// Start of the products; 0 where they replace the transformed inputs.
    outputs_start: usize,
    outputs_position: usize,
    /// Values a tile.
    outputs_pitch: usize,
}

impl Batch {
    fn new(positions: usize, input_pitch: usize, channels: usize, one_panel: bool) -> Self {
        let tiles = (BATCH / (positions * input_pitch)).max(1).next_multiple_of(BLOCK);
        let inputs_position = tiles * input_pitch + SKEW;
        if one_panel && channels <= input_pitch {
            let outputs_position = inputs_position;
            return Self { tiles, inputs_position, outputs_start: 0, outputs_position, outputs_pitch: input_pitch };
        }
        Self {
            tiles,
            inputs_position,
            outputs_start: positions * inputs_position,
            outputs_position: tiles * channels + SKEW,
            outputs_pitch: channels,
        }
    }

    fn scratch(&self, positions: usize) -> usize {
        self.outputs_start + positions * self.inputs_position.max(self.outputs_position)
    }
}

impl Band<'_> {
    #[inline(always)]
    unsafe fn batches<V: Vector, P: Points<A>, const A: usize>(&mut self) {
        let channels = self.bias.len();
        let batch = Batch::new(A * A, self.input_pitch, channels, channels <= V::PANEL * V::LANES);
        self.scratch.reserve(batch.scratch(A * A));
        let across = self.columns.div_ceil(OUTPUTS);
        let all = self.rows.div_ceil(OUTPUTS) * across;
        for first in (0..all).step_by(batch.tiles) {
            let tiles = (all - first).min(batch.tiles);
            // SAFETY: the caller's.
            unsafe {
                for tile in 0..tiles {
                    let (row, column) = ((first + tile) / across, (first + tile) % across);
                    self.transform_input::<V, P, A>(&batch, tile, row * OUTPUTS, column * OUTPUTS);
                }
                for position in 0..A * A {
                    self.multiply::<V>(&batch, position, tiles);
                }
                for tile in 0..tiles {
                    let (row, column) = ((first + tile) / across, (first + tile) % across);
                    self.transform_output::<V, P, A>(&batch, tile, row * OUTPUTS, column * OUTPUTS);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn transform_input<V: Vector, P: Points<A>, const A: usize>(
        &mut self,
        batch: &Batch,
        tile: usize,
        row: usize,
        column: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let from = self.input.as_ptr().add(row * self.input_row + column * self.input_pitch);
            let to = self.scratch.as_mut_ptr().add(tile * self.input_pitch);
            let zero = V::splat(0.0);
            for channel in (0..self.input_pitch).step_by(V::LANES) {
                // Columns first: half[x][y] is position y of column x.
                let mut half = [[zero; A]; A];
                for (x, column) in half.iter_mut().enumerate() {
                    let mut line = [zero; A];
                    for (y, value) in line.iter_mut().enumerate() {
                        *value = V::load(from.add(y * self.input_row + x * self.input_pitch + channel));
                    }
                    *column = P::input(&line);
                }
                for y in 0..A {
                    let line = half.map(|column| column[y]);
                    for (x, value) in P::input(&line).into_iter().enumerate() {
                        value.store(to.add((y * A + x) * batch.inputs_position + channel));
                    }
                }
            }
        }
    }

    /// (tiles, depth) · (depth, channels) at one position.
    #[inline(always)]
    unsafe fn multiply<V: Vector>(&mut self, batch: &Batch, position: usize, tiles: usize) {
        let channels = self.bias.len();
        // SAFETY: the caller's; `batch.tiles` is a multiple of BLOCK, so that the last block of tiles is within the batch.
        unsafe {
            let weights = self.weights.as_ptr().add(position * self.depth * channels);
            let inputs = self.scratch.as_ptr().add(position * batch.inputs_position);
            let outputs = self.scratch.as_mut_ptr().add(batch.outputs_start + position * batch.outputs_position);
            for tile in (0..tiles).step_by(BLOCK) {
                let a = inputs.add(tile * self.input_pitch);
                let c = outputs.add(tile * batch.outputs_pitch);
                let mut channel = 0;
                while channel < channels {
                    let vectors = next_panel((channels - channel) / V::LANES, V::PANEL);
                    let (b, c) = (weights.add(channel * self.depth), c.add(channel));
                    match vectors {
                        1 => self.block::<V, 1>(a, b, c, batch.outputs_pitch),
                        2 => self.block::<V, 2>(a, b, c, batch.outputs_pitch),
                        _ => self.block::<V, 4>(a, b, c, batch.outputs_pitch),
                    }
                    channel += vectors * V::LANES;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn block<V: Vector, const N: usize>(&self, a: *const f32, b: *const f32, c: *mut f32, pitch: usize) {
        // SAFETY: the caller's.
        unsafe {
            let sums = [[V::splat(0.0); N]; BLOCK];
            let sums = multiply_add(sums, a, self.input_pitch, self.depth, b);
            for (r, row) in sums.into_iter().enumerate() {
                for (n, value) in row.into_iter().enumerate() {
                    value.store(c.add(r * pitch + n * V::LANES));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn transform_output<V: Vector, P: Points<A>, const A: usize>(
        &mut self,
        batch: &Batch,
        tile: usize,
        row: usize,
        column: usize,
    ) {
        let pitch = self.bias.len();
        let (rows, columns) = ((self.rows - row).min(OUTPUTS), (self.columns - column).min(OUTPUTS));
        // SAFETY: the caller's.
        unsafe {
            let from = self.scratch.as_ptr().add(batch.outputs_start + tile * batch.outputs_pitch);
            let to = self.out.as_mut_ptr().add(row * self.out_row + column * pitch);
            let zero = V::splat(0.0);
            for channel in (0..pitch).step_by(V::LANES) {
                let mut half = [[zero; OUTPUTS]; A];
                for (x, column) in half.iter_mut().enumerate() {
                    let mut line = [zero; A];
                    for (y, value) in line.iter_mut().enumerate() {
                        *value = V::load(from.add((y * A + x) * batch.outputs_position + channel));
                    }
                    *column = P::output(&line);
                }
                let bias = V::load(self.bias.as_ptr().add(channel));
                for y in 0..rows {
                    let line = half.map(|column| column[y]);
                    for (x, value) in P::output(&line).into_iter().enumerate() {
                        if x < columns {
                            let mut value = value.add(bias);
                            if let Some(residual) = &self.residual {
                                let at = (row + y) * residual.step + (column + x) * pitch + channel;
                                value = value.add(V::load(residual.values.as_ptr().add(at)));
                            }
                            if self.relu {
                                value = zero.max(value);
                            }
                            value.store(to.add(y * self.out_row + x * pitch + channel));
                        }
                    }
                }
            }
        }
    }
}

/// The transforms of inputs and outputs along one side of A points.
trait Points<const A: usize> {
    /// Bᵀ·d.
    ///
    /// # Safety
    /// As for [`Vector`].
    unsafe fn input<V: Vector>(d: &[V; A]) -> [V; A];

    /// Aᵀ·t.
    ///
    /// # Safety
    /// As for [`Vector`].
    unsafe fn output<V: Vector>(t: &[V; A]) -> [V; OUTPUTS];
}

struct F4x3;

impl Points<6> for F4x3 {
    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 6]) -> [V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, five) = (V::splat(2.0), V::splat(-4.0), V::splat(-5.0));
            let zero = d[2].mul_add(five, d[4].sub(d[0].mul(four)));
            let infinity = d[3].mul_add(five, d[5].sub(d[1].mul(four)));
            let (even, odd) = (d[2].mul_add(four, d[4]), d[1].mul_add(four, d[3]));
            let (far_even, far_odd) = (d[4].sub(d[2]), d[3].sub(d[1]).mul(two));
            [zero, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), infinity]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(t: &[V; 6]) -> [V; OUTPUTS] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (t[1].add(t[2]), t[1].sub(t[2]));
            let (far_even, far_odd) = (t[3].add(t[4]), t[3].sub(t[4]));
            [
                t[0].add(even).add(far_even),
                far_odd.mul_add(V::splat(2.0), odd),
                far_even.mul_add(V::splat(4.0), even),
                far_odd.mul_add(V::splat(8.0), odd).add(t[5]),
            ]
        }
    }
}

struct F4x5;

impl Points<8> for F4x5 {
    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 8]) -> [V; 8] {
        // SAFETY: the caller's.
        unsafe {
            let zero = d[4].sub(d[2]).mul_add(V::splat(5.25), d[0].sub(d[6]));
            let infinity = d[3].sub(d[5]).mul_add(V::splat(5.25), d[7].sub(d[1]));
            let even = d[4].mul_add(V::splat(-4.25), d[2].add(d[6]));
            let odd = d[3].mul_add(V::splat(-4.25), d[1].add(d[5]));
            let far_even = d[4].mul_add(V::splat(-1.25), d[2].mul_add(V::splat(0.25), d[6]));
            let far_odd = d[3].mul_add(V::splat(-2.5), d[1].mul_add(V::splat(0.5), d[5].add(d[5])));
            let near_even = d[4].mul_add(V::splat(-5.0), d[2].mul_add(V::splat(4.0), d[6]));
            let near_odd = d[3].mul_add(V::splat(-2.5), d[5].mul_add(V::splat(0.5), d[1].add(d[1])));
            [
                zero,
                even.add(odd),
                even.sub(odd),
                far_even.add(far_odd),
                far_even.sub(far_odd),
                near_even.add(near_odd),
                near_even.sub(near_odd),
                infinity,
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector>(t: &[V; 8]) -> [V; OUTPUTS] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (t[1].add(t[2]), t[1].sub(t[2]));
            let (far_even, far_odd) = (t[3].add(t[4]), t[3].sub(t[4]));
            let (near_even, near_odd) = (t[5].add(t[6]), t[5].sub(t[6]));
            [
                t[0].add(even).add(far_even).add(near_even),
                far_odd.mul_add(V::splat(2.0), near_odd.mul_add(V::splat(0.5), odd)),
                far_even.mul_add(V::splat(4.0), near_even.mul_add(V::splat(0.25), even)),
                far_odd.mul_add(V::splat(8.0), near_odd.mul_add(V::splat(0.125), odd)).add(t[7]),
            ]
        }
    }
}
