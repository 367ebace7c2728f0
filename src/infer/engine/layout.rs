//! Where each map lies in memory.

use super::chain::Place;
use super::graph::{Graph, Id, Layer, Node, Shape};
use super::plan::{Plan, WINOGRAD_CHANNELS};
use super::taps;
use crate::infer::kernels::{Grid, padded};

/// Bytes after a map of bytes that may be read with its last pixel.
const SLACK: usize = 64;
/// Columns from which on a border is little next to the map, and fewer maps in memory are worth it.
const WIDE: usize = 96;

/// A map in (row, column, channel) order with a border of zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    pub shape: Shape,
    /// Values a pixel; those past the channels are zero.
    pub pitch: usize,
    /// Rows and columns of zeros on every side.
    pub halo: usize,
    /// What the codes mean where the values are bytes; the border then holds the code of 0.
    pub codes: Option<Grid>,
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

    /// Words of 4 bytes in a row, which are whole.
    pub(super) fn row_words(&self) -> usize {
        if self.codes.is_some() { self.row() / 4 } else { self.row() }
    }

    /// Words of 4 bytes in all.
    pub(super) fn words(&self) -> usize {
        if self.codes.is_some() { (self.len() + SLACK).div_ceil(4) } else { self.len() }
    }

    /// Words that `count` pixels take, with what may be read after the last one.
    pub(super) fn words_of(&self, count: usize) -> usize {
        if self.codes.is_some() { (count * self.pitch + SLACK).div_ceil(4) } else { count * self.pitch }
    }

    /// Words before a pixel in rows with their borders; the same pixel of a map's whole memory follows that much later.
    pub(super) fn words_at(&self, row: usize, column: usize) -> usize {
        row * self.row_words() + self.words_before(column)
    }

    /// Words before the first pixel of a row.
    pub(super) fn words_of_border(&self) -> usize {
        self.words_before(self.halo)
    }

    fn words_before(&self, column: usize) -> usize {
        if self.codes.is_some() { column * self.pitch / 4 } else { column * self.pitch }
    }

    /// The widest border of any map whose memory could be this one's; its own where that is small.
    fn widest_border(&self, layouts: &[Self]) -> usize {
        let alike = |other: &&Self| Self { halo: self.halo, ..**other } == *self;
        let borders = layouts.iter().filter(alike).map(|other| other.halo);
        if self.shape.width < WIDE { self.halo } else { borders.max().unwrap_or(self.halo) }
    }

    /// Where a pixel starts.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        (row + self.halo) * self.row() + (column + self.halo) * self.pitch
    }
}

/// A layout for each node.
pub(super) fn layouts(graph: &Graph, plan: &Plan) -> Vec<Layout> {
    let pooled = |node: &Node| if let Layer::Pool { input, .. } = node.layer { Some(input) } else { None };
    let whole_vectors: Vec<Id> =
        graph.nodes.iter().flat_map(|node| [node.residual(), pooled(node)]).flatten().collect();
    let mut layouts: Vec<Layout> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| {
            let channels = node.shape.channels;
            let scalar = matches!(node.layer, Layer::Input { .. } | Layer::Squares { .. } | Layer::Smallest { .. });
            let codes = plan.stored[id];
            let most = if codes.is_some() { 5 } else { WINOGRAD_CHANNELS };
            let dense = scalar && channels < most && !whole_vectors.contains(&id);
            let pitch = match (dense, codes) {
                (false, _) => padded(channels),
                (true, Some(_)) => 4,
                (true, None) => channels,
            };
            Layout { shape: node.shape, pitch, halo: 0, codes }
        })
        .collect();
    for (id, node) in graph.nodes.iter().enumerate() {
        for term in node.terms() {
            let input = graph.nodes[term.input].shape;
            for (axis, size) in [input.height, input.width].into_iter().enumerate() {
                let transformed = plan.tile(id).filter(|tile| term.convolution.kernel[axis] == tile.kernel());
                let border = match transformed {
                    Some(tile) => {
                        let pads = || node.terms().iter().map(|term| tile.pad(term.convolution.pad)[axis]);
                        let (least, most) = (pads().min().unwrap_or(0), pads().max().unwrap_or(0));
                        let end = tile.reach(node.convolved()[axis] + most - least) - most;
                        most.max(end.saturating_sub(size))
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
    let borders: Vec<usize> = layouts.iter().map(|layout| layout.widest_border(&layouts)).collect();
    layouts.iter_mut().zip(borders).for_each(|(layout, border)| layout.halo = border);
    layouts
}

/// Memory shared by maps that are never needed at the same time when nodes are computed in their order.
#[derive(Debug)]
pub(super) struct Slots {
    /// The slot of each node; none where its map is not stored.
    pub of: Vec<Option<usize>>,
    /// The layout of each slot; maps share a slot only where layouts agree, so that borders stay zero.
    pub layouts: Vec<Layout>,
}

impl Slots {
    pub(super) fn assign(graph: &Graph, layouts: &[Layout], places: &[Place]) -> Self {
        // The last node that reads each map; inputs are all filled before the first node, outputs read after the last.
        let mut last: Vec<Id> = (0..graph.nodes.len()).collect();
        for (id, node) in graph.nodes.iter().enumerate() {
            let read = places[id].end.unwrap_or(id);
            node.inputs().into_iter().for_each(|input| last[input] = last[input].max(read));
        }
        graph.outputs.iter().for_each(|output| last[*output] = usize::MAX);
        let mut slots = Self { of: Vec::new(), layouts: Vec::new() };
        let mut tenants: Vec<Id> = Vec::new();
        for (id, layout) in layouts.iter().enumerate() {
            if !places[id].stored {
                slots.of.push(None);
                continue;
            }
            let given = matches!(graph.nodes[id].layer, Layer::Input { .. });
            let is_free = |slot: &usize| slots.layouts[*slot] == *layout && last[tenants[*slot]] < id;
            let free = (0..tenants.len()).find(is_free).filter(|_| !given);
            let slot = free.unwrap_or_else(|| {
                slots.layouts.push(*layout);
                tenants.push(id);
                tenants.len() - 1
            });
            tenants[slot] = id;
            slots.of.push(Some(slot));
        }
        slots
    }
}
