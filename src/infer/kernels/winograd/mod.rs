//! Winograd convolutions (Lavin and Gray, arXiv 1509.09308): a tile of inputs, of weights and of outputs each go through a
//! small linear transform, between which a convolution is one multiplication a position.

mod batch;
mod points;
mod squares;
mod tiles;
mod weights;
mod words;

use super::source::Source;
use super::vector::Vector;
use super::{Buffer, Finish, Isa, Kernel, Residual, Values, ValuesMut};
use batch::Floats;
use points::{Eight, Nine, Points, Six, Ten};
pub(in super::super) use squares::Squares;
pub(in super::super) use words::WordWeights;

/// A convolution that has a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tile {
    /// 4 × 4 outputs of a 3 × 3 kernel: points 0, ±1, ±2, ∞.
    F4x3,
    /// 4 × 4 outputs of a 5 × 5 kernel: points 0, ±1, ±2, ±½, ∞.
    F4x5,
    /// 5 × 5 outputs of a 4 × 4 kernel: the same points.
    F5x4,
    /// 6 × 6 outputs of a 3 × 3 kernel: the points of [`Self::F4x5`].
    F6x3,
    /// 8 × 8 outputs of a 3 × 3 kernel: points 0, ±1, ±2, ±½, ±5/4, ∞.
    F8x3,
    /// 6 × 6 outputs of a 5 × 5 kernel: the same points.
    F6x5,
    /// 8 × 8 outputs of a 3 × 3 kernel's transpose of stride 2 and padding 1. Along either side every second output takes one tap,
    /// those between two taps: points 0, ±1, 2, ∞.
    T8x3,
}

impl Tile {
    /// The transforms for a `kernel` × `kernel` convolution of stride 1. Those with ten points are ten times less precise, for
    /// outputs that are rounded to 8 bits.
    pub(in super::super) fn for_kernel(kernel: usize, rounded: bool) -> &'static [Self] {
        match (kernel, rounded) {
            (3, false) => &[Self::F4x3, Self::F6x3],
            (3, true) => &[Self::F4x3, Self::F8x3],
            (4, _) => &[Self::F5x4],
            (5, false) => &[Self::F4x5],
            (5, true) => &[Self::F4x5, Self::F6x5],
            _ => &[],
        }
    }

    /// Outputs along one side.
    pub(in super::super) const fn outputs(self) -> usize {
        match self {
            Self::F4x3 | Self::F4x5 => 4,
            Self::F5x4 => 5,
            Self::F6x3 | Self::F6x5 => 6,
            Self::F8x3 | Self::T8x3 => 8,
        }
    }

    /// Inputs along one side.
    pub(in super::super) const fn inputs(self) -> usize {
        match self {
            Self::T8x3 => 5,
            _ => self.kernel() + self.outputs() - 1,
        }
    }

    /// Inputs from one tile to the next.
    pub(in super::super) const fn step(self) -> usize {
        match self {
            Self::T8x3 => self.outputs() / 2,
            _ => self.outputs(),
        }
    }

    /// Products along one side.
    const fn points_a_side(self) -> usize {
        match self {
            Self::T8x3 => 9,
            _ => self.inputs(),
        }
    }

    /// Different weights along one side.
    const fn weight_points(self) -> usize {
        match self {
            Self::T8x3 => 6,
            _ => self.inputs(),
        }
    }

    /// Rows above and columns left of a map that a convolution padded with `pad` reads.
    pub(in super::super) const fn pad(self, pad: [usize; 2]) -> [usize; 2] {
        match self {
            Self::T8x3 => [0, 0],
            _ => pad,
        }
    }

    /// Rows or columns of inputs that so many outputs need, of which tiles are computed whole.
    pub(in super::super) const fn reach(self, outputs: usize) -> usize {
        (outputs.div_ceil(self.outputs()) - 1) * self.step() + self.inputs()
    }

    /// Products that give a map of so many outputs, for one channel of either side.
    pub(in super::super) fn positions(self, [height, width]: [usize; 2]) -> usize {
        height.div_ceil(self.outputs()) * width.div_ceil(self.outputs()) * self.points_a_side().pow(2)
    }

    /// Rows and columns of the kernel.
    pub(in super::super) const fn kernel(self) -> usize {
        match self {
            Self::F4x3 | Self::F6x3 | Self::F8x3 | Self::T8x3 => 3,
            Self::F5x4 => 4,
            Self::F4x5 | Self::F6x5 => 5,
        }
    }
}

