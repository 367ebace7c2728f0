//! Rewrites of a graph that leave its values as they are, up to rounding, and save work or memory.

use super::eight_bits::EightBits;
use super::graph::{Convolution, Graph, Id, Layer, Node, Pick, Shape, Term};
use super::plan::{Choice, WINOGRAD_OUTPUTS, winograd};
use crate::infer::kernels::MAX_TERMS;
use std::ops::Range;

/// A graph that computes the same.
#[derive(Debug)]
pub(super) struct Simplified {
    pub graph: Graph,
    /// For each node the one of the given graph whose map it makes, or helps to make.
    pub origin: Vec<Id>,
    /// Multiplications by the definition of each node.
    pub direct: Vec<u64>,
}

impl Simplified {
    /// The rewritten graph; nodes of which `choices` says so keep their convolutions as they are.
    pub(super) fn new(mut graph: Graph, choices: &[Option<Choice>]) -> Self {
        let mut direct: Vec<u64> = graph.nodes.iter().map(|node| node.multiplications(&graph)).collect();
        for id in 0..graph.nodes.len() {
            while let Some(part) = part_of_a_sum(&graph, id) {
                merge(&mut graph.nodes, id, part);
                direct[id] += std::mem::take(&mut direct[part]);
            }
            if let Some(pool) = rounded_pool(&graph, id) {
                round_before(&mut graph.nodes, id, pool);
            }
            if let Some(part) = first_pool(&graph, id) {
                join(&mut graph.nodes, id, part);
            }
            if let Some(part) = pooled_projection(&graph, id) {
                let from = direct[part];
                exchange(&mut graph.nodes, id, part);
                (direct[part], direct[id]) = (0, from);
            }
        }
        let mut simplified = Self { graph: Graph::default(), origin: vec![], direct: vec![] };
        simplified.emit(&graph, &direct, choices);
        simplified
    }

    /// Takes over what is needed of `graph`, in its order.
    fn emit(&mut self, graph: &Graph, direct: &[u64], choices: &[Option<Choice>]) {
        let mut needed = vec![false; graph.nodes.len()];
        graph.outputs.iter().for_each(|id| needed[*id] = true);
        for (id, node) in graph.nodes.iter().enumerate().rev() {
            needed[id] |= matches!(node.layer, Layer::Input { .. });
            if needed[id] {
                node.inputs().into_iter().for_each(|input| needed[input] = true);
            }
        }
        let mut renamed = vec![usize::MAX; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
            let mut node = node.clone();
            node.read_from(|input| renamed[input]);
            let is_kept = choices.get(id).copied().flatten() == Some(Choice::Direct);
            let stem = if is_kept { None } else { self.stem(&node, id) };
            renamed[id] = self.push(stem.unwrap_or(node), id, direct[id]);
        }
        self.graph.outputs = graph.outputs.iter().map(|id| renamed[*id]).collect();
    }

    fn push(&mut self, node: Node, origin: Id, direct: u64) -> Id {
        self.graph.nodes.push(node);
        self.origin.push(origin);
        self.direct.push(direct);
        self.graph.nodes.len() - 1
    }

    /// A convolution of few channels that thins its outputs by two, or whose outputs are averaged by two, as convolutions of
    /// a map with a quarter of the pixels and four times the channels: those have transforms.
    fn stem(&mut self, node: &Node, origin: Id) -> Option<Node> {
        let Layer::Convolve { terms, residual, relu, pool, grid } = &node.layer else { return None };
        let ([Term { input, convolution }], None) = (&terms[..], residual) else { return None };
        let from = self.graph.nodes[*input].shape;
        let Shape { height, width, .. } = node.shape;
        let stride = if *pool { [1, 1] } else { [2, 2] };
        let halves = (from.height, from.width) == (2 * height, 2 * width);
        // Weights that are not in 8 bits keep a map from being bytes anyhow.
        let exact = self.graph.nodes[*input].grid().is_none() || EightBits::of(convolution).is_none();
        if !halves
            || !exact
            || (*pool && grid.is_some())
            || convolution.stride != stride
            || convolution.transposed
            || 4 * from.channels > MOST_CHANNELS
        {
            return None;
        }
        let phases: &[[usize; 2]] = if *pool { &[[0, 0], [0, 1], [1, 0], [1, 1]] } else { &[[0, 0]] };
        let count = if *pool { 2 } else { 1 };
        let unshuffled = phases.iter().map(|phase| unshuffled(convolution, from.channels, *phase, 0..count));
        let unshuffled: Vec<Convolution> = unshuffled.collect::<Option<_>>()?;
        let pixels = Node {
            layer: Layer::Unshuffle { input: *input },
            shape: Shape { channels: 4 * from.channels, height, width },
        };
        if height * width < WINOGRAD_OUTPUTS
            || unshuffled
                .iter()
                .any(|convolution| winograd(convolution, pixels.shape, node.shape, grid.is_some()).is_none())
        {
            return None;
        }
        let known = self.graph.nodes.iter().position(|other| *other == pixels);
        let input = known.unwrap_or_else(|| self.push(pixels, origin, 0));
        let terms: Vec<Term> = unshuffled.into_iter().map(|convolution| Term { input, convolution }).collect();
        let layer = match pool {
            true => Layer::Mean { terms, relu: *relu },
            false => Layer::Convolve { terms, residual: None, relu: *relu, pool: false, grid: *grid },
        };
        Some(Node { layer, shape: node.shape })
    }
}

