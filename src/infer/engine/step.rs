//! One node made ready to run: weights packed, offsets resolved.

use super::graph::{Convolution, Graph, Id, Layer, Pooling, Shape, Term};
use super::layout::Layout;
use super::phase::{Phase, Place};
use super::plan::{Method, Plan};
use super::taps::period;
use crate::infer::Operator;
use crate::infer::kernels::{
    AverageRows, Band, Buffer, Finish, Grid, Isa, Output, Residual, Tap, Tile, Values, ValuesMut, bytes, bytes_mut,
    padded,
};
use std::cell::RefCell;
use std::ops::Range;

/// Outputs that one task computes, at least: enough for its weights to be read from a near cache.
const TASK_OUTPUTS: usize = 1024;

/// How a node's rows are computed.
#[derive(Debug)]
pub(super) struct Step {
    /// The nodes read, residual last.
    pub inputs: Vec<Id>,
    /// Rows of the map that one task computes.
    pub task_rows: usize,
    work: Work,
    layout: Layout,
    input_layouts: Vec<Layout>,
    bias: Buffer,
    /// What the residual's values are multiplied with.
    residual: Option<f32>,
    relu: bool,
    /// What values are rounded to that are stored as f32.
    grid: Option<Grid>,
    /// Whether bytes are multiplied.
    integer: bool,
    /// Multiplications by the definition.
    direct: u64,
}

#[derive(Debug)]
enum Work {
    Winograd { tile: Tile, weights: Buffer, pad: [usize; 2] },
    Gather { phases: Vec<Phase>, period: [usize; 2], pool: bool, reduction: Option<Reduction> },
    Pool(Pooling),
}

/// How an output's channels become one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reduction {
    /// Sum of their squares.
    Squares,
    Smallest,
}

