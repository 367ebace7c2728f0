//! A band of tiles, batch by batch: transform the inputs, multiply at each position, transform the products.

use super::Band;
use super::points::Points;
use crate::infer::kernels::source::Source;
use crate::infer::kernels::vector::{BLOCK, Vector, multiply_add};
use crate::infer::kernels::{Residual, ValuesMut, next_panel};
use std::mem::MaybeUninit;

/// Transformed inputs or products, whichever are more, of one batch of tiles, values: few enough to stay in a second-level
/// cache, enough for the weights, which are read once a batch, not to be what the multiplication waits for.
const BATCH: usize = 60_000;

/// Where a batch of tiles lies in scratch memory: (block of [`BLOCK`] tiles, position, tile, channel), so that the
/// positions of one tile lie near each other.
struct Batch {
    /// Tiles, a multiple of [`BLOCK`].
    tiles: usize,
    positions: usize,
    /// Values of one tile at one position.
    inputs_pitch: usize,
    /// Start of the products; 0 where they replace the transformed inputs.
    outputs_start: usize,
    outputs_pitch: usize,
}

impl Batch {
    fn new(positions: usize, inputs_pitch: usize, channels: usize, one_panel: bool) -> Self {
        let tiles = (BATCH / (positions * inputs_pitch.max(channels))).max(1).next_multiple_of(BLOCK);
        let in_place = one_panel && channels <= inputs_pitch;
        let (outputs_start, outputs_pitch) =
            if in_place { (0, inputs_pitch) } else { (positions * tiles * inputs_pitch, channels) };
        Self { tiles, positions, inputs_pitch, outputs_start, outputs_pitch }
    }

    fn scratch(&self) -> usize {
        self.outputs_start + self.positions * self.tiles * self.inputs_pitch.max(self.outputs_pitch)
    }

    /// Where a tile's transformed inputs at position 0 start; a position follows after `BLOCK · inputs_pitch` values.
    fn input(&self, tile: usize) -> usize {
        (tile / BLOCK * self.positions * BLOCK + tile % BLOCK) * self.inputs_pitch
    }

    /// The same for its products.
    fn output(&self, tile: usize) -> usize {
        self.outputs_start + (tile / BLOCK * self.positions * BLOCK + tile % BLOCK) * self.outputs_pitch
    }
}

