//! Layers that are computed right behind each other.

use super::*;
use crate::infer::engine::chain::places;
use crate::infer::engine::plan::Plan;

fn pointwise(input: Id, from: Shape, outputs: usize, seed: u32) -> Term {
    Term { input, convolution: convolution(outputs, from.channels, 1, 1, 0, seed) }
}

fn node(terms: Vec<Term>, residual: Option<Id>, relu: bool, shape: Shape) -> Node {
    Node { layer: Layer::Convolve { terms, residual, relu, pool: false, grid: None }, shape }
}

/// Two bottlenecks that add to a running sum which is activated before it is read, as in a pre-activation residual network,
/// and the mean of what they give.
fn pre_activated(wide: usize, narrow: usize, height: usize, width: usize) -> Graph {
    let (map, inner) = (shape(wide, height, width), shape(narrow, height, width));
    let middle = |input, seed| Term { input, convolution: convolution(narrow, narrow, 3, 1, 1, seed) };
    let pooling = Pooling { pick: Pick::Mean, window: [3, 3], stride: [1, 1], pad: [1, 1], of: [height, width] };
    let nodes = vec![
        input(inner),
        // 1 is activated for 3 and read by 4 as well.
        node(vec![middle(0, 1)], None, true, inner),
        node(vec![pointwise(1, inner, narrow, 2)], None, true, inner),
        node(vec![middle(2, 3)], None, true, inner),
        // The sum, 4, which 5 activates, 6 reads so and 8 adds to.
        node(vec![pointwise(1, inner, wide, 4), pointwise(3, inner, wide, 5)], None, false, map),
        node(vec![], Some(4), true, map),
        node(vec![pointwise(5, map, narrow, 6)], None, true, inner),
        node(vec![middle(6, 7)], None, true, inner),
        node(vec![pointwise(7, inner, wide, 8)], Some(4), false, map),
        node(vec![], Some(8), true, map),
        Node { layer: Layer::Pool { input: 9, poolings: vec![pooling], grid: None }, shape: map },
    ];
    Graph { nodes, outputs: vec![10] }
}

#[test]
fn running_sums_are_their_definition() {
    for (wide, narrow, height, width) in
        [(192, 64, 5, 64), (48, 16, 9, 37), (40, 24, 3, 5), (17, 9, 12, 31), (64, 16, 4, 100)]
    {
        let graph = pre_activated(wide, narrow, height, width);
        check(&format!("{wide} and {narrow} channels, {height}×{width}"), &graph);
    }
}

#[test]
fn what_one_layer_reads_is_not_stored() {
    let graph = pre_activated(48, 16, 6, 8);
    let places = places(&graph, &Plan::new(Isa::best(), &graph, &[]));
    let ends: Vec<(Id, Option<Id>)> =
        (0..graph.nodes.len()).filter_map(|id| Some((id, Some(places[id].end?)))).collect();
    assert_eq!(ends, [(4, Some(6)), (5, Some(6)), (8, Some(9))]);
    let kept: Vec<Id> = (0..graph.nodes.len()).filter(|id| !places[*id].stored).collect();
    assert_eq!(kept, [5, 8]);
    assert_eq!((places[5].behind, places[6].behind, places[9].behind), (Some(4), Some(5), Some(8)));
}

/// Chains of chance: each layer reads the one before it, some others too, and any map may be wanted.
#[test]
fn random_chains_are_their_definition() {
    let mut state = 0x63_6861u32;
    let mut between = |low: usize, high: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        low + state as usize % (high - low + 1)
    };
    for round in 0..40 {
        let (height, width) = (between(1, 7), between(1, 70));
        let mut nodes = vec![input(shape(between(1, 40), height, width))];
        for id in 1..between(3, 8) {
            let before = nodes[id - 1].shape;
            let same = nodes.iter().position(|node| node.shape == before).filter(|_| between(0, 3) == 0);
            let outputs = if same.is_some() { before.channels } else { between(1, 70) };
            let mut terms = vec![pointwise(id - 1, before, outputs, round * 10 + id as u32)];
            if between(0, 2) == 0 {
                let other = between(0, id - 1);
                terms.push(pointwise(other, nodes[other].shape, outputs, round * 10 + id as u32 + 500));
            }
            let activates = between(0, 4) == 0;
            let (terms, residual) = if activates { (vec![], Some(id - 1)) } else { (terms, same) };
            let channels = if activates { before.channels } else { outputs };
            nodes.push(node(terms, residual, between(0, 1) == 0, shape(channels, height, width)));
        }
        let last = nodes.len() - 1;
        let mut outputs = vec![last];
        if between(0, 2) == 0 && last > 1 {
            outputs.insert(0, between(1, last - 1));
        }
        // A convolution with a border behind it.
        let from = nodes[last].shape;
        nodes.push(convolve(last, convolution(20, from.channels, 3, 1, 1, round), shape(20, height, width)));
        outputs.push(last + 1);
        check(&format!("chain {round} of {} layers, {height}×{width}", last), &Graph { nodes, outputs });
    }
}
