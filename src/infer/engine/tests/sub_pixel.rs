//! Transposed convolutions by transforms, of one tap here and two there.

use super::*;

/// The method of the graph's last node, which is checked against the naive sum.
fn checked(name: &str, graph: &Graph) {
    let names: Vec<String> = graph.nodes.iter().map(|_| name.to_owned()).collect();
    for isa in Isa::available() {
        let operators = Network::new(isa, graph.clone(), &[]).operators(&names);
        let method = operators.last().map(|operator| operator.method.as_str()).unwrap_or_default();
        assert!(method.starts_with("sub-pixel Winograd"), "{name} on {}: {method}", isa.name());
    }
    check(name, graph);
}

fn decoder(input: Id, inputs: usize, outputs: usize, seed: u32) -> Term {
    Term { input, convolution: transposed(outputs, inputs, 3, 2, 1, seed) }
}

#[test]
fn maps_of_any_size_and_width() {
    for (inputs, outputs, from, to) in [
        (8, 24, [8, 8], [16, 16]),
        (8, 5, [60, 1], [120, 2]),
        (9, 16, [1, 130], [1, 260]),
        (19, 80, [12, 15], [24, 29]),
        (24, 16, [17, 21], [33, 42]),
        (40, 130, [18, 17], [35, 33]),
        // More inputs than are put aside for the products of several panels.
        (130, 20, [30, 30], [60, 60]),
        // More weights than are read for each small batch.
        (128, 118, [29, 30], [58, 60]),
    ] {
        let name = format!("{inputs} to {outputs}, {from:?} to {to:?}");
        let terms = vec![decoder(0, inputs, outputs, 3)];
        let map = shape(outputs, to[0], to[1]);
        let layer = Layer::Convolve { terms, residual: Some(1), relu: true, pool: false, grid: None };
        let nodes = vec![input(shape(inputs, from[0], from[1])), input(map), Node { layer, shape: map }];
        checked(&name, &Graph { nodes, outputs: vec![2] });
    }
}

#[test]
fn sums_of_squares_with_projections_beside() {
    for (channels, width, side) in [(32, 16, 16), (24, 40, 14), (18, 18, 13), (70, 9, 22)] {
        let (small, map) = (shape(channels, side, side + 1), shape(width, 2 * side, 2 * side + 1));
        let squares = |terms| Node { layer: Layer::Squares { terms }, shape: shape(1, map.height, map.width) };
        let project = |input, seed| Term { input, convolution: convolution(channels, width, 1, 1, 0, seed) };
        let decode = || decoder(0, channels, channels, 3);
        for (name, terms) in [
            ("none", vec![decode()]),
            ("one", vec![decode(), project(1, 5)]),
            ("one before", vec![project(1, 5), decode()]),
            ("two", vec![project(2, 6), decode(), project(1, 5)]),
        ] {
            let nodes = vec![input(small), input(map), input(map), squares(terms)];
            checked(&format!("{channels} and {width} channels, {name}"), &Graph { nodes, outputs: vec![3] });
        }
    }
}

/// Transposes that have no such transform, and maps too small for the memory of its weights.
#[test]
fn others_are_computed_directly() {
    let graph = |c: Convolution, side: usize, to: usize| single(shape(16, side, side), c, shape(16, to, to));
    let unpadded = Convolution { pad: [0, 0], ..transposed(16, 16, 3, 2, 1, 1) };
    let sum_of_two = Graph {
        nodes: vec![
            input(shape(16, 16, 16)),
            Node {
                layer: Layer::Squares { terms: vec![decoder(0, 16, 16, 1), decoder(0, 16, 16, 2)] },
                shape: shape(1, 32, 32),
            },
        ],
        outputs: vec![1],
    };
    for (name, graph) in [
        ("unpadded", graph(unpadded, 16, 33)),
        ("4×4", graph(transposed(16, 16, 4, 2, 1, 1), 16, 32)),
        ("small", graph(transposed(16, 16, 3, 2, 1, 1), 10, 20)),
        ("two", sum_of_two),
    ] {
        let names = vec![String::new(); graph.nodes.len()];
        let operators = Network::new(Isa::best(), graph.clone(), &[]).operators(&names);
        assert!(operators.iter().all(|operator| !operator.method.contains("Winograd")), "{name}: {operators:?}");
        check(name, &graph);
    }
}

/// Weights that differ in each tap and inputs that differ in each pixel: no tap is taken for another.
#[test]
fn each_tap_reaches_its_own_outputs() {
    for tap in 0..9 {
        let mut convolution = transposed(16, 8, 3, 2, 1, 1);
        for (index, weight) in convolution.weights.iter_mut().enumerate() {
            *weight = if index % 9 == tap { 1.0 + index as f32 } else { 0.0 };
        }
        checked(&format!("tap {tap}"), &single(shape(8, 9, 8), convolution, shape(16, 18, 16)));
    }
}