impl Band<'_> {
    /// # Safety
    /// As for [`Vector`]; [`Band::run`] has checked the slices, and `input` is the start of its input.
    #[inline(always)]
    pub(super) unsafe fn batches<V: Vector, S: Source, P: Points<A>, const A: usize, const M: usize>(
        &mut self,
        input: S,
    ) {
        let channels = self.bias.len();
        let batch = Batch::new(A * A, self.input_pitch, channels, channels <= V::PANEL * V::LANES);
        self.scratch.reserve(batch.scratch());
        let across = self.columns.div_ceil(M);
        let all = self.rows.div_ceil(M) * across;
        for first in (0..all).step_by(batch.tiles) {
            let tiles = (all - first).min(batch.tiles);
            // SAFETY: the caller's.
            unsafe {
                for tile in 0..tiles {
                    let (row, column) = ((first + tile) / across * M, (first + tile) % across * M);
                    let from = input.from(row * self.input_row + column * self.input_pitch);
                    self.transform_input::<V, S, P, A, M>(&batch, tile, from);
                }
                for position in 0..A * A {
                    self.multiply::<V>(&batch, position, tiles);
                }
                for tile in 0..tiles {
                    let (row, column) = ((first + tile) / across * M, (first + tile) % across * M);
                    if row + M <= self.rows && column + M <= self.columns {
                        self.transform_output::<V, P, A, M, true>(&batch, tile, row, column);
                    } else {
                        self.transform_output::<V, P, A, M, false>(&batch, tile, row, column);
                    }
                }
            }
        }
    }

    /// `from` is the tile's first input.
    #[inline(always)]
    unsafe fn transform_input<V: Vector, S: Source, P: Points<A>, const A: usize, const M: usize>(
        &mut self,
        batch: &Batch,
        tile: usize,
        from: S,
    ) {
        // The memory that is written could hold the fields, for all a compiler knows.
        let (row, pitch, position) = (self.input_row, self.input_pitch, BLOCK * batch.inputs_pitch);
        // SAFETY: the caller's; every element of `half` is written before it is read.
        unsafe {
            let to = self.scratch.as_mut_ptr().add(batch.input(tile));
            let zero = V::splat(0.0);
            let mut half: MaybeUninit<[[V; A]; A]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[V; A]>();
            for channel in (0..pitch).step_by(V::LANES) {
                for x in 0..A {
                    let mut line = [zero; A];
                    for (y, value) in line.iter_mut().enumerate() {
                        *value = from.load(y * row + x * pitch + channel);
                    }
                    for (y, value) in P::input(&line).into_iter().enumerate() {
                        half.add(y).cast::<V>().add(x).write(value);
                    }
                }
                for y in 0..A {
                    for (x, value) in P::input(&*half.add(y)).into_iter().enumerate() {
                        value.store(to.add((y * A + x) * position + channel));
                        if S::FAR && x < M {
                            // What the next tile reads and this one does not.
                            from.prefetch::<V>(y * row + (x + A) * pitch + channel);
                        }
                    }
                }
            }
        }
    }

    /// (tiles, depth) · (depth, channels) at one position.
    #[inline(always)]
    unsafe fn multiply<V: Vector>(&mut self, batch: &Batch, position: usize, tiles: usize) {
        // SAFETY: the caller's; `batch.tiles` is a multiple of BLOCK, so that the last block of tiles is within the batch.
        unsafe {
            for tile in (0..tiles).step_by(BLOCK) {
                match tiles - tile {
                    1 | 2 => self.panels::<V, 2>(batch, position, tile),
                    3 | 4 => self.panels::<V, 4>(batch, position, tile),
                    _ => self.panels::<V, BLOCK>(batch, position, tile),
                }
            }
        }
    }

    /// The same for R tiles of one block, from its first one on.
    #[inline(always)]
    unsafe fn panels<V: Vector, const R: usize>(&mut self, batch: &Batch, position: usize, tile: usize) {
        let channels = self.bias.len();
        // SAFETY: the caller's.
        unsafe {
            let weights = self.weights.as_ptr().add(position * self.depth * channels);
            let scratch = self.scratch.as_mut_ptr();
            let a = scratch.add(batch.input(tile) + position * BLOCK * batch.inputs_pitch);
            let c = scratch.add(batch.output(tile) + position * BLOCK * batch.outputs_pitch);
            let mut channel = 0;
            while channel < channels {
                let vectors = next_panel((channels - channel) / V::LANES, V::PANEL);
                let (b, c) = (weights.add(channel * self.depth), c.add(channel));
                match vectors {
                    1 => self.block::<V, R, 1>(a, b, c, batch.outputs_pitch),
                    2 => self.block::<V, R, 2>(a, b, c, batch.outputs_pitch),
                    _ => self.block::<V, R, 4>(a, b, c, batch.outputs_pitch),
                }
                channel += vectors * V::LANES;
            }
        }
    }

    #[inline(always)]
    unsafe fn block<V: Vector, const R: usize, const N: usize>(
        &self,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        pitch: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let sums = [[V::splat(0.0); N]; R];
            let sums = multiply_add(sums, a, self.input_pitch, self.depth, b);
            for (r, row) in sums.into_iter().enumerate() {
                for (n, value) in row.into_iter().enumerate() {
                    value.store(c.add(r * pitch + n * V::LANES));
                }
            }
        }
    }

    /// The tile at an output; a `WHOLE` one lies in the map with all of its outputs.
    #[inline(always)]
    unsafe fn transform_output<V: Vector, P: Points<A>, const A: usize, const M: usize, const WHOLE: bool>(
        &mut self,
        batch: &Batch,
        tile: usize,
        row: usize,
        column: usize,
    ) {
        // As above.
        let (pitch, out_row, position) = (self.bias.len(), self.out_row, BLOCK * batch.outputs_pitch);
        let (rows, columns) = if WHOLE { (M, M) } else { ((self.rows - row).min(M), (self.columns - column).min(M)) };
        let (residual, finish, adds) = (self.residual, self.finish, self.adds);
        // SAFETY: the caller's; every element of `half` is written before it is read.
        unsafe {
            let from = self.scratch.as_ptr().add(batch.output(tile));
            let zero = V::splat(0.0);
            let least = V::splat(if finish.relu { 0.0 } else { f32::NEG_INFINITY });
            let mut half: MaybeUninit<[[V; A]; M]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[V; A]>();
            for channel in (0..pitch).step_by(V::LANES) {
                for x in 0..A {
                    let mut line = [zero; A];
                    for (y, value) in line.iter_mut().enumerate() {
                        *value = V::load(from.add((y * A + x) * position + channel));
                    }
                    for (y, value) in P::output::<V, M>(&line).into_iter().enumerate() {
                        half.add(y).cast::<V>().add(x).write(value);
                    }
                }
                let bias = V::load(self.bias.as_ptr().add(channel));
                for y in 0..M {
                    if !WHOLE && y >= rows {
                        break;
                    }
                    let mut line = P::output::<V, M>(&*half.add(y)).map(|value| value.add(bias));
                    let first = column * pitch + channel;
                    if let Some(Residual { values, step, factor }) = residual {
                        let from = (row + y) * step + first;
                        for (x, value) in line.iter_mut().enumerate() {
                            if WHOLE || x < columns {
                                *value = values.load::<V>(from + x * pitch).mul_add(V::splat(factor), *value);
                            }
                        }
                    }
                    let to = (row + y) * out_row + first;
                    match &mut self.out {
                        ValuesMut::Floats(out) if finish.grid.is_none() => {
                            let out = out.as_mut_ptr().add(to);
                            for (x, value) in line.into_iter().enumerate() {
                                if WHOLE || x < columns {
                                    let out = out.add(x * pitch);
                                    let value = least.max(value);
                                    (if adds { value.add(V::load(out)) } else { value }).store(out);
                                }
                            }
                        }
                        out => {
                            for (x, value) in line.into_iter().enumerate() {
                                if WHOLE || x < columns {
                                    out.store(to + x * pitch, value, &finish);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
