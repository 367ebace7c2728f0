//! The outputs of a layer that take the same weights from inputs at fixed offsets.

use super::eight_bits::EightBits;
use super::graph::Term;
use super::layout::Layout;
use super::rotate::to_lower_triangle;
use super::taps::axis_taps;
use crate::infer::kernels::{Buffer, DotRow, DotTerm, GatherRow, Isa, MAX_TERMS, Output, Tap, bytes};

/// The outputs at rows `period · Y + phase` and columns likewise.
#[derive(Debug)]
pub(super) struct Phase {
    taps: Vec<MapTap>,
    arithmetic: Arithmetic,
    /// Multiplications an output.
    pub multiplications: usize,
}

#[derive(Debug)]
enum Arithmetic {
    Floats {
        weights: Buffer,
        bias: Buffer,
        /// Row k of the weights is zero past channel k.
        triangle: bool,
    },
    Codes {
        terms: Vec<DotTerm>,
        bias: Buffer,
    },
}

/// A [`Tap`] of any row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct MapTap {
    source: usize,
    /// Stored row for Y = 0 and rows from one Y to the next.
    row: usize,
    row_step: usize,
    /// Value in the row for X = 0 and values from one X to the next.
    start: usize,
    step: usize,
    depth: usize,
}

/// Where the outputs of a phase lie.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub period: [usize; 2],
    pub phase: [usize; 2],
}

impl Phase {
    /// Sums of f32. `terms` and `bias` are in the units of the output; with `squares` only the sum of all channels' squares is
    /// kept.
    pub(super) fn of_floats(
        isa: Isa,
        terms: &[Term],
        layouts: &[Layout],
        bias: &Buffer,
        squares: bool,
        place: Place,
    ) -> Self {
        let channels = bias.len();
        let (taps, mut matrix) = gathered(terms, layouts, channels, place);
        let depth = matrix.len() / channels.max(1);
        if !squares {
            let weights = isa.pack(&matrix, channels, false);
            let arithmetic = Arithmetic::Floats { weights, bias: bias.clone(), triangle: false };
            return Self { taps, arithmetic, multiplications: depth * channels };
        }
        // The bias is the weight of an input that is always 1.
        matrix.extend_from_slice(bias);
        to_lower_triangle(&mut matrix, channels);
        let bias = Buffer::from(&matrix[depth * channels..]);
        Self::of_triangle(isa, taps, &matrix[..depth * channels], bias)
    }

    /// Sums of f32 of 1 × 1 convolutions, in whose weights no input reaches outputs past its own number among all inputs.
    pub(super) fn of_triangular(isa: Isa, terms: &[Term], layouts: &[Layout], bias: Buffer) -> Self {
        let (taps, matrix) = gathered(terms, layouts, bias.len(), Place { period: [1, 1], phase: [0, 0] });
        Self::of_triangle(isa, taps, &matrix, bias)
    }

    fn of_triangle(isa: Isa, taps: Vec<MapTap>, matrix: &[f32], bias: Buffer) -> Self {
        let weights = isa.pack(matrix, bias.len(), true);
        let multiplications = weights.len();
        Self { taps, arithmetic: Arithmetic::Floats { weights, bias, triangle: true }, multiplications }
    }

    /// Sums of products of bytes; `codes` has the weights of each term, `factor` turns the sums into units of the output.
    pub(super) fn of_codes(
        isa: Isa,
        terms: &[Term],
        codes: &[EightBits],
        layouts: &[Layout],
        bias: &Buffer,
        factor: f32,
        place: Place,
    ) -> Self {
        let channels = bias.len();
        let (mut taps, mut packed) = (Vec::new(), Vec::new());
        let mut multiplications = 0;
        for (source, (term, codes)) in terms.iter().zip(codes).enumerate() {
            let layout = &layouts[term.input];
            let inputs = layout.shape.channels;
            // What fills a pixel has no weight; neighbours that follow each other are one run.
            let depth = if isa.has_tiles() { layout.pitch } else { inputs.next_multiple_of(4) };
            let size = term.convolution.kernel[0] * term.convolution.kernel[1];
            let mut runs: Vec<MapTap> = Vec::new();
            let mut matrix: Vec<i8> = Vec::new();
            let whole = |runs: &mut Vec<MapTap>, matrix: &mut Vec<i8>| {
                if let Some(last) = runs.last_mut() {
                    let fill = last.depth.next_multiple_of(isa.tap_depth()) - last.depth;
                    last.depth += fill;
                    matrix.resize(matrix.len() + fill * channels, 0);
                }
            };
            for (tap, element) in elements(source, term, layout, depth, place) {
                let follows =
                    runs.last().is_some_and(|last| MapTap { start: last.start + last.depth, depth, ..*last } == tap);
                if follows {
                    runs.iter_mut().last().into_iter().for_each(|last| last.depth += depth);
                } else {
                    whole(&mut runs, &mut matrix);
                    runs.push(tap);
                }
                for channel in 0..depth {
                    let weight = |output: usize| codes.codes[(output * inputs + channel) * size + element];
                    let outputs = if channel < inputs { codes.scales.len() } else { 0 };
                    matrix.extend((0..outputs).map(weight));
                    matrix.resize(matrix.len() + channels - outputs, 0);
                }
            }
            whole(&mut runs, &mut matrix);
            multiplications += matrix.len();
            let (zero, step) = layout.codes.map_or((0, 1.0), |grid| (i32::from(grid.zero()), grid.step));
            let mut start = vec![0; channels.next_multiple_of(isa.dot_width())];
            for row in matrix.chunks_exact(channels.max(1)) {
                start.iter_mut().zip(row).for_each(|(sum, weight)| *sum += i32::from(*weight));
            }
            start.iter_mut().for_each(|sum| *sum *= isa.code_offset() - zero);
            let mut scale = Buffer::zeroed(channels);
            scale.iter_mut().zip(&codes.scales).for_each(|(to, scale)| *to = scale * step * factor);
            let first = taps.len();
            taps.append(&mut runs);
            packed.push(DotTerm { taps: first..taps.len(), weights: isa.pack_codes(&matrix, channels), start, scale });
        }
        Self { taps, arithmetic: Arithmetic::Codes { terms: packed, bias: bias.clone() }, multiplications }
    }

