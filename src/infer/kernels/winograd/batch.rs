//! A band of tiles, batch by batch: transform the inputs, multiply at each position, transform the products.

use super::points::Points;
use super::{Band, BandWeights, Share};
use crate::infer::kernels::source::Source;
use crate::infer::kernels::vector::{BLOCK, Vector, multiply_add};
use crate::infer::kernels::{Residual, ValuesMut, next_panel};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Transformed inputs or products, whichever are more, of one batch of tiles, values: few enough to stay in a second-level
/// cache, enough for the weights, which are read once a batch, not to be what the multiplication waits for.
const BATCH: usize = 60_000;
/// Weights, values, from which on no second-level cache holds them: a batch is then three times as large.
const MANY_WEIGHTS: usize = 500_000;
/// Most inputs of a tile at one position that are put aside to make place for several panels of products.
const SET_ASIDE: usize = 128;

/// Where a batch of tiles lies in scratch memory: (block of [`BLOCK`] tiles, position, tile, channel), so that the
/// positions of one tile lie near each other.
pub(super) struct Batch {
    /// Tiles, a multiple of [`BLOCK`].
    tiles: usize,
    positions: usize,
    /// Words of 4 bytes that one tile's inputs take at one position.
    pub inputs_pitch: usize,
    /// Start of the products; 0 where they replace the transformed inputs.
    outputs_start: usize,
    /// Values of one tile at one position.
    pub outputs_pitch: usize,
    /// Whether inputs are put aside before products replace them.
    sets_aside: bool,
}

impl Batch {
    /// Products behind the inputs.
    pub(super) fn apart(positions: usize, inputs_pitch: usize, channels: usize, weights: usize) -> Self {
        let tiles = Self::tiles(positions * inputs_pitch.max(channels), weights);
        let (outputs_start, outputs_pitch) = (positions * tiles * inputs_pitch, channels);
        Self { tiles, positions, inputs_pitch, outputs_start, outputs_pitch, sets_aside: false }
    }

    /// Products in the place of the inputs, if they fit; `panel` is how many are computed together.
    pub(super) fn in_place(
        positions: usize,
        inputs_pitch: usize,
        channels: usize,
        panel: usize,
        weights: usize,
    ) -> Self {
        let sets_aside = channels > panel;
        if channels > inputs_pitch || (sets_aside && inputs_pitch > SET_ASIDE) {
            return Self::apart(positions, inputs_pitch, channels, weights);
        }
        let tiles = Self::tiles(positions * inputs_pitch, weights);
        Self { tiles, positions, inputs_pitch, outputs_start: 0, outputs_pitch: inputs_pitch, sets_aside }
    }

    fn tiles(values_of_one: usize, weights: usize) -> usize {
        let values = if weights > MANY_WEIGHTS { 3 * BATCH } else { BATCH };
        (values / values_of_one).max(1).next_multiple_of(BLOCK)
    }

    fn scratch(&self) -> usize {
        self.outputs_start + self.positions * self.tiles * self.inputs_pitch.max(self.outputs_pitch)
    }

    /// Where a tile's transformed inputs at position 0 start; a position follows after `BLOCK · inputs_pitch` values.
    pub(super) fn input(&self, tile: usize) -> usize {
        (tile / BLOCK * self.positions * BLOCK + tile % BLOCK) * self.inputs_pitch
    }

    /// The same for its products.
    pub(super) fn output(&self, tile: usize) -> usize {
        self.outputs_start + (tile / BLOCK * self.positions * BLOCK + tile % BLOCK) * self.outputs_pitch
    }
}

/// The first two steps of a batch, in the arithmetic of the inputs and weights.
pub(super) trait Products<const A: usize>: Copy {
    /// What the products are given on as.
    type Floats: Vector;

    /// How a band is divided.
    fn batch(self, band: &Band) -> Batch;

    /// Transforms the inputs of a tile, of which the first one lies `at` values from the start.
    ///
    /// # Safety
    /// As for [`Vector`]; the tile lies in the input and in the batch.
    unsafe fn transform_input(self, band: &mut Band, batch: &Batch, tile: usize, at: usize);

    /// (R tiles, depth) · (depth, N vectors of channels) at one position, from a block's first tile and a panel's first channel on.
    ///
    /// # Safety
    /// As for [`Vector`]; the tiles are transformed.
    unsafe fn multiply<const R: usize, const N: usize>(self, band: &mut Band, batch: &Batch, share: &Share, at: Block);
}

/// Some tiles of a block and channels at one position.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub position: usize,
    pub tile: usize,
    pub channel: usize,
    /// The first tile's transformed inputs; a tile follows after [`Batch::inputs_pitch`] words.
    pub inputs: *const f32,
}

/// Inputs and weights of f32, the inputs read from S and transformed by the points P.
pub(super) struct Floats<V, S, P, const I: usize, const M: usize>(S, PhantomData<(V, P)>);

impl<V, S, P, const I: usize, const M: usize> Floats<V, S, P, I, M> {
    pub(super) fn new(input: S) -> Self {
        Self(input, PhantomData)
    }
}

