//! How each layer is computed and each map stored on one processor.

use super::eight_bits::EightBits;
use super::graph::{Convolution, Graph, Id, Layer, Node, Shape, Term};
use crate::infer::kernels::{Grid, Isa, MAX_DEPTH, MAX_TERMS, Tile, WordWeights};
use serde::{Deserialize, Serialize};

/// Fewest outputs for which the transforms of a Winograd convolution pay.
pub(super) const WINOGRAD_OUTPUTS: usize = 64;
/// Fewest channels of the input for which they pay.
pub(super) const WINOGRAD_CHANNELS: usize = 8;

/// Most weights of [`Tile::F6x3`] at one position: all 64 are then in any second-level cache. Of more, its fewer products gain little.
const FEW_WEIGHTS: usize = 2048;
/// How many weights [`Tile::T8x3`] has more than the convolution, for one channel of either side.
const MORE_WEIGHTS: usize = 36 - 9;

/// How a layer's convolutions are computed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Method {
    /// No convolution: pixels are only picked, averaged or moved.
    Move,
    Winograd(Tile),
    /// Sums of f32.
    Direct,
    /// Sums of products of bytes; the weights of each term.
    Codes(Vec<EightBits>),
    /// [`Tile::F4x3`] in whole numbers.
    Words(EightBits),
}

/// A way to compute a layer, where there is more than one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Choice {
    /// By transforms.
    Winograd,
    /// By sums of f32.
    Direct,
    /// By sums of products of bytes.
    Bytes,
}

impl Choice {
    pub(super) const ALL: [Self; 3] = [Self::Winograd, Self::Direct, Self::Bytes];
}

/// What was chosen for the nodes of a graph.
#[derive(Debug)]
pub(super) struct Plan {
    /// None for an input.
    pub methods: Vec<Option<Method>>,
    /// What the codes mean of maps that are stored in bytes.
    pub stored: Vec<Option<Grid>>,
}

impl Plan {
    /// The cheapest methods by estimate, or those of `choices`, one for each node, where they fit.
    pub(super) fn new(isa: Isa, graph: &Graph, choices: &[Option<Choice>]) -> Self {
        let mut plan =
            Self { methods: vec![None; graph.nodes.len()], stored: graph.nodes.iter().map(Node::grid).collect() };
        if !isa.has_dot_products() {
            plan.stored.fill(None);
        }
        let mut weights: Vec<Option<Vec<EightBits>>> = graph.nodes.iter().map(|node| plan.codes(node)).collect();
        for node in &graph.nodes {
            if let Layer::Unshuffle { input, .. } = node.layer {
                plan.stored[input] = None;
            }
        }
        // A layer that cannot read bytes wants all its maps in f32, of which others may then find one among bytes.
        loop {
            let before = plan.stored.clone();
            for (node, weights) in graph.nodes.iter().zip(&weights) {
                if !plan.reads_codes(graph, node, weights.is_some()) {
                    node.terms().iter().for_each(|term| plan.stored[term.input] = None);
                }
            }
            for (id, node) in graph.nodes.iter().enumerate() {
                if let Layer::Pool { input, grid: Some(_), .. } = node.layer {
                    // The largest of codes is one.
                    let both = plan.stored[id].and(plan.stored[input]);
                    plan.stored[id] = both;
                    plan.stored[input] = both;
                }
            }
            if plan.stored == before {
                break;
            }
        }
        for (id, node) in graph.nodes.iter().enumerate() {
            if let Layer::Pool { .. } | Layer::Unshuffle { .. } = node.layer {
                plan.methods[id] = Some(Method::Move);
            }
            if node.terms().is_empty() {
                let changes = matches!(node.layer, Layer::Convolve { .. });
                plan.methods[id] = if changes { Some(Method::Direct) } else { plan.methods[id].take() };
                continue;
            }
            let codes = weights[id].take().filter(|_| plan.terms_stored(node) == node.terms().len());
            let choice = choices.get(id).copied().flatten();
            let cheaper = |tile| words_cost(isa, graph, node) < winograd_cost(isa, graph, node, tile);
            let words = codes.as_ref().and_then(|codes| plan.words(isa, graph, node, codes));
            let words = words.filter(|_| tile(graph, node).is_some_and(cheaper));
            let bytes_are_cheaper = |tile| match choice {
                Some(Choice::Bytes) => true,
                Some(Choice::Winograd) => false,
                _ if words.is_some() => codes_cost(isa, graph, node) < words_cost(isa, graph, node),
                _ => codes_cost(isa, graph, node) < winograd_cost(isa, graph, node, tile),
            };
            let may_be_direct = plan.terms_stored(node) == 0 && !matches!(node.layer, Layer::Mean { .. });
            plan.methods[id] = Some(match (codes, tile(graph, node)) {
                (Some(codes), None) => Method::Codes(codes),
                (Some(codes), Some(tile)) if bytes_are_cheaper(tile) => Method::Codes(codes),
                (_, Some(_)) if choice == Some(Choice::Direct) && may_be_direct => Method::Direct,
                (_, Some(tile)) => words.map_or(Method::Winograd(tile), Method::Words),
                (None, None) => squares_tile(graph, node)
                    .filter(|_| choice != Some(Choice::Direct))
                    .map_or(Method::Direct, Method::Winograd),
            });
        }
        plan
    }

