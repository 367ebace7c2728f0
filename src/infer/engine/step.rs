//! One node made ready to run: weights packed, offsets resolved.

use super::graph::{Graph, Id, Layer, Pooling, Shape, Term};
use super::layout::{Layout, winograd};
use super::rotate::to_lower_triangle;
use super::taps::{axis_taps, period};
use crate::infer::Operator;
use crate::infer::kernels::{
    AverageRows, Band, Buffer, Finish, GatherRow, Grid, Isa, Output, Residual, Tap, Tile, padded,
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
    residual: bool,
    relu: bool,
    grid: Option<Grid>,
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

/// The outputs at rows `period · Y + phase` and columns likewise.
#[derive(Debug)]
struct Phase {
    taps: Vec<MapTap>,
    weights: Buffer,
    bias: Buffer,
    /// Row k of the weights is zero past channel k.
    triangle: bool,
    /// Multiplications an output.
    multiplications: usize,
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
    pub(super) fn new(isa: Isa, graph: &Graph, layouts: &[Layout], id: Id) -> Option<Self> {
        let node = &graph.nodes[id];
        let (layout, terms) = (layouts[id], node.terms());
        let channels = match (&node.layer, terms) {
            (Layer::Pool { .. }, _) => padded(node.shape.channels),
            (_, terms) => padded(terms.first()?.convolution.bias.len()),
        };
        let mut bias = Buffer::zeroed(channels);
        for term in terms {
            bias.iter_mut().zip(&term.convolution.bias).for_each(|(sum, value)| *sum += value);
        }
        let reduction = match node.layer {
            Layer::Squares { .. } => Some(Reduction::Squares),
            Layer::Smallest { .. } => Some(Reduction::Smallest),
            _ => None,
        };
        if reduction == Some(Reduction::Smallest) {
            // What fills the last vector is never the smallest.
            bias[terms[0].convolution.bias.len()..].fill(f32::INFINITY);
        }
        let (residual, relu, pool, grid) = match &node.layer {
            Layer::Convolve { residual, relu, pool, grid, .. } => (residual.is_some(), *relu, *pool, *grid),
            _ => (false, false, false, None),
        };
        let work = match (winograd(graph, node), &node.layer) {
            (_, Layer::Pool { pooling, .. }) => Work::Pool(*pooling),
            (Some(tile), _) => {
                let convolution = &terms[0].convolution;
                let inputs = graph.nodes[terms[0].input].shape.channels;
                let weights = tile.weights(isa, &convolution.weights, convolution.bias.len(), inputs);
                Work::Winograd { tile, weights, pad: convolution.pad }
            }
            (None, _) => {
                let period = [period(terms, 0), period(terms, 1)];
                let [height, width] = node.convolved();
                let phase = |index: usize| {
                    let phase = [index / period[1], index % period[1]];
                    let used = phase[0] < height && phase[1] < width;
                    let squares = reduction == Some(Reduction::Squares);
                    Phase::new(isa, if used { terms } else { &[] }, layouts, &bias, squares, period, phase)
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
        Some(Self { inputs, task_rows, work, layout, input_layouts, bias, residual, relu, grid, direct })
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
                let mut method = if phases.len() > 1 { "sub-pixel" } else { "direct" }.to_owned();
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
        let method = method + if self.grid.is_some() { ", rounded to 8 bits" } else { "" };
        Operator { name: name.to_owned(), method, shape: [channels, height, width], direct: self.direct, planned }
    }

    /// Computes rows from `first` on into `out`, which holds them with their borders; `inputs` are whole maps.
    pub(super) fn run(&self, isa: Isa, inputs: &[&[f32]], first: usize, out: &mut [f32]) {
        let rows = first..first + out.len() / self.layout.row();
        SCRATCH.with_borrow_mut(|scratch| match &self.work {
            Work::Pool(pooling) => pooling.run(inputs[0], &self.input_layouts[0], &self.layout, rows, out),
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
                        let out = &mut out[(row - first) * self.layout.row() + start..];
                        let output = match reduction {
                            Some(Reduction::Squares) => Output::Squares { out, step },
                            Some(Reduction::Smallest) => Output::Smallest { out, step },
                            None => Output::Pixels {
                                out,
                                step,
                                residual: self.residual(inputs, row, x, period[1]),
                                finish: self.finish(),
                            },
                        };
                        self.gather(isa, phase, inputs, row / period[0], count, output, &mut scratch.taps);
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
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let from = self.input_layouts[0];
        let start = (rows.start + from.halo - pad[0]) * from.row() + (from.halo - pad[1]) * from.pitch;
        let residual = self.residual(inputs, rows.start, 0, 1);
        let band = Band {
            tile,
            input: &inputs[0][start..],
            input_row: from.row(),
            input_pitch: from.pitch,
            depth: from.shape.channels,
            weights,
            bias: &self.bias,
            rows: rows.len(),
            columns: self.layout.shape.width,
            out: &mut out[self.layout.halo * self.layout.pitch..],
            out_row: self.layout.row(),
            residual: residual.zip(self.input_layouts.last()).map(|(r, map)| Residual { step: map.row(), ..r }),
            finish: self.finish(),
            scratch: &mut scratch.buffer,
        };
        band.run(isa);
    }

    /// One row of one phase; `row` counts the phase's rows.
    #[allow(clippy::too_many_arguments)]
    fn gather(
        &self,
        isa: Isa,
        phase: &Phase,
        sources: &[&[f32]],
        row: usize,
        count: usize,
        output: Output,
        taps: &mut Vec<Tap>,
    ) {
        taps.clear();
        taps.extend(phase.taps.iter().map(|tap| {
            let start = (tap.row + row * tap.row_step) * self.input_layouts[tap.source].row() + tap.start;
            Tap { source: tap.source, start, step: tap.step, depth: tap.depth }
        }));
        let Phase { weights, bias, triangle, .. } = phase;
        GatherRow { sources, taps, weights, triangle: *triangle, bias, count, output }.run(isa);
    }

    fn pooled(
        &self,
        isa: Isa,
        phases: &[Phase],
        inputs: &[&[f32]],
        rows: Range<usize>,
        out: &mut [f32],
        Scratch { buffer, taps }: &mut Scratch,
    ) {
        let (pitch, width) = (self.layout.pitch, self.layout.shape.width);
        buffer.reserve(4 * width * pitch);
        for (row, out) in rows.zip(out.chunks_exact_mut(self.layout.row())) {
            let (top, bottom) = buffer[..4 * width * pitch].split_at_mut(2 * width * pitch);
            for (y, line) in [&mut *top, &mut *bottom].into_iter().enumerate() {
                for phase in phases {
                    let finish = Finish { grid: None, ..self.finish() };
                    let output = Output::Pixels { out: &mut *line, step: pitch, residual: None, finish };
                    self.gather(isa, phase, inputs, 2 * row + y, 2 * width, output, taps);
                }
            }
            let out = &mut out[self.layout.halo * pitch..][..width * pitch];
            AverageRows { top, bottom, out, pitch, finish: Finish { relu: false, grid: self.grid } }.run(isa);
        }
    }

    fn finish(&self) -> Finish {
        Finish { relu: self.relu, grid: self.grid }
    }

    /// The residual map from an output on, every `step`-th pixel.
    fn residual<'a>(&self, inputs: &[&'a [f32]], row: usize, column: usize, step: usize) -> Option<Residual<'a>> {
        let (values, layout) = inputs.last().zip(self.input_layouts.last()).filter(|_| self.residual)?;
        Some(Residual { values: &values[layout.at(row, column)..], step: step * layout.pitch })
    }
}

impl Phase {
    fn new(
        isa: Isa,
        terms: &[Term],
        layouts: &[Layout],
        bias: &Buffer,
        squares: bool,
        period: [usize; 2],
        phase: [usize; 2],
    ) -> Self {
        let channels = bias.len();
        let mut taps: Vec<MapTap> = Vec::new();
        let mut matrix: Vec<f32> = Vec::new();
        for (source, Term { input, convolution }) in terms.iter().enumerate() {
            let layout = &layouts[*input];
            let depth = layout.shape.channels;
            let [_, kernel_columns] = convolution.kernel;
            for y in axis_taps(convolution, 0, period[0], phase[0]) {
                for x in axis_taps(convolution, 1, period[1], phase[1]) {
                    let tap = MapTap {
                        source,
                        row: (y.offset + layout.halo as isize) as usize,
                        row_step: y.step,
                        start: (x.offset + layout.halo as isize) as usize * layout.pitch,
                        step: x.step * layout.pitch,
                        depth,
                    };
                    push_merged(&mut taps, tap);
                    let element = y.kernel * kernel_columns + x.kernel;
                    let kernel_size = convolution.kernel[0] * kernel_columns;
                    for channel in 0..depth {
                        let weight =
                            |output: usize| convolution.weights[(output * depth + channel) * kernel_size + element];
                        matrix.extend((0..convolution.bias.len()).map(weight));
                        matrix.resize(matrix.len() + channels - convolution.bias.len(), 0.0);
                    }
                }
            }
        }
        let depth = matrix.len() / channels.max(1);
        if !squares {
            let weights = isa.pack(&matrix, channels, false);
            return Self { taps, weights, bias: bias.clone(), triangle: false, multiplications: depth * channels };
        }
        // The bias is the weight of an input that is always 1.
        matrix.extend_from_slice(bias);
        to_lower_triangle(&mut matrix, channels);
        let bias = Buffer::from(&matrix[depth * channels..]);
        let weights = isa.pack(&matrix[..depth * channels], channels, true);
        let multiplications = weights.len();
        Self { taps, weights, bias, triangle: true, multiplications }
    }
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