/// Memory that a thread keeps from task to task.
#[derive(Default)]
struct Scratch {
    buffer: Buffer,
    taps: Vec<Tap>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Step {
    /// The step that computes node `id`; none for an input.
    pub(super) fn new(isa: Isa, graph: &Graph, plan: &Plan, layouts: &[Layout], id: Id) -> Option<Self> {
        let node = &graph.nodes[id];
        let (layout, method) = (layouts[id], plan.methods[id].as_ref()?);
        // Everything is computed in units of what is stored.
        let factor = layout.codes.map_or(1.0, |grid| 1.0 / grid.step);
        let scaled = |term: &Term| {
            let reads = layouts[term.input].codes.filter(|_| matches!(method, Method::Winograd(_)));
            in_units(term, reads, factor)
        };
        let terms: Vec<Term> = node.terms().iter().map(scaled).collect();
        let outputs = terms.first().map_or(node.shape.channels, |term| term.convolution.bias.len());
        let mut bias = Buffer::zeroed(padded(outputs));
        for term in &terms {
            bias.iter_mut().zip(&term.convolution.bias).for_each(|(sum, value)| *sum += value);
        }
        let residual = node.residual().map(|id| layouts[id].codes.map_or(factor, |grid| grid.step * factor));
        if let Some((grid, factor)) = node.residual().and_then(|id| layouts[id].codes).zip(residual) {
            bias.iter_mut().for_each(|value| *value += grid.low * factor);
        }
        let reduction = match node.layer {
            Layer::Squares { .. } => Some(Reduction::Squares),
            Layer::Smallest { .. } => Some(Reduction::Smallest),
            _ => None,
        };
        if reduction == Some(Reduction::Smallest) {
            // What fills the last vector is never the smallest.
            bias[outputs..].fill(f32::INFINITY);
        }
        let (relu, pool) = match &node.layer {
            Layer::Convolve { relu, pool, .. } => (*relu, *pool),
            _ => (false, false),
        };
        let grid = node.grid().filter(|_| layout.codes.is_none());
        let work = match method {
            Method::Pool(pooling) => Work::Pool(*pooling),
            Method::Winograd(tile) => {
                let convolution = &terms[0].convolution;
                let inputs = graph.nodes[terms[0].input].shape.channels;
                let weights = tile.weights(isa, &convolution.weights, outputs, inputs);
                Work::Winograd { tile: *tile, weights, pad: convolution.pad }
            }
            Method::Direct | Method::Codes(_) => {
                let period = [period(&terms, 0), period(&terms, 1)];
                let [height, width] = node.convolved();
                let phase = |index: usize| {
                    let place = Place { period, phase: [index / period[1], index % period[1]] };
                    let used = place.phase[0] < height && place.phase[1] < width;
                    let squares = reduction == Some(Reduction::Squares);
                    let terms = if used { &terms[..] } else { &[] };
                    match method {
                        Method::Codes(codes) => Phase::of_codes(isa, terms, codes, layouts, &bias, factor, place),
                        _ => Phase::of_floats(isa, terms, layouts, &bias, squares, place),
                    }
                };
                let phases = (0..period[0] * period[1]).map(phase).collect();
                Work::Gather { phases, period, pool, reduction }
            }
        };
        let rows = (TASK_OUTPUTS / layout.shape.width.max(1)).max(1);
        let task_rows = match &work {
            Work::Winograd { tile, .. } => rows.next_multiple_of(tile.outputs()),
            Work::Gather { period, .. } => rows.next_multiple_of(period[0]),
            Work::Pool(_) => rows,
        };
        let inputs = node.inputs();
        let input_layouts = inputs.iter().map(|input| layouts[*input]).collect();
        let direct =
            terms.iter().map(|term| term.convolution.multiplications(node.convolved(), &graph.nodes[term.input]));
        let direct = direct.sum();
        let integer = matches!(method, Method::Codes(_));
        Some(Self { inputs, task_rows, work, layout, input_layouts, bias, residual, relu, grid, integer, direct })
    }

    /// What it computes and how.
    pub(super) fn operator(&self, name: &str) -> Operator {
        let Shape { channels, height, width } = self.layout.shape;
        let (method, planned) = match &self.work {
            Work::Pool(pooling) => (pooling.method(), 0),
            Work::Winograd { tile, .. } => {
                let tiles = height.div_ceil(tile.outputs()) * width.div_ceil(tile.outputs());
                let tile_size = tile.inputs() * tile.inputs();
                let planned = tiles * tile_size * self.input_layouts[0].shape.channels * channels;
                (format!("Winograd F({0}×{0}, {1}×{1})", tile.outputs(), tile.kernel()), planned as u64)
            }
            Work::Gather { phases, pool, reduction, period } => {
                let mut method = if self.integer { "8-bit " } else { "" }.to_owned();
                method += if phases.len() > 1 { "sub-pixel" } else { "direct" };
                method += match reduction {
                    Some(Reduction::Squares) => ", squared and summed",
                    Some(Reduction::Smallest) => ", smallest",
                    None => "",
                };
                if *pool {
                    method += ", pooled";
                }
                let [down, across] = *period;
                let planned = phases.iter().enumerate().map(|(index, phase)| {
                    let factor = 1 + usize::from(*pool);
                    let rows = (factor * height).saturating_sub(index / across).div_ceil(down);
                    let columns = (factor * width).saturating_sub(index % across).div_ceil(across);
                    rows * columns * phase.multiplications
                });
                (method, planned.sum::<usize>() as u64)
            }
        };
        let rounded = self.grid.is_some() || self.layout.codes.is_some();
        let method = method + if rounded { ", rounded to 8 bits" } else { "" };
        let shape = [channels, height, width];
        Operator { name: name.to_owned(), method, integer: self.integer, shape, direct: self.direct, planned }
    }

    /// Computes rows from `first` on into `out`, which holds them with their borders; `inputs` are whole maps.
    pub(super) fn run(&self, isa: Isa, inputs: &[&[f32]], first: usize, out: &mut [f32]) {
        let rows = first..first + out.len() / self.layout.row_words();
        if let Work::Pool(pooling) = &self.work {
            return pooling.run(inputs[0], &self.input_layouts[0], &self.layout, rows, out);
        }
        let mut out = self.stored_mut(out);
        SCRATCH.with_borrow_mut(|scratch| match &self.work {
            Work::Pool(_) => {}
            Work::Winograd { tile, weights, pad } => self.band(isa, *tile, weights, *pad, inputs, rows, out, scratch),
            Work::Gather { phases, period, pool: false, reduction } => {
                for (index, phase) in phases.iter().enumerate() {
                    let [y, x] = [index / period[1], index % period[1]];
                    let count = self.layout.shape.width.saturating_sub(x).div_ceil(period[1]);
                    if count == 0 {
                        continue;
                    }
                    let (start, step) = ((self.layout.halo + x) * self.layout.pitch, self.layout.pitch * period[1]);
                    for row in rows.clone().filter(|row| row % period[0] == y) {
                        let output = match (reduction, out.from((row - first) * self.layout.row() + start)) {
                            (Some(Reduction::Squares), ValuesMut::Floats(out)) => Output::Squares { out, step },
                            (Some(Reduction::Smallest), ValuesMut::Floats(out)) => Output::Smallest { out, step },
                            (_, out) => Output::Pixels {
                                out,
                                step,
                                residual: self.residual(inputs, row, x, period[1]),
                                finish: self.finish(),
                            },
                        };
                        phase.row(isa, inputs, &self.input_layouts, row / period[0], count, output, &mut scratch.taps);
                    }
                }
            }
            Work::Gather { phases, .. } => self.pooled(isa, phases, inputs, rows, out, scratch),
        });
    }

    #[allow(clippy::too_many_arguments)]
    fn band(
        &self,
        isa: Isa,
        tile: Tile,
        weights: &[f32],
        pad: [usize; 2],
        inputs: &[&[f32]],
        rows: Range<usize>,
        mut out: ValuesMut,
        scratch: &mut Scratch,
    ) {
        let from = self.input_layouts[0];
        let start = (rows.start + from.halo - pad[0]) * from.row() + (from.halo - pad[1]) * from.pitch;
        let residual = self.residual(inputs, rows.start, 0, 1);
        let band = Band {
            tile,
            input: from.stored(inputs[0]).from(start),
            input_row: from.row(),
            input_pitch: from.pitch,
            depth: from.shape.channels,
            weights,
            bias: &self.bias,
            rows: rows.len(),
            columns: self.layout.shape.width,
            out: out.from(self.layout.halo * self.layout.pitch),
            out_row: self.layout.row(),
            residual: residual.zip(self.input_layouts.last()).map(|(r, map)| Residual { step: map.row(), ..r }),
            finish: self.finish(),
            scratch: &mut scratch.buffer,
        };
        band.run(isa);
    }

    fn pooled(
        &self,
        isa: Isa,
        phases: &[Phase],
        inputs: &[&[f32]],
        rows: Range<usize>,
        mut out: ValuesMut,
        Scratch { buffer, taps }: &mut Scratch,
    ) {
        let (pitch, width) = (self.layout.pitch, self.layout.shape.width);
        buffer.reserve(4 * width * pitch);
        for (index, row) in rows.enumerate() {
            let (top, bottom) = buffer[..4 * width * pitch].split_at_mut(2 * width * pitch);
            for (y, line) in [&mut *top, &mut *bottom].into_iter().enumerate() {
                for phase in phases {
                    let finish = Finish { grid: None, ..self.finish() };
                    let out = ValuesMut::Floats(&mut *line);
                    let output = Output::Pixels { out, step: pitch, residual: None, finish };
                    phase.row(isa, inputs, &self.input_layouts, 2 * row + y, 2 * width, output, taps);
                }
            }
            let out = out.from(index * self.layout.row() + self.layout.halo * pitch);
            let finish = Finish { relu: false, grid: self.grid };
            AverageRows { top, bottom, out, count: width, pitch, finish }.run(isa);
        }
    }

    fn finish(&self) -> Finish {
        Finish { relu: self.relu, grid: self.grid }
    }

    /// The residual map from an output on, every `step`-th pixel.
    fn residual<'a>(&self, inputs: &[&'a [f32]], row: usize, column: usize, step: usize) -> Option<Residual<'a>> {
        let factor = self.residual?;
        let (values, layout) = inputs.last().zip(self.input_layouts.last())?;
        let values = layout.stored(values).from(layout.at(row, column));
        Some(Residual { values, step: step * layout.pitch, factor })
    }

    /// Rows of this node's map.
    fn stored_mut<'a>(&self, words: &'a mut [f32]) -> ValuesMut<'a> {
        match self.layout.codes {
            Some(grid) => ValuesMut::Codes { codes: bytes_mut(words), zero: grid.zero() },
            None => ValuesMut::Floats(words),
        }
    }
}

impl Layout {
    /// A whole map.
    fn stored<'a>(&self, words: &'a [f32]) -> Values<'a> {
        if self.codes.is_some() { Values::Codes(bytes(words)) } else { Values::Floats(words) }
    }
}

/// A term whose convolution reads a map as it is stored, and gives `factor` times its values.
fn in_units(term: &Term, reads: Option<Grid>, factor: f32) -> Term {
    let mut term = term.clone();
    let Convolution { weights, bias, .. } = &mut term.convolution;
    let size = weights.len() / bias.len().max(1);
    for (bias, weights) in bias.iter_mut().zip(weights.chunks_exact_mut(size.max(1))) {
        let step = reads.map_or(1.0, |grid| grid.step);
        weights.iter_mut().for_each(|weight| *weight *= step * factor);
        let codes_of_zero = reads.map_or(0.0, |grid| f64::from(grid.low));
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        *bias = (f64::from(*bias) * f64::from(factor) + codes_of_zero * sum) as f32;
    }
    term
}