    /// The transform that computes node `id`.
    pub(super) fn tile(&self, id: Id) -> Option<Tile> {
        match self.methods[id] {
            Some(Method::Winograd(tile)) => Some(tile),
            Some(Method::Words(_)) => Some(Tile::F4x3),
            _ => None,
        }
    }

    /// The codes of a node's weights where its maps may be bytes.
    fn codes(&self, node: &Node) -> Option<Vec<EightBits>> {
        let terms = node.terms();
        let depth = |term: &Term| term.convolution.weights.len() / term.convolution.bias.len().max(1);
        if !(1..=MAX_TERMS).contains(&terms.len())
            || matches!(node.layer, Layer::Mean { .. })
            || self.terms_stored(node) < terms.len()
            || terms.iter().any(|term| depth(term) > MAX_DEPTH)
        {
            return None;
        }
        terms.iter().map(|term| EightBits::of(&term.convolution)).collect()
    }

    /// The weights of a node that can be transformed in whole numbers.
    fn words(&self, isa: Isa, graph: &Graph, node: &Node, codes: &[EightBits]) -> Option<EightBits> {
        let ([term], [codes]) = (node.terms(), codes) else { return None };
        let most = self.stored[term.input]?.largest_code_from_zero();
        let fits = isa.has_words() && tile(graph, node)?.kernel() == Tile::F4x3.kernel();
        let hold = || WordWeights::new(isa, &codes.codes, &codes.scales, most).is_some();
        (fits && hold()).then(|| codes.clone())
    }

    /// Maps that the node convolves and that are bytes.
    fn terms_stored(&self, node: &Node) -> usize {
        node.terms().iter().filter(|term| self.stored[term.input].is_some()).count()
    }

    /// Whether nothing keeps the maps that a node convolves from being what they are.
    fn reads_codes(&self, graph: &Graph, node: &Node, has_codes: bool) -> bool {
        match self.terms_stored(node) {
            0 => true,
            count if has_codes && count == node.terms().len() => true,
            _ => tile(graph, node).is_some(),
        }
    }
}