    /// Computes one row; `row` counts the phase's rows, `sources` are whole maps.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn row(
        &self,
        isa: Isa,
        sources: &[&[f32]],
        layouts: &[Layout],
        row: usize,
        count: usize,
        output: Output,
        taps: &mut Vec<Tap>,
    ) {
        taps.clear();
        taps.extend(self.taps.iter().map(|tap| {
            let start = (tap.row + row * tap.row_step) * layouts[tap.source].row() + tap.start;
            Tap { source: tap.source, start, step: tap.step, depth: tap.depth }
        }));
        match &self.arithmetic {
            Arithmetic::Floats { weights, bias, triangle } => {
                GatherRow { sources, taps, weights, triangle: *triangle, bias, count, output }.run(isa);
            }
            Arithmetic::Codes { terms, bias } => {
                let none: &[u8] = &[];
                let mut maps = [none; MAX_TERMS];
                maps.iter_mut().zip(sources).for_each(|(to, words)| *to = bytes(words));
                DotRow { sources: &maps, taps, terms, bias, count, output }.run(isa);
            }
        }
    }
}

/// The inputs that each output of a phase takes, and their weights, (input, channel).
fn gathered(terms: &[Term], layouts: &[Layout], channels: usize, place: Place) -> (Vec<MapTap>, Vec<f32>) {
    let (mut taps, mut matrix): (Vec<MapTap>, Vec<f32>) = Default::default();
    for (source, term @ Term { input, convolution }) in terms.iter().enumerate() {
        let depth = layouts[*input].shape.channels;
        for (tap, element) in elements(source, term, &layouts[*input], depth, place) {
            push_merged(&mut taps, tap);
            let size = convolution.kernel[0] * convolution.kernel[1];
            for channel in 0..depth {
                let weight = |output: usize| convolution.weights[(output * depth + channel) * size + element];
                matrix.extend((0..convolution.bias.len()).map(weight));
                matrix.resize(matrix.len() + channels - convolution.bias.len(), 0.0);
            }
        }
    }
    (taps, matrix)
}

/// The kernel elements that the outputs of a phase take, with where each one's `depth` inputs lie.
fn elements<'a>(
    source: usize,
    term: &'a Term,
    layout: &'a Layout,
    depth: usize,
    Place { period, phase }: Place,
) -> impl Iterator<Item = (MapTap, usize)> + 'a {
    let convolution = &term.convolution;
    let columns = axis_taps(convolution, 1, period[1], phase[1]);
    axis_taps(convolution, 0, period[0], phase[0]).into_iter().flat_map(move |y| {
        let tap = move |x: super::taps::AxisTap| {
            let tap = MapTap {
                source,
                row: (y.offset + layout.halo as isize) as usize,
                row_step: y.step,
                start: (x.offset + layout.halo as isize) as usize * layout.pitch,
                step: x.step * layout.pitch,
                depth,
            };
            (tap, y.kernel * convolution.kernel[1] + x.kernel)
        };
        columns.clone().into_iter().map(tap)
    })
}

/// Appends a tap, as part of the last one where its inputs follow that one's.
fn push_merged(taps: &mut Vec<MapTap>, tap: MapTap) {
    if let Some(last) = taps.last_mut() {
        let expected = MapTap { start: last.start + last.depth, depth: tap.depth, ..*last };
        if tap == expected {
            last.depth += tap.depth;
            return;
        }
    }
    taps.push(tap);
}