impl<V, S: Copy, P, const I: usize, const M: usize> Clone for Floats<V, S, P, I, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, S: Copy, P, const I: usize, const M: usize> Copy for Floats<V, S, P, I, M> {}

impl<V: Vector, S: Source, P: Points<I, A>, const I: usize, const A: usize, const M: usize> Products<A>
    for Floats<V, S, P, I, M>
{
    type Floats = V;

    fn batch(self, band: &Band) -> Batch {
        let weights = match band.shares {
            [Share { weights: BandWeights::Floats(weights), .. }] => weights.len(),
            // Their inputs are multiplied with the weights of each.
            _ => return Batch::apart(A * A, band.input_pitch, band.channels(), 0),
        };
        Batch::in_place(A * A, band.input_pitch, band.channels(), V::PANEL * V::LANES, weights)
    }

    #[inline(always)]
    unsafe fn transform_input(self, band: &mut Band, batch: &Batch, tile: usize, at: usize) {
        // SAFETY: the caller's.
        unsafe { band.transform_input::<V, S, P, I, A, M>(batch, tile, self.0.from(at)) }
    }

    #[inline(always)]
    unsafe fn multiply<const R: usize, const N: usize>(self, band: &mut Band, batch: &Batch, share: &Share, at: Block) {
        let BandWeights::Floats(weights) = share.weights else { return };
        // SAFETY: the caller's.
        unsafe {
            let scratch = band.scratch.as_mut_ptr();
            let outputs = scratch.add(batch.output(at.tile) + at.position * BLOCK * batch.outputs_pitch + at.channel);
            let weights = weights.as_ptr().add((P::weights(at.position) * share.bias.len() + at.channel) * band.depth);
            let sums = [[V::splat(0.0); N]; R];
            let sums = multiply_add(sums, at.inputs, band.input_pitch, band.depth, weights);
            for (r, row) in sums.into_iter().enumerate() {
                for (n, value) in row.into_iter().enumerate() {
                    value.store(outputs.add(r * batch.outputs_pitch + n * V::LANES));
                }
            }
        }
    }
}