/// Most channels for which a map is unshuffled: what one vector of any width holds.
const MOST_CHANNELS: usize = 16;

/// The convolution of the unshuffled map that gives the outputs at rows 2Y + `phase` and columns likewise; those of all `phases`
/// are of one size. None where a kernel would start below or right of its output.
fn unshuffled(
    convolution: &Convolution,
    channels: usize,
    phase: [usize; 2],
    phases: Range<usize>,
) -> Option<Convolution> {
    // Kernel element k reads position 2Y + phase + k − pad = 2·(Y + v) + a.
    let place = |axis: usize, phase: usize, k: usize| {
        let at = (k + phase) as isize - convolution.pad[axis] as isize;
        (at.div_euclid(2), at.rem_euclid(2) as usize)
    };
    let side = |axis: usize| {
        let first = |phase: usize| place(axis, phase, 0).0;
        let length = |phase: usize| (place(axis, phase, convolution.kernel[axis] - 1).0 - first(phase)) as usize + 1;
        (first(phase[axis]), phases.clone().map(length).max().unwrap_or_default())
    };
    let ([rows, columns], outputs) = (convolution.kernel, convolution.bias.len());
    let [(top, height), (left, width)] = [side(0), side(1)];
    let pad = [usize::try_from(-top).ok()?, usize::try_from(-left).ok()?];
    let mut weights = vec![0.0; outputs * 4 * channels * height * width];
    for (index, weight) in convolution.weights.iter().enumerate() {
        let (x, y) = (index % columns, index / columns % rows);
        let (channel, output) = (index / (rows * columns) % channels, index / (rows * columns * channels));
        let ((v, a), (u, b)) = (place(0, phase[0], y), place(1, phase[1], x));
        let input = (2 * a + b) * channels + channel;
        let at = ((output * 4 * channels + input) * height + (v - top) as usize) * width + (u - left) as usize;
        weights[at] = *weight;
    }
    let bias = convolution.bias.clone();
    let weights = weights.into();
    Some(Convolution { weights, bias, kernel: [height, width], stride: [1, 1], pad, transposed: false })
}

/// Whether a node's map is wanted by one other node, once, and by nobody else.
fn used_once(graph: &Graph, id: Id) -> bool {
    let uses = graph.nodes.iter().flat_map(Node::inputs).filter(|input| *input == id).count();
    uses == 1 && !graph.outputs.contains(&id)
}

/// Terms whose sum is all that a node is, all of them 1 × 1.
fn pointwise_sum(graph: &Graph, id: Id) -> Option<&[Term]> {
    let Layer::Convolve { terms, relu: false, pool: false, grid: None, .. } = &graph.nodes[id].layer else {
        return None;
    };
    terms.iter().all(|term| term.convolution.is_pointwise()).then_some(terms)
}

fn are_exact(graph: &Graph, terms: &[Term]) -> bool {
    terms.iter().all(|term| graph.nodes[term.input].grid().is_none())
}

/// Whether `terms` are so few maps in 8 bits, with weights in 8 bits, that one layer of products of bytes computes them.
fn are_bytes(graph: &Graph, terms: &[&Term]) -> bool {
    let fits = |term: &&Term| graph.nodes[term.input].grid().is_some() && EightBits::of(&term.convolution).is_some();
    terms.len() <= MAX_TERMS && terms.iter().all(fits)
}

/// The residual of a node where it is a sum of 1 × 1 convolutions like the node itself.
fn part_of_a_sum(graph: &Graph, id: Id) -> Option<Id> {
    let Layer::Convolve { terms, residual: Some(part), pool: false, .. } = &graph.nodes[id].layer else { return None };
    let sum = pointwise_sum(graph, *part).filter(|_| used_once(graph, *part))?;
    let alike = (are_exact(graph, terms) && are_exact(graph, sum))
        || are_bytes(graph, &terms.iter().chain(sum).collect::<Vec<_>>());
    (terms.iter().all(|term| term.convolution.is_pointwise()) && alike).then_some(*part)
}

