//! A batch of tiles in scratch memory, and the arithmetic between its inputs and its products.

use super::points::Points;
use super::{Band, BandWeights, Share};
use crate::infer::kernels::source::Source;
use crate::infer::kernels::vector::{BLOCK, Vector, multiply_add};
use std::marker::PhantomData;

/// Transformed inputs or products, whichever are more, of one batch of tiles, values, at least: few enough to lie near.
const BATCH: usize = 20_000;
/// Weights, which are read once a batch, for each of those values, at most: the multiplication would wait for more.
const WEIGHTS: usize = 7;
/// Most inputs of a tile at one position that are put aside to make place for several panels of products.
pub(super) const SET_ASIDE: usize = 128;

/// Where a batch of tiles lies in scratch memory: (block of [`BLOCK`] tiles, position, tile, channel), so that the
/// positions of one tile lie near each other.
pub(super) struct Batch {
    /// Tiles, a multiple of [`BLOCK`].
    pub tiles: usize,
    positions: usize,
    /// Words of 4 bytes that one tile's inputs take at one position.
    pub inputs_pitch: usize,
    /// Start of the products; 0 where they replace the transformed inputs.
    outputs_start: usize,
    /// Values of one tile at one position.
    pub outputs_pitch: usize,
    /// Whether inputs are put aside before products replace them.
    pub sets_aside: bool,
}

impl Batch {
    /// Products behind the inputs, by so many weights.
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
        let values = BATCH.max(weights / WEIGHTS);
        (values / values_of_one).max(1).next_multiple_of(BLOCK)
    }

    /// Values of all.
    pub(super) fn scratch(&self) -> usize {
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
