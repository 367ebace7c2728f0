//! One node made ready to run: weights packed, offsets resolved.

mod describe;
mod part;
mod rows;
mod squares;
mod units;

use super::graph::{Graph, Id, Layer, Shape, Term};
use super::layout::Layout;
use super::phase::{Phase, Place};
use super::plan::{Method, Plan};
use super::pool::{Windows, unshuffle};
use super::taps::period;
use crate::infer::kernels::{
    Band, Buffer, Finish, Grid, Isa, Output, Residual, Share, Tap, Tile, Values, ValuesMut, bytes, bytes_mut, padded,
};
use part::Part;
use squares::Squares;
use std::cell::RefCell;
use std::ops::Range;
use units::in_units;

/// Outputs that one task computes where there are enough for all threads: its weights are then read from a near cache.
const TASK_OUTPUTS: usize = 1024;
/// Most convolutions by transforms whose outputs are averaged: those of a mean of 2 × 2.
const MOST_PARTS: usize = 4;
/// Tasks for each of several threads, at least, so that one that is held up leaves work to the others.
const TASKS: usize = 2;

/// How a node's rows are computed.
#[derive(Debug)]
pub(super) struct Step {
    /// The nodes read, residual last.
    pub inputs: Vec<Id>,
    /// A task's rows are a multiple of this.
    unit: usize,
    work: Work,
    layout: Layout,
    input_layouts: Vec<Layout>,
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
    /// The sum of what each part makes of the input, at most [`MOST_PARTS`]; none reads more before the map than the first.
    Winograd {
        tile: Tile,
        parts: Vec<Part>,
    },
    Gather {
        phases: Vec<Phase>,
        period: [usize; 2],
        pool: bool,
        reduction: Option<Reduction>,
        /// Rows follow each other without a border, in all maps alike.
        seamless: bool,
    },
    /// Sums of squares, one of whose terms is computed by transforms.
    Squares(Squares),
    Pool(Windows),
    Unshuffle,
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
    least: Vec<f32>,
    beside: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Step {
    /// The step that computes node `id`, which takes `direct` multiplications by definition; none for an input.
    pub(super) fn new(isa: Isa, graph: &Graph, plan: &Plan, layouts: &[Layout], id: Id, direct: u64) -> Option<Self> {
        let node = &graph.nodes[id];
        let (layout, method) = (layouts[id], plan.methods[id].as_ref()?);
        // Everything is computed in units of what is stored.
        let factor = layout.codes.map_or(1.0, |grid| 1.0 / grid.step);
        // What is averaged may be divided first: no activation minds.
        let count = if matches!(node.layer, Layer::Mean { .. }) { node.terms().len() } else { 1 };
        let factor = factor / count as f32;
        let scaled = |term: &Term| {
            let reads = layouts[term.input].codes.filter(|_| matches!(method, Method::Winograd(_)));
            in_units(term, reads, factor)
        };
        let mut terms: Vec<Term> = node.terms().iter().map(scaled).collect();
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
            Layer::Mean { relu, .. } => (*relu, false),
            _ => (false, false),
        };
        let grid = node.grid().filter(|_| layout.codes.is_none());
        let work = match method {
            Method::Move => match &node.layer {
                Layer::Pool { poolings, .. } => {
                    Work::Pool(Windows::new(poolings, [layout.shape.height, layout.shape.width]))
                }
                Layer::Unshuffle { .. } => Work::Unshuffle,
                _ => return None,
            },
            Method::Winograd(tile) if reduction == Some(Reduction::Squares) => {
                terms.sort_by_key(|term| !term.convolution.transposed);
                Work::Squares(Squares::new(isa, *tile, &terms, layouts, &bias)?)
            }
            Method::Winograd(tile) => {
                let part = |term: &Term| {
                    let mut own = bias.clone();
                    if terms.len() > 1 {
                        own.iter_mut().zip(&term.convolution.bias).for_each(|(to, value)| *to = *value);
                    }
                    Part::of_floats(isa, *tile, &term.convolution, graph.nodes[term.input].shape.channels, own)
                };
                Work::Winograd { tile: *tile, parts: terms.iter().map(part).collect() }
            }
            Method::Words(codes) => {
                let term = terms.first()?;
                let grid = layouts[term.input].codes?;
                let parts = vec![Part::of_words(isa, codes, &term.convolution, grid, factor, bias)?];
                Work::Winograd { tile: Tile::F4x3, parts }
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
                let pointwise = terms.iter().all(|term| term.convolution.is_pointwise());
                let inputs = node.inputs();
                let borders = inputs.iter().map(|input| &layouts[*input]).chain([&layout]).any(|map| map.halo > 0);
                let seamless = pointwise && !borders && !pool;
                Work::Gather { phases, period, pool, reduction, seamless }
            }
        };
        let unit = match &work {
            Work::Winograd { tile, .. } | Work::Squares(Squares { tile, .. }) => tile.outputs(),
            Work::Gather { period, .. } => period[0],
            Work::Pool(_) | Work::Unshuffle => 1,
        };
        // In the order of the terms, which is not the node's everywhere.
        let inputs: Vec<Id> = terms.iter().map(|term| term.input).chain(node.residual()).collect();
        let inputs = if terms.is_empty() { node.inputs() } else { inputs };
        let input_layouts = inputs.iter().map(|input| layouts[*input]).collect();
        let integer = matches!(method, Method::Codes(_) | Method::Words(_));
        Some(Self { inputs, unit, work, layout, input_layouts, residual, relu, grid, integer, direct })
    }

