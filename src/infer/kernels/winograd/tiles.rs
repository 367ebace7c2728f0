//! A band of tiles, batch by batch: transform the inputs, multiply at each position, transform the products.

use super::batch::{Batch, Block, Products, SET_ASIDE};
use super::points::Points;
use super::{Band, Share};
use crate::infer::kernels::source::Source;
use crate::infer::kernels::vector::{BLOCK, Vector};
use crate::infer::kernels::{Residual, ValuesMut, next_panel};
use std::mem::MaybeUninit;

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
    pub(super) unsafe fn transform_input<
        V: Vector,
        S: Source,
        P: Points<I, A>,
        const I: usize,
        const A: usize,
        const M: usize,
    >(
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
            let least = V::splat(if finish.relu { 0.0 } else { f32::NEG_INFINITY });
            let mut half: MaybeUninit<[[V; A]; M]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[V; A]>();
            for channel in (0..pitch).step_by(V::LANES) {
                output_columns::<V, P, I, A, M>(from.add(channel), position, half);
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

/// Aᵀ·t of the products t of a tile and a vector of channels, which lie `position` values apart: each column transformed.
///
/// # Safety
/// As for [`Vector`]; `half` may be written.
#[inline(always)]
pub(super) unsafe fn output_columns<V: Vector, P: Points<I, A>, const I: usize, const A: usize, const M: usize>(
    from: *const f32,
    position: usize,
    half: *mut [V; A],
) {
    // SAFETY: the caller's.
    unsafe {
        for x in 0..A {
            let mut line = [V::splat(0.0); A];
            for (y, value) in line.iter_mut().enumerate() {
                *value = V::load(from.add((y * A + x) * position));
            }
            for (y, value) in P::output::<V, M>(&line).into_iter().enumerate() {
                half.add(y).cast::<V>().add(x).write(value);
            }
        }
    }
}
