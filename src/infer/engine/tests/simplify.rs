//! What is rewritten computes the same, by definition and as it is run.

use super::super::simplify::Simplified;
use super::*;

/// The rewritten graph, of the same values in f64 and within the usual tolerance as it is run.
fn simplified(name: &str, graph: &Graph) -> Vec<Layer> {
    let simplified = Simplified::new(graph.clone(), &[]).graph;
    let inputs: Vec<Vec<f32>> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.layer, Layer::Input { .. }))
        .map(|node| values(node.shape.len(), 3))
        .collect();
    let (given, rewritten) = (naive(graph, &inputs), naive(&simplified, &inputs));
    for (id, other) in graph.outputs.iter().zip(&simplified.outputs) {
        assert_eq!(graph.nodes[*id].shape, simplified.nodes[*other].shape, "{name}");
        let largest = given[*id].iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (expected, got) in given[*id].iter().zip(&rewritten[*other]) {
            assert!((expected - got).abs() <= 1e-6 * largest, "{name}: {expected} became {got}");
        }
    }
    check(name, graph);
    simplified.nodes.into_iter().map(|node| node.layer).collect()
}

fn count(layers: &[Layer], kind: fn(&Layer) -> bool) -> usize {
    layers.iter().filter(|layer| kind(layer)).count()
}

fn is_unshuffle(layer: &Layer) -> bool {
    matches!(layer, Layer::Unshuffle { .. })
}

#[test]
fn stems_become_convolutions_of_unshuffled_maps() {
    let stem = |kernel: usize, pad: usize, pool: bool, channels: usize| {
        let stride = if pool { 1 } else { 2 };
        let terms = vec![Term { input: 0, convolution: convolution(20, channels, kernel, stride, pad, 4) }];
        let layer = Layer::Convolve { terms, residual: None, relu: true, pool, grid: None };
        let nodes = vec![input(shape(channels, 24, 30)), Node { layer, shape: shape(20, 12, 15) }];
        simplified(&format!("stem of {kernel}, {pad}, {pool}"), &Graph { nodes, outputs: vec![1] })
    };
    for (kernel, pad, channels) in [(7, 3, 3), (8, 3, 3), (5, 2, 3), (6, 2, 2), (7, 3, 4)] {
        assert_eq!(count(&stem(kernel, pad, false, channels), is_unshuffle), 1, "{kernel}, {pad}");
    }
    for (kernel, pad, channels) in [(7, 3, 3), (8, 3, 3), (5, 2, 3), (6, 3, 2), (7, 0, 3), (7, 3, 2)] {
        let layers = stem(kernel, pad, true, channels);
        assert_eq!(count(&layers, is_unshuffle), 1, "{kernel}, {pad}");
        assert_eq!(count(&layers, |layer| matches!(layer, Layer::Mean { .. })), 1, "{kernel}, {pad}");
    }
    // No transform, or too many channels.
    for (kernel, pad, pool, channels) in [(3, 1, true, 3), (3, 1, false, 3), (7, 3, true, 5), (7, 3, false, 16)] {
        assert_eq!(count(&stem(kernel, pad, pool, channels), is_unshuffle), 0, "{kernel}, {pad}, {channels}");
    }
}

/// More tiles in a row than are transformed together, and bands that end within the last tile's rows.
#[test]
fn stems_of_wide_pictures_do_not_depend_on_how_they_are_divided() {
    for (height, width) in [(11, 131), (5, 125)] {
        let terms = vec![Term { input: 0, convolution: convolution(64, 3, 7, 1, 3, 4) }];
        let layer = Layer::Convolve { terms, residual: None, relu: true, pool: true, grid: None };
        let nodes = vec![input(shape(3, 2 * height, 2 * width)), Node { layer, shape: shape(64, height, width) }];
        simplified(&format!("{height}×{width}"), &Graph { nodes, outputs: vec![1] });
    }
}

#[test]
fn stems_share_what_they_read() {
    let stem = |seed| {
        let terms = vec![Term { input: 0, convolution: convolution(16, 3, 7, 1, 3, seed) }];
        Node {
            layer: Layer::Convolve { terms, residual: None, relu: true, pool: true, grid: None },
            shape: shape(16, 10, 12),
        }
    };
    let strided = convolve(0, convolution(8, 3, 7, 2, 3, 9), shape(8, 10, 12));
    let nodes = vec![input(shape(3, 20, 24)), stem(1), stem(2), strided];
    let layers = simplified("three stems", &Graph { nodes, outputs: vec![1, 2, 3] });
    assert_eq!(count(&layers, is_unshuffle), 1);
}

#[test]
fn sums_of_projections_become_one_layer() {
    let map = |channels| shape(channels, 9, 11);
    let project = |input, from, residual, relu, seed| {
        let terms = vec![Term { input, convolution: convolution(40, from, 1, 1, 0, seed) }];
        Node { layer: Layer::Convolve { terms, residual, relu, pool: false, grid: None }, shape: map(40) }
    };
    let nodes = |relu| {
        vec![
            input(map(24)),
            input(map(16)),
            input(map(5)),
            project(0, 24, None, relu, 1),
            project(1, 16, Some(3), false, 3),
            project(2, 5, Some(4), true, 5),
        ]
    };
    let sums = |outputs: Vec<Id>, relu| {
        let layers = simplified("a sum", &Graph { nodes: nodes(relu), outputs });
        count(&layers, |layer| matches!(layer, Layer::Convolve { .. }))
    };
    assert_eq!(sums(vec![5], false), 1);
    assert_eq!(sums(vec![5, 4], false), 2, "a sum that is wanted for itself");
    assert_eq!(sums(vec![5, 3], false), 2, "a projection that is wanted for itself");
    assert_eq!(sums(vec![5], true), 2, "an activation in between");
}

#[test]
fn means_are_taken_before_projections() {
    let pool = |input, window, stride, pad, of| {
        let pooling = Pooling { pick: Pick::Mean, window, stride, pad, of };
        Layer::Pool { input, poolings: vec![pooling], grid: None }
    };
    for (height, width) in [(12, 16), (9, 7)] {
        let half = shape(24, height / 2, width / 2);
        let project = convolve(0, convolution(24, 40, 1, 1, 0, 7), shape(24, height, width));
        let mean = pool(1, [3, 3], [1, 1], [1, 1], [height, width]);
        let thin = pool(2, [2, 2], [2, 2], [0, 0], [height, width]);
        let nodes = vec![
            input(shape(40, height, width)),
            project,
            Node { layer: mean, shape: shape(24, height, width) },
            Node { layer: thin, shape: half },
        ];
        let graph = Graph { nodes, outputs: vec![3] };
        let layers = simplified("a mean of a mean of a projection", &graph);
        assert!(
            matches!(&layers[..], [_, Layer::Pool { poolings, .. }, Layer::Convolve { .. }] if poolings.len() == 2)
        );
        let wanted = Graph { outputs: vec![3, 2], ..graph };
        let layers = simplified("a mean that is wanted for itself", &wanted);
        assert!(matches!(layers.last(), Some(Layer::Pool { poolings, .. }) if poolings.len() == 1));
    }
}
