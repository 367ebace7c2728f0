//! Where each map lies in memory.

use super::graph::{Graph, Id, Layer, Node, Shape};
use super::taps;
use crate::infer::kernels::{Tile, padded};

/// Fewest outputs for which the transforms of a Winograd convolution pay.
const WINOGRAD_OUTPUTS: usize = 64;
/// Fewest channels of the input for which they pay.
const WINOGRAD_CHANNELS: usize = 8;

/// A map in (row, column, channel) order with a border of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub shape: Shape,
    /// Values a pixel; those past the channels are zero.
    pub pitch: usize,
    /// Rows and columns of zeros on every side.
    pub halo: usize,
}

impl Layout {
    /// Values a row.
    pub(super) fn row(&self) -> usize {
        (self.shape.width + 2 * self.halo) * self.pitch
    }

    /// Values in all.
    pub(super) fn len(&self) -> usize {
        (self.shape.height + 2 * self.halo) * self.row()
    }

    /// Where a pixel starts.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        (row + self.halo) * self.row() + (column + self.halo) * self.pitch
    }
}

/// The transform that computes `node`, if one fits.
pub(super) fn winograd(graph: &Graph, node: &Node) -> Option<Tile> {
    let Layer::Convolve { term, pool: false, .. } = &node.layer else { return None };
    let convolution = &term.convolution;
    let [kernel, columns] = convolution.kernel;
    let fits = kernel == columns
        && !convolution.transposed
        && convolution.stride == [1, 1]
        && graph.nodes[term.input].shape.channels >= WINOGRAD_CHANNELS
        && node.shape.height * node.shape.width >= WINOGRAD_OUTPUTS;
    Tile::for_kernel(kernel).filter(|_| fits)
}

/// A layout for each node.
pub(super) fn layouts(graph: &Graph) -> Vec<Layout> {
    let residual = |node: &Node| if let Layer::Convolve { residual, .. } = node.layer { residual } else { None };
    let residuals: Vec<Id> = graph.nodes.iter().filter_map(residual).collect();
    let mut layouts: Vec<Layout> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| {
            let scalar = matches!(node.layer, Layer::Input | Layer::Squares { .. } | Layer::Smallest { .. });
            let dense = scalar && node.shape.channels < WINOGRAD_CHANNELS && !residuals.contains(&id);
            let pitch = if dense { node.shape.channels } else { padded(node.shape.channels) };
            Layout { shape: node.shape, pitch, halo: 0 }
        })
        .collect();
    for node in &graph.nodes {
        for term in node.terms() {
            let input = graph.nodes[term.input].shape;
            for (axis, size) in [input.height, input.width].into_iter().enumerate() {
                let border = match winograd(graph, node) {
                    Some(tile) => {
                        let outputs = node.convolved()[axis].next_multiple_of(tile.outputs());
                        let end = outputs - tile.outputs() + tile.inputs() - term.convolution.pad[axis];
                        term.convolution.pad[axis].max(end.saturating_sub(size))
                    }
                    None => {
                        let period = taps::period(node.terms(), axis);
                        taps::border(&term.convolution, axis, period, size, node.convolved()[axis])
                    }
                };
                layouts[term.input].halo = layouts[term.input].halo.max(border);
            }
        }
    }
    layouts
}

/// Memory shared by maps that are never needed at the same time when nodes are computed in their order.
#[derive(Debug)]
pub(super) struct Slots {
    /// The slot of each node.
    pub of: Vec<usize>,
    /// The layout of each slot; maps share a slot only where layouts agree, so that borders stay zero.
    pub layouts: Vec<Layout>,
}

impl Slots {
    pub(super) fn assign(graph: &Graph, layouts: &[Layout]) -> Self {
        // The last node that reads each map; inputs are all filled before the first node, outputs read after the last.
        let mut last: Vec<Id> = (0..graph.nodes.len()).collect();
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs().into_iter().for_each(|input| last[input] = id);
        }
        graph.outputs.iter().for_each(|output| last[*output] = usize::MAX);
        let mut slots = Self { of: Vec::new(), layouts: Vec::new() };
        let mut tenants: Vec<Id> = Vec::new();
        for (id, layout) in layouts.iter().enumerate() {
            let given = graph.nodes[id].layer == Layer::Input;
            let is_free = |slot: &usize| slots.layouts[*slot] == *layout && last[tenants[*slot]] < id;
            let free = (0..tenants.len()).find(is_free).filter(|_| !given);
            let slot = free.unwrap_or_else(|| {
                slots.layouts.push(*layout);
                tenants.push(id);
                tenants.len() - 1
            });
            tenants[slot] = id;
            slots.of.push(slot);
        }
        slots
    }
}