impl Isa {
    /// Products of f32 in the time of both transforms of one value, as they run within a layer: the memory that they go through is
    /// as fast where the arithmetic is half as wide.
    pub(in super::super) fn transform_cost(self, tile: Tile) -> f64 {
        #[cfg(target_arch = "x86_64")]
        if tile.inputs() == 10 && self.lanes() == super::LANES && super::x86::is_as_wide_as_avx512() {
            return 30.0;
        }
        let _ = tile;
        10.0
    }
}

/// The weights of all positions.
#[derive(Clone, Copy)]
pub(in super::super) enum BandWeights<'a> {
    /// From [`Tile::weights`].
    Floats(&'a [f32]),
    /// Of a map in codes, where `zero` is the code of 0, by [`Tile::F4x3`] on what [`Isa::has_words`].
    Words { weights: &'a WordWeights, zero: u8 },
}

/// One of the convolutions that are activated by themselves and then added up.
#[derive(Clone, Copy)]
pub(in super::super) struct Share<'a> {
    pub weights: BandWeights<'a>,
    /// One value a channel of the output; their number is the output's pitch.
    pub bias: &'a [f32],
    /// Rows and columns by which its tiles begin before the outputs, fewer than a tile has; none of the first.
    pub before: [usize; 2],
}

/// Rows of a convolution's outputs, or of a sum of some that read the same map.
pub(in super::super) struct Band<'a> {
    pub tile: Tile,
    /// Starts at the first output's upper left input; padding is stored.
    pub input: Values<'a>,
    /// Values from one input row to the next.
    pub input_row: usize,
    /// Values an input pixel, a multiple of [`super::LANES`].
    pub input_pitch: usize,
    /// Channels of the input, at most its pitch.
    pub depth: usize,
    /// What is added up, at least one.
    pub shares: &'a [Share<'a>],
    /// Rows of outputs.
    pub rows: usize,
    /// Columns of outputs.
    pub columns: usize,
    /// Starts at the first output.
    pub out: ValuesMut<'a>,
    /// Values from one output row to the next.
    pub out_row: usize,
    /// Added before the activation; `step` is from one row to the next, the pitch is the output's.
    pub residual: Option<Residual<'a>>,
    pub finish: Finish,
    /// Keep only the sum over channels of each output's square; only of [`Tile::T8x3`], without residual or activation.
    pub squares: Option<Squares<'a>>,
    /// Memory for the transformed tiles.
    pub scratch: &'a mut Buffer,
}