/// What a node does; it is left with nothing to read.
fn take(nodes: &mut [Node], id: Id) -> Layer {
    std::mem::replace(&mut nodes[id].layer, Layer::Squares { terms: vec![] })
}

/// Makes the residual `part` of a node terms of it.
fn merge(nodes: &mut [Node], id: Id, part: Id) {
    let Layer::Convolve { terms: first, residual: rest, .. } = take(nodes, part) else { return };
    let Layer::Convolve { terms, residual, .. } = &mut nodes[id].layer else { return };
    terms.splice(0..0, first);
    *residual = rest;
}

/// The pool whose largest values are all that a node rounds, where they are of a convolution that nobody else reads: they may
/// be picked after the rounding, from fewer bits.
fn rounded_pool(graph: &Graph, id: Id) -> Option<Id> {
    let Layer::Convolve { terms, residual: Some(pool), relu: false, pool: false, grid: Some(_) } =
        &graph.nodes[id].layer
    else {
        return None;
    };
    let Layer::Pool { input, poolings, grid: None } = &graph.nodes[*pool].layer else { return None };
    let Layer::Convolve { grid: None, .. } = &graph.nodes[*input].layer else { return None };
    let largest = poolings.iter().all(|pooling| pooling.pick == Pick::Largest);
    let alone = used_once(graph, *pool) && used_once(graph, *input);
    (terms.is_empty() && largest && alone).then_some(*pool)
}

/// Rounds what `pool` is taken of as node `id` would round the pool, whose place that takes.
fn round_before(nodes: &mut [Node], id: Id, pool: Id) {
    let (Layer::Convolve { grid: wanted, .. }, Layer::Pool { input, poolings, .. }) =
        (take(nodes, id), take(nodes, pool))
    else {
        return;
    };
    if let Layer::Convolve { grid, .. } = &mut nodes[input].layer {
        *grid = wanted;
    }
    nodes[id].layer = Layer::Pool { input, poolings, grid: wanted };
}

/// The mean that a mean is taken of.
fn first_pool(graph: &Graph, id: Id) -> Option<Id> {
    let means = |id: Id| match &graph.nodes[id].layer {
        Layer::Pool { input, poolings, .. } if poolings.iter().all(|pooling| pooling.pick == Pick::Mean) => {
            Some(*input)
        }
        _ => None,
    };
    let part = means(id)?;
    (means(part).is_some() && used_once(graph, part)).then_some(part)
}

/// Makes the first of two pools part of the second.
fn join(nodes: &mut [Node], id: Id, part: Id) {
    let Layer::Pool { input: from, poolings: first, .. } = take(nodes, part) else { return };
    let Layer::Pool { input, poolings, .. } = &mut nodes[id].layer else { return };
    poolings.splice(0..0, first);
    *input = from;
}

/// The 1 × 1 convolution that a mean with fewer pixels is taken of: it may as well be one of the mean.
fn pooled_projection(graph: &Graph, id: Id) -> Option<Id> {
    let Node { layer: Layer::Pool { input: part, poolings, .. }, shape } = &graph.nodes[id] else { return None };
    let from = graph.nodes[*part].shape;
    let fewer = 2 * shape.height * shape.width <= from.height * from.width;
    let is_mean = poolings.iter().all(|pooling| pooling.pick == Pick::Mean);
    let single = pointwise_sum(graph, *part).is_some_and(|terms| terms.len() == 1 && are_exact(graph, terms));
    (fewer && is_mean && single && graph.nodes[*part].residual().is_none() && used_once(graph, *part)).then_some(*part)
}

/// Pools before the 1 × 1 convolution `part` instead of after it.
fn exchange(nodes: &mut [Node], id: Id, part: Id) {
    let (Layer::Convolve { mut terms, .. }, Layer::Pool { poolings, .. }) = (take(nodes, part), take(nodes, id)) else {
        return;
    };
    let Some(input) = terms.first_mut().map(|term| std::mem::replace(&mut term.input, part)) else { return };
    let shape = Shape { channels: nodes[input].shape.channels, ..nodes[id].shape };
    nodes[part] = Node { layer: Layer::Pool { input, poolings, grid: None }, shape };
    nodes[id].layer = Layer::Convolve { terms, residual: None, relu: false, pool: false, grid: None };
}