impl Band<'_> {
    /// Computes the band; products are transformed by the points P.
    ///
    /// # Safety
    /// As for [`Vector`]; [`Band::run`] has checked the slices, and `products` starts where the input does.
    #[inline(always)]
    pub(super) unsafe fn batches<T: Products<A>, P: Points<I, A>, const I: usize, const A: usize, const M: usize>(
        &mut self,
        products: T,
    ) {
        let batch = products.batch(self);
        self.scratch.reserve(batch.scratch());
        let before = self.before();
        let across = (self.columns + before[1]).div_ceil(M);
        let all = (self.rows + before[0]).div_ceil(M) * across;
        // What is added up is so in the same order whatever rows a band has.
        let line = if self.shares.len() > 1 { across } else { all };
        for start in (0..all).step_by(line) {
            for first in (start..start + line).step_by(batch.tiles) {
                let tiles = (start + line - first).min(batch.tiles);
                let place = |tile: usize| ((first + tile) / across * M, (first + tile) % across * M);
                for tile in 0..tiles {
                    let (row, column) = place(tile);
                    let at = (row * self.input_row + column * self.input_pitch) / P::SCALE;
                    // SAFETY: the caller's.
                    unsafe { products.transform_input(self, &batch, tile, at) };
                }
                for index in 0..self.shares.len() {
                    let share = self.shares[index];
                    if place(0).0 >= self.rows + share.before[0] {
                        continue;
                    }
                    // SAFETY: the caller's.
                    unsafe {
                        self.multiply::<T, A>(products, &batch, &share, tiles);
                        for tile in 0..tiles {
                            let at = place(tile);
                            if P::SQUARES && self.squares.is_some() {
                                self.transform_squares::<T::Floats, P, I, A, M>(&batch, tile, at);
                            } else if self.holds(at, share.before, M) {
                                self.transform_output::<T::Floats, P, I, A, M, true>(&batch, index, tile, at);
                            } else {
                                self.transform_output::<T::Floats, P, I, A, M, false>(&batch, index, tile, at);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether all `side` × `side` outputs of a tile, which start so many `before` it, are some of the band.
    fn holds(&self, (row, column): (usize, usize), before: [usize; 2], side: usize) -> bool {
        let inside = |at: usize, before: usize, size: usize| at >= before && at - before + side <= size;
        inside(row, before[0], self.rows) && inside(column, before[1], self.columns)
    }

    /// The products of all tiles of a batch.
    #[inline(always)]
    unsafe fn multiply<T: Products<A>, const A: usize>(
        &mut self,
        products: T,
        batch: &Batch,
        share: &Share,
        tiles: usize,
    ) {
        for position in 0..A * A {
            // `batch.tiles` is a multiple of BLOCK, so that the last block is within the batch.
            for tile in (0..tiles).step_by(BLOCK) {
                // SAFETY: the caller's.
                unsafe {
                    match tiles - tile {
                        1 | 2 => self.panels::<T, A, 2>(products, batch, share, position, tile),
                        3 | 4 => self.panels::<T, A, 4>(products, batch, share, position, tile),
                        _ => self.panels::<T, A, BLOCK>(products, batch, share, position, tile),
                    }
                }
            }
        }
    }

    /// `from` is the tile's first input.
    #[inline(always)]
    unsafe fn transform_input<V: Vector, S: Source, P: Points<I, A>, const I: usize, const A: usize, const M: usize>(
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
            let mut half: MaybeUninit<[[V; I]; A]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[V; I]>();
            for channel in (0..pitch).step_by(V::LANES) {
                for x in 0..I {
                    let mut line = [zero; I];
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
                        if S::FAR && y < I && x < M / P::SCALE {
                            // What the next tile reads and this one does not.
                            from.prefetch::<V>(y * row + (x + I) * pitch + channel);
                        }
                    }
                }
            }
        }
    }

    /// All channels of R tiles at one position.
    #[inline(always)]
    unsafe fn panels<T: Products<A>, const A: usize, const R: usize>(
        &mut self,
        products: T,
        batch: &Batch,
        share: &Share,
        position: usize,
        tile: usize,
    ) {
        let channels = share.bias.len();
        let mut aside: MaybeUninit<[f32; BLOCK * SET_ASIDE]> = MaybeUninit::uninit();
        // SAFETY: the caller's.
        let mut inputs =
            unsafe { self.scratch.as_ptr().add(batch.input(tile) + position * BLOCK * batch.inputs_pitch) };
        if batch.sets_aside {
            let aside = aside.as_mut_ptr().cast::<f32>();
            // SAFETY: the caller's; what is put aside has at most SET_ASIDE words a tile, of at most BLOCK tiles.
            unsafe { aside.copy_from_nonoverlapping(inputs, R * batch.inputs_pitch) };
            inputs = aside;
        }
        let mut channel = 0;
        while channel < channels {
            let vectors = next_panel((channels - channel) / T::Floats::LANES, T::Floats::PANEL);
            let at = Block { position, tile, channel, inputs };
            // SAFETY: the caller's.
            unsafe {
                match vectors {
                    1 => products.multiply::<R, 1>(self, batch, share, at),
                    2 => products.multiply::<R, 2>(self, batch, share, at),
                    _ => products.multiply::<R, 4>(self, batch, share, at),
                }
            }
            channel += vectors * T::Floats::LANES;
        }
    }

    /// The tile at an output; a `WHOLE` one lies in the map with all of its outputs.
    #[inline(always)]
    unsafe fn transform_output<
        V: Vector,
        P: Points<I, A>,
        const I: usize,
        const A: usize,
        const M: usize,
        const WHOLE: bool,
    >(
        &mut self,
        batch: &Batch,
        index: usize,
        tile: usize,
        (row, column): (usize, usize),
    ) {
        let Share { bias, before, .. } = self.shares[index];
        // As above.
        let (pitch, out_row, position) = (bias.len(), self.out_row, BLOCK * batch.outputs_pitch);
        let kept =
            |at: usize, before: usize, size: usize| before.saturating_sub(at)..(size + before).saturating_sub(at);
        let (rows, columns) = (kept(row, before[0], self.rows), kept(column, before[1], self.columns));
        // Of a tile that begins before the map these are no places yet.
        let (row, column) = (row.wrapping_sub(before[0]), column.wrapping_sub(before[1]));
        let (residual, finish, adds) = (self.residual, self.finish, index > 0);
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
                let bias = V::load(bias.as_ptr().add(channel));
                for y in 0..M {
                    if !WHOLE && !rows.contains(&y) {
                        continue;
                    }
                    let mut line = P::output::<V, M>(&*half.add(y)).map(|value| value.add(bias));
                    let first = column.wrapping_mul(pitch).wrapping_add(channel);
                    if let Some(Residual { values, step, factor }) = residual {
                        let from = row.wrapping_add(y).wrapping_mul(step).wrapping_add(first);
                        for (x, value) in line.iter_mut().enumerate() {
                            if WHOLE || columns.contains(&x) {
                                *value =
                                    values.load::<V>(from.wrapping_add(x * pitch)).mul_add(V::splat(factor), *value);
                            }
                        }
                    }
                    let to = row.wrapping_add(y).wrapping_mul(out_row).wrapping_add(first);
                    match &mut self.out {
                        ValuesMut::Floats(out) if finish.grid.is_none() => {
                            let out = out.as_mut_ptr().wrapping_add(to);
                            for (x, value) in line.into_iter().enumerate() {
                                if WHOLE || columns.contains(&x) {
                                    let out = out.wrapping_add(x * pitch);
                                    let value = least.max(value);
                                    (if adds { value.add(V::load(out)) } else { value }).store(out);
                                }
                            }
                        }
                        out => {
                            for (x, value) in line.into_iter().enumerate() {
                                if WHOLE || columns.contains(&x) {
                                    out.store(to.wrapping_add(x * pitch), value, &finish);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