/// The transform that could compute `node`.
fn tile(graph: &Graph, node: &Node) -> Option<Tile> {
    let (Layer::Convolve { terms, pool: false, .. } | Layer::Mean { terms, .. }) = &node.layer else { return None };
    let [term, others @ ..] = &terms[..] else { return None };
    let rounded = node.grid().is_some();
    let tile = |term: &Term| {
        let input = &graph.nodes[term.input];
        // Codes that stand for 0 are not made up for in outputs of different taps.
        let fits = input.grid().is_none() || !term.convolution.transposed;
        winograd(&term.convolution, input.shape, node.shape, rounded).filter(|_| fits)
    };
    let same = others.is_empty() || matches!(node.layer, Layer::Mean { .. });
    tile(term).filter(|found| same && others.iter().all(|term| tile(term) == Some(*found)))
}

/// The transform that could compute one of the terms whose sum is squared, where the others take each pixel by itself and no map is
/// held in 8 bits.
fn squares_tile(graph: &Graph, node: &Node) -> Option<Tile> {
    let Layer::Squares { terms } = &node.layer else { return None };
    let (mut main, others): (Vec<&Term>, Vec<&Term>) = terms.iter().partition(|term| term.convolution.transposed);
    let exact = terms.iter().all(|term| graph.nodes[term.input].grid().is_none());
    let main = main.pop().filter(|_| main.is_empty() && exact)?;
    let outputs = Shape { channels: main.convolution.bias.len(), ..node.shape };
    let pointwise = others.iter().all(|term| term.convolution.is_pointwise());
    winograd(&main.convolution, graph.nodes[main.input].shape, outputs, false).filter(|_| pointwise)
}

/// The transform that could compute a convolution from one map to another with the fewest products; `rounded` outputs are held
/// in 8 bits.
pub(super) fn winograd(convolution: &Convolution, from: Shape, to: Shape, rounded: bool) -> Option<Tile> {
    let [kernel, columns] = convolution.kernel;
    let enough = from.channels >= WINOGRAD_CHANNELS && to.height * to.width >= WINOGRAD_OUTPUTS;
    let tiles: &[Tile] = if convolution.transposed {
        let fits = kernel == 3 && convolution.stride == [2, 2] && convolution.pad == [1, 1];
        // Its weights take four times the memory, which must be little next to the map.
        let few = MORE_WEIGHTS * from.channels <= to.height * to.width;
        if fits && few { &[Tile::T8x3] } else { &[] }
    } else if convolution.stride == [1, 1] {
        Tile::for_kernel(kernel, rounded)
    } else {
        &[]
    };
    let near = |tile: &Tile| *tile != Tile::F6x3 || from.channels * to.channels <= FEW_WEIGHTS;
    let tiles = tiles.iter().copied().filter(|tile| kernel == columns && enough && near(tile));
    tiles.min_by_key(|tile| tile.positions([to.height, to.width]))
}

/// Time in multiply-adds of f32.
fn winograd_cost(isa: Isa, graph: &Graph, node: &Node, tile: Tile) -> f64 {
    tile_cost(graph, node, tile, 1.0, isa.transform_cost(tile))
}

/// The same of products of 16-bit numbers.
fn words_cost(isa: Isa, graph: &Graph, node: &Node) -> f64 {
    let (speed, transforms) = isa.word_speed();
    tile_cost(graph, node, Tile::F4x3, speed, transforms)
}

/// Of products at so much the speed of f32, and `transforms` for each value of a tile.
fn tile_cost(graph: &Graph, node: &Node, tile: Tile, speed: f64, transforms: f64) -> f64 {
    let inputs = graph.nodes[node.terms()[0].input].shape.channels as f64;
    let outputs = node.shape.channels as f64;
    let positions = tile.positions([node.shape.height, node.shape.width]) as f64;
    positions * (inputs * outputs / speed + transforms * (inputs + outputs))
}

/// The same of products of bytes.
fn codes_cost(isa: Isa, graph: &Graph, node: &Node) -> f64 {
    /// Of finishing one output.
    const FINISH: f64 = 10.0;
    let [height, width] = node.convolved();
    node.multiplications(graph) as f64 / isa.dot_speed() + FINISH * (node.shape.channels * height * width) as f64
}