    /// Rows of the map that one task computes where so many `threads` share it. No value depends on it.
    pub(super) fn task_rows(&self, threads: usize) -> usize {
        let Shape { height, width, .. } = self.layout.shape;
        let enough = match &self.work {
            // Parts that read less before the map need a row of tiles more in each task.
            Work::Winograd { parts, .. } if parts.len() > 1 => height,
            _ => TASK_OUTPUTS / width.max(1),
        };
        let fair = if threads > 1 { height.div_ceil(TASKS * threads) } else { enough };
        (enough.min(fair) / self.unit).max(1) * self.unit
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Those of the nodes read.
    pub(super) fn input_layouts(&self) -> &[Layout] {
        &self.input_layouts
    }

    /// Computes `count` pixels of a row into `out`, which starts with the first of them, as each of `inputs` does but for
    /// its border. Only of layers that take each pixel by itself.
    pub(super) fn pixels(&self, isa: Isa, inputs: &[&[f32]], count: usize, out: &mut [f32], taps: &mut Vec<Tap>) {
        let Work::Gather { phases, .. } = &self.work else { return };
        let output = Output::Pixels {
            out: self.stored_mut(out),
            step: self.layout.pitch,
            residual: self.residual(inputs, 0, 0, 1),
            finish: self.finish(),
        };
        if let [phase] = &phases[..] {
            phase.row(isa, inputs, &self.input_layouts, 0, count, output, taps);
        }
    }

    /// Computes rows from `first` on into `out`, which holds them with their borders; `inputs` are whole maps.
    pub(super) fn run(&self, isa: Isa, inputs: &[&[f32]], first: usize, out: &mut [f32]) {
        let rows = first..first + out.len() / self.layout.row_words();
        match &self.work {
            Work::Pool(windows) => {
                return windows.run(isa, inputs[0], &self.input_layouts[0], &self.layout, rows, out);
            }
            Work::Unshuffle => return unshuffle(inputs[0], &self.input_layouts[0], &self.layout, rows, out),
            _ => {}
        }
        let mut out = self.stored_mut(out);
        let start = self.layout.halo * self.layout.pitch;
        SCRATCH.with_borrow_mut(|scratch| match &self.work {
            Work::Pool(_) | Work::Unshuffle => {}
            Work::Squares(squares) => self.squares(isa, squares, inputs, rows, out.from(start), scratch),
            Work::Winograd { tile, parts } => {
                let Some(first) = parts.first() else { return };
                let share = |index: usize| parts.get(index).unwrap_or(first).share(&self.input_layouts[0], first.pad);
                let shares: [Share; MOST_PARTS] = std::array::from_fn(share);
                // More would be a mistake in the plan, and none may be left out.
                let shares = &shares[..parts.len()];
                let out = out.from(start);
                self.band(*tile, first.pad, shares, inputs, rows, out, &mut scratch.buffer).run(isa);
            }
            Work::Gather { phases, pool: false, reduction, seamless, .. }
                if *reduction == Some(Reduction::Smallest) =>
            {
                self.smallest(isa, phases, *seamless, inputs, rows, out, scratch);
            }
            Work::Gather { phases, pool: false, reduction: None, seamless: true, .. } => {
                let (step, count) = (self.layout.pitch, rows.len() * self.layout.shape.width);
                let residual = self.residual(inputs, first, 0, 1);
                let output = Output::Pixels { out, step, residual, finish: self.finish() };
                if let [phase] = &phases[..] {
                    phase.row(isa, inputs, &self.input_layouts, first, count, output, &mut scratch.taps);
                }
            }
            Work::Gather { phases, period, pool: false, reduction, .. } => {
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

    /// Rows of convolutions by transforms of the first input, whose first tile starts `pad` rows above and columns left of them;
    /// `out` starts with the first output.
    #[allow(clippy::too_many_arguments)]
    fn band<'a>(
        &'a self,
        tile: Tile,
        pad: [usize; 2],
        shares: &'a [Share<'a>],
        inputs: &[&'a [f32]],
        rows: Range<usize>,
        out: ValuesMut<'a>,
        scratch: &'a mut Buffer,
    ) -> Band<'a> {
        let from = &self.input_layouts[0];
        let first = rows.start / tile.outputs() * tile.step();
        let start = (first + from.halo - pad[0]) * from.row() + (from.halo - pad[1]) * from.pitch;
        let residual = self.residual(inputs, rows.start, 0, 1);
        Band {
            tile,
            input: from.stored(inputs[0]).from(start),
            input_row: from.row(),
            input_pitch: from.pitch,
            depth: from.shape.channels,
            shares,
            rows: rows.len(),
            columns: self.layout.shape.width,
            out,
            out_row: self.layout.row(),
            residual: residual.zip(self.input_layouts.last()).map(|(r, map)| Residual { step: map.row(), ..r }),
            finish: self.finish(),
            squares: None,
            scratch,
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
    pub(super) fn stored<'a>(&self, words: &'a [f32]) -> Values<'a> {
        if self.codes.is_some() { Values::Codes(bytes(words)) } else { Values::Floats(words) }
    }
}