impl Band<'_> {
    /// Computes the rows.
    ///
    /// # Panics
    /// Where input, weights, residual or output do not fit their slices: a mistake in the plan.
    pub(in super::super) fn run(self, isa: Isa) {
        let (rows, columns, channels) = (self.rows, self.columns, self.channels());
        if rows == 0 || columns == 0 || channels == 0 {
            return;
        }
        assert_eq!((self.input_pitch % super::LANES, channels % super::LANES), (0, 0), "channels in whole vectors");
        assert!(self.depth <= self.input_pitch, "channels in their pixel");
        let before = self.before();
        let [down, across] = [rows + before[0], columns + before[1]].map(|outputs| self.tile.reach(outputs));
        let end = (down - 1) * self.input_row + across * self.input_pitch;
        assert!(end <= self.input.len(), "tiles in their map");
        for (index, share) in self.shares.iter().enumerate() {
            assert!(share.before.iter().all(|before| *before < self.tile.outputs()), "tiles that reach the outputs");
            assert!(index > 0 || share.before == [0, 0], "every output is stored first");
            assert_eq!(share.bias.len(), channels, "the same outputs");
            match share.weights {
                BandWeights::Floats(weights) => {
                    let matrices = self.tile.weight_points().pow(2);
                    assert_eq!(weights.len(), matrices * self.depth * channels, "weights of all positions");
                }
                BandWeights::Words { weights, .. } => {
                    assert!(weights.fit(self.depth, channels), "weights of all positions");
                    assert!(self.tile == Tile::F4x3 && isa.has_words(), "a transform of whole numbers");
                    assert!(matches!(self.input, Values::Codes(_)) && end + words::BEYOND <= self.input.len(), "codes");
                    assert_eq!(self.shares.len(), 1, "one convolution of words");
                }
            }
        }
        let row = if let Some(squares) = &self.squares {
            assert!(self.tile == Tile::T8x3 && self.residual.is_none() && self.shares.len() == 1, "sums of squares");
            assert!(matches!(self.out, ValuesMut::Floats(_)), "sums that are not rounded");
            squares.check(rows, columns, channels);
            (columns - 1) * squares.step + 1
        } else {
            columns * channels
        };
        assert!((rows - 1) * self.out_row + row <= self.out.len(), "outputs in their slice");
        if let Some(residual) = &self.residual {
            let end = (rows - 1) * residual.step + columns * channels;
            assert!(end <= residual.values.len(), "residual in its slice");
        }
        let exact = matches!(self.out, ValuesMut::Floats(_)) && self.finish.grid.is_none() && self.residual.is_none();
        assert!(self.shares.len() == 1 || exact, "exact values");
        // SAFETY: the assertions bound every access to the maps; `Batch::new` sizes the scratch memory.
        unsafe {
            match self.shares[0].weights {
                BandWeights::Floats(_) => isa.run(self),
                BandWeights::Words { .. } => isa.run_words(self),
            }
        }
    }

    /// Channels of the output, its pitch.
    fn channels(&self) -> usize {
        self.shares.first().map_or(0, |share| share.bias.len())
    }

    /// The most rows and columns by which any tiles begin before the outputs.
    fn before(&self) -> [usize; 2] {
        let most = |axis: usize| self.shares.iter().map(|share| share.before[axis]).max().unwrap_or(0);
        [most(0), most(1)]
    }
}

impl Kernel for Band<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        // SAFETY: the caller's.
        unsafe {
            match self.input {
                Values::Floats(input) => self.read_from::<V, _>(input.as_ptr()),
                Values::Codes(input) => self.read_from::<V, _>(input.as_ptr()),
            }
        }
    }
}

impl Band<'_> {
    #[inline(always)]
    unsafe fn read_from<V: Vector, S: Source>(&mut self, input: S) {
        // SAFETY: the caller's.
        unsafe {
            match self.tile {
                Tile::F4x3 => self.floats::<V, S, Six, 6, 6, 4>(input),
                Tile::F4x5 => self.floats::<V, S, Eight, 8, 8, 4>(input),
                Tile::F5x4 => self.floats::<V, S, Eight, 8, 8, 5>(input),
                Tile::F8x3 => self.floats::<V, S, Ten, 10, 10, 8>(input),
                Tile::F6x3 => self.floats::<V, S, Eight, 8, 8, 6>(input),
                Tile::F6x5 => self.floats::<V, S, Ten, 10, 10, 6>(input),
                Tile::T8x3 => self.floats::<V, S, Nine, 5, 9, 8>(input),
            }
        }
    }

    #[inline(always)]
    unsafe fn floats<V: Vector, S: Source, P: Points<I, A>, const I: usize, const A: usize, const M: usize>(
        &mut self,
        input: S,
    ) {
        // SAFETY: the caller's.
        unsafe { self.batches::<_, P, I, A, M>(Floats::<V, S, P, I, M>::new(input)) }
    }
}
