//! Maps in 8 bits.

use super::*;

/// Largest distance from the exact value in steps: transforms with ten points may take the further of two values where both are
/// within a hundredth of a step equally far.
const TO_NEAREST: f64 = 0.51;

/// Every value is a multiple of the step, and none nearer to the exact value.
#[test]
fn maps_are_rounded_to_eight_bits() {
    let step = 0.004;
    let (low, high) = (-70.0, 185.0);
    let map = shape(24, 12, 20);
    let trunk = |k, seed| Term { input: 0, convolution: convolution(24, 24, k, 1, k / 2, seed) };
    let stem = Term { input: 0, convolution: convolution(24, 3, 7, 1, 3, 9) };
    for (name, from, term, residual, relu, pool) in [
        ("Winograd", map, trunk(3, 1), Some(0), false, false),
        ("Winograd, positive", map, trunk(5, 3), None, true, false),
        ("direct", map, trunk(1, 5), None, false, false),
        ("pooled", shape(3, 24, 40), stem, None, true, true),
    ] {
        let graph = |grid| {
            let layer = Layer::Convolve { terms: vec![term.clone()], residual, relu, pool, grid };
            Graph { nodes: vec![input(from), Node { layer, shape: map }], outputs: vec![1] }
        };
        let picture = vec![values(from.len(), 7)];
        let exact = &naive(&graph(None), &picture)[1];
        for isa in Isa::available() {
            let got = &run(isa, 1, &graph(Some(Grid { step, low, high })), &picture)[0];
            for (exact, got) in exact.iter().zip(got) {
                let steps = (got / step).round();
                assert!((got - steps * step).abs() < 1e-6 && (low..=high).contains(&steps), "{name}: {got}");
                let nearest = exact.clamp(f64::from(low * step), f64::from(high * step));
                let error = (nearest - f64::from(*got)).abs();
                assert!(error <= f64::from(step) * TO_NEAREST, "{name} on {}: {exact} became {got}", isa.name());
            }
            let largest = got.iter().fold(0.0f32, |m, v| m.max(*v));
            assert!((largest - high * step).abs() < 1e-6, "{name}: the limit is reached, so that it is tested");
        }
    }
}

/// 8-bit weights and maps all the way: every layer on bytes where the instruction set has them, and the codes those of exact
/// sums but for what lies in the middle between two.
#[test]
fn eight_bit_networks_are_exact_but_for_ties() {
    for (width, height, columns) in [(16, 10, 34), (24, 9, 20), (64, 8, 40), (40, 4, 3)] {
        let map = shape(width, height, columns);
        let grid = |step, low: f32| Some(Grid { step, low, high: low + 255.0 });
        let term = |input, c| Term { input, convolution: quantized(c) };
        let trunk = |input, k, seed| term(input, convolution(width, width, k, 1, k / 2, seed));
        let layer =
            |term, residual, relu, pool, grid| Layer::Convolve { terms: vec![term], residual, relu, pool, grid };
        let stem = term(0, convolution(width, 3, 7, 1, 3, 9));
        let coarse = shape(width, height / 2, columns / 2);
        let down = term(2, convolution(width, width, 4, 2, 1, 20));
        let up = term(6, transposed(2 * width, width, 4, 2, 1, 22));
        let project = |input, seed| term(input, convolution(2 * width, width, 1, 1, 0, seed));
        let mut nodes = vec![
            Node { layer: Layer::Input { grid: grid(0.01, -117.0) }, shape: shape(3, 2 * height, 2 * columns) },
            Node { layer: layer(stem, None, true, true, grid(0.005, 0.0)), shape: map },
            Node { layer: layer(trunk(1, 3, 10), None, true, false, grid(0.008, 0.0)), shape: map },
            Node { layer: layer(trunk(2, 3, 12), Some(1), false, false, grid(0.02, -100.0)), shape: map },
            Node { layer: layer(trunk(3, 5, 14), None, true, false, grid(0.008, -3.0)), shape: map },
            Node { layer: layer(trunk(4, 5, 16), Some(3), true, false, grid(0.02, 0.0)), shape: map },
            Node { layer: layer(down, None, true, false, grid(0.008, 0.0)), shape: coarse },
        ];
        let (even, one) = (height % 2 == 0 && columns % 2 == 0, shape(1, height, columns));
        nodes.push(Node { layer: Layer::Squares { terms: vec![project(5, 30), project(2, 32)] }, shape: one });
        nodes.push(Node { layer: Layer::Smallest { term: project(5, 34) }, shape: one });
        if even {
            nodes.push(Node { layer: Layer::Squares { terms: vec![up, project(5, 36)] }, shape: one });
        }
        let graph = Graph { outputs: (1..nodes.len()).collect(), nodes };
        let picture = vec![values(3 * 4 * height * columns, 7)];
        let grids: Vec<Option<Grid>> = graph.nodes.iter().map(Node::grid).collect();
        let mut first: Option<Vec<Vec<f32>>> = None;
        for isa in Isa::available() {
            let name = format!("width {width} on {}", isa.name());
            let network = Network::new(isa, graph.clone(), &[]);
            let names = vec![String::new(); graph.nodes.len()];
            let integers = network.operators(&names).iter().filter(|operator| operator.integer).count();
            let least = if isa.has_dot_products() { graph.nodes.len() - 5 } else { 0 };
            assert!(integers >= least && (isa.has_dot_products() || integers == 0), "{name}: {integers}");
            let got = run(isa, 1, &graph, &picture);
            for threads in [2, 3] {
                assert!(run(isa, threads, &graph, &picture) == got, "{name}: {threads} threads");
            }
            // Each layer by itself, from what the engine made of the layers before it.
            for (id, map) in (1..).zip(&got) {
                let exact = exact_layer(&graph, id, &picture[0], &got);
                let largest = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                for (exact, value) in exact.iter().zip(map) {
                    let (nearest, allowed) = match grids[id] {
                        Some(Grid { step, low, high }) => {
                            (exact.clamp(f64::from(low * step), f64::from(high * step)), TO_NEAREST * f64::from(step))
                        }
                        None => (*exact, 0.0),
                    };
                    let error = (nearest - f64::from(*value)).abs();
                    assert!(error <= allowed + TOLERANCE * largest, "{name}, node {id}: {exact} became {value}");
                }
            }
            let first = first.get_or_insert_with(|| got.clone());
            let (all, same) = got
                .iter()
                .zip(&*first)
                .take(6)
                .flat_map(|(a, b)| a.iter().zip(b))
                .fold((0, 0), |(all, same), (a, b)| (all + 1, same + usize::from(a == b)));
            assert!(100 * same >= 97 * all, "{name}: {same} of {all} codes as on {}", Isa::best().name());
        }
        let broken = vec![vec![f32::NAN; picture[0].len()]];
        let got = run(Isa::best(), 1, &graph, &broken);
        assert!(!Isa::best().has_dot_products() || got.iter().flatten().all(|v| v.is_nan()), "NaN must not be hidden");
    }
}

/// The picture is exact, and only what is made of it is held in bytes.
#[test]
fn codes_of_a_later_map_hide_no_nan() {
    let map = shape(24, 12, 20);
    let step = |input, grid| {
        let terms = vec![Term { input, convolution: quantized(convolution(24, 24, 1, 1, 0, input as u32)) }];
        Node { layer: Layer::Convolve { terms, residual: None, relu: true, pool: false, grid }, shape: map }
    };
    let grid = Some(Grid { step: 0.01, low: 0.0, high: 255.0 });
    let graph = Graph { nodes: vec![input(map), step(0, grid), step(1, None)], outputs: vec![2] };
    let mut picture = vec![values(map.len(), 7)];
    picture[0][100] = f32::NAN;
    for isa in Isa::available() {
        let got = &run(isa, 1, &graph, &picture)[0];
        assert!(got.iter().any(|value| value.is_nan()), "{}", isa.name());
    }
}

/// The stem of a residual network that activates before it convolves: what its largest values are rounded to, its values may be.
#[test]
fn the_largest_is_picked_after_rounding() {
    let grid = Grid { step: 0.02, low: -90.0, high: 165.0 };
    for (channels, from, [window, stride, pad], to) in
        [(64, [16, 40], [3, 2, 1], [8, 20]), (24, [13, 11], [3, 2, 1], [7, 6]), (19, [9, 12], [2, 1, 0], [8, 11])]
    {
        let map = shape(channels, from[0], from[1]);
        let pooled = Shape { height: to[0], width: to[1], ..map };
        let pick = |pick| Pooling { pick, window: [window; 2], stride: [stride; 2], pad: [pad; 2], of: from };
        let terms = vec![Term { input: 0, convolution: quantized(convolution(channels, 3, 7, 2, 3, 9)) }];
        let stem = Layer::Convolve { terms, residual: None, relu: false, pool: false, grid: None };
        let largest = Layer::Pool { input: 1, poolings: vec![pick(Pick::Largest)], grid: None };
        let round = |input| Layer::Convolve {
            terms: vec![],
            residual: Some(input),
            relu: false,
            pool: false,
            grid: Some(grid),
        };
        let read = |input| {
            let terms = vec![Term { input, convolution: quantized(convolution(24, channels, 1, 1, 0, 5)) }];
            Layer::Convolve { terms, residual: None, relu: true, pool: false, grid: None }
        };
        let picture = Layer::Input { grid: Some(Grid { step: 0.01, low: -117.0, high: 138.0 }) };
        let nodes = vec![
            Node { layer: picture, shape: shape(3, 2 * from[0], 2 * from[1]) },
            Node { layer: stem, shape: map },
            Node { layer: largest, shape: pooled },
            Node { layer: round(2), shape: pooled },
            Node { layer: read(3), shape: Shape { channels: 24, ..pooled } },
        ];
        let values = vec![values(3 * 4 * from[0] * from[1], 7)];
        // With the map before the rounding wanted, too, nothing may be exchanged.
        let exchanged = Graph { outputs: vec![3, 4], nodes };
        let kept = Graph { outputs: vec![2, 3, 4], nodes: exchanged.nodes.clone() };
        for isa in Isa::available() {
            let name = format!("{channels} channels on {}", isa.name());
            let layers = |graph: &Graph| Network::new(isa, graph.clone(), &[]).operators(&vec![String::new(); 5]).len();
            assert_eq!((layers(&exchanged), layers(&kept)), (3, 4), "{name}");
            let (got, expected) = (run(isa, 2, &exchanged, &values), run(isa, 1, &kept, &values));
            assert!(got == expected[1..], "{name}");
            for (exact, value) in expected[0].iter().zip(&got[0]) {
                assert_eq!(grid.nearest(*exact) * grid.step, *value, "{name}");
            }
            let exact = exact_layer(
                &kept,
                2,
                &values[0],
                &[exact_layer(&kept, 1, &values[0], &[]).iter().map(|v| *v as f32).collect()],
            );
            let error =
                exact.iter().zip(&expected[0]).map(|(exact, got)| (exact - f64::from(*got)).abs()).fold(0.0, f64::max);
            assert!(error < 1e-4, "{name}: {error}");
        }
    }
}

/// A stem is kept in f32 where its weights do not bear 8 bits, although the picture does.
#[test]
fn a_stem_of_exact_weights_is_transformed() {
    let grid = Grid { step: 0.01, low: -117.0, high: 138.0 };
    let map = shape(24, 16, 40);
    let picture = values(3 * 4 * map.height * map.width, 7);
    for codes in [false, true] {
        let exact = convolution(24, 3, 7, 2, 3, 9);
        let terms = vec![Term { input: 0, convolution: if codes { quantized(exact) } else { exact } }];
        let stem = Layer::Convolve { terms, residual: None, relu: true, pool: false, grid: None };
        let from = Shape { channels: 3, height: 2 * map.height, width: 2 * map.width };
        let nodes =
            vec![Node { layer: Layer::Input { grid: Some(grid) }, shape: from }, Node { layer: stem, shape: map }];
        let graph = Graph { outputs: vec![1], nodes };
        let exact = exact_layer(&graph, 1, &picture, &[]);
        let largest = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for isa in Isa::available() {
            let operators = Network::new(isa, graph.clone(), &[]).operators(&vec![String::new(); 2]);
            let transformed = operators.iter().any(|operator| operator.planned < operator.direct);
            assert_eq!(transformed, !codes, "codes {codes} on {}: {operators:?}", isa.name());
            for (exact, value) in exact.iter().zip(&run(isa, 2, &graph, std::slice::from_ref(&picture))[0]) {
                let error = (exact - f64::from(*value)).abs();
                assert!(error <= TOLERANCE * largest, "codes {codes} on {}: {exact} became {value}", isa.name());
            }
        }
    }
}

/// Embeddings, of which a memory takes distances and a layout means: the means do not keep the others from bytes.
#[test]
fn means_are_taken_of_codes() {
    for (channels, [height, width], window) in [(64, [8, 12], 2), (24, [9, 6], 3), (40, [4, 4], 4)] {
        let map = shape(channels, height, width);
        let grid = Some(Grid { step: 0.03, low: -41.0, high: 214.0 });
        let step = |input, outputs, channels, grid| {
            let terms = vec![Term { input, convolution: quantized(convolution(outputs, channels, 1, 1, 0, 6)) }];
            Layer::Convolve { terms, residual: None, relu: false, pool: false, grid }
        };
        let pooling =
            Pooling { pick: Pick::Mean, window: [window; 2], stride: [window; 2], pad: [0, 0], of: [height, width] };
        let coarse = Shape { height: height / window, width: width / window, ..map };
        let nodes = vec![
            Node { layer: Layer::Input { grid: Some(Grid { step: 0.01, low: -117.0, high: 138.0 }) }, shape: map },
            Node { layer: step(0, channels, channels, grid), shape: map },
            Node { layer: Layer::Pool { input: 1, poolings: vec![pooling], grid: None }, shape: coarse },
            Node { layer: step(1, 24, channels, None), shape: Shape { channels: 24, ..map } },
            Node { layer: step(2, 24, channels, None), shape: Shape { channels: 24, ..coarse } },
        ];
        let graph = Graph { outputs: vec![1, 2, 3, 4], nodes };
        let picture = values(map.len(), 7);
        for isa in Isa::available() {
            let name = format!("{channels} channels on {}", isa.name());
            let operators = Network::new(isa, graph.clone(), &[]).operators(&vec![String::new(); 5]);
            let integer: Vec<bool> = operators.iter().map(|operator| operator.integer).collect();
            let bytes = isa.has_dot_products();
            assert_eq!(integer, [bytes, false, bytes, false], "{name}");
            let got = run(isa, 2, &graph, std::slice::from_ref(&picture));
            for id in [2, 3, 4] {
                let exact = exact_layer(&graph, id, &picture, &got);
                let largest = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                for (exact, value) in exact.iter().zip(&got[id - 1]) {
                    let error = (exact - f64::from(*value)).abs();
                    assert!(error <= TOLERANCE * largest, "{name}, node {id}: {exact} became {value}");
                }
            }
        }
    }
}

/// A convolution with 8-bit weights.
pub(super) fn quantized(mut c: Convolution) -> Convolution {
    let size = c.weights.len() / c.bias.len();
    for weights in c.weights.chunks_exact_mut(size) {
        let scale = weights.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0;
        weights.iter_mut().for_each(|w| *w = (*w / scale).round() * scale);
    }
    c
}

/// The bottlenecks of a first stage: projections of several maps, added up.
#[test]
fn sums_of_projections_of_bytes_are_one_layer() {
    let (from, to) = (shape(24, 10, 14), shape(40, 10, 14));
    let grid = |step, low: f32| Some(Grid { step, low, high: low + 255.0 });
    // Each of `maps` says whether it is in 8 bits, and the weights that read it.
    let graph = |maps: &[[bool; 2]]| {
        let picture = Node { layer: Layer::Input { grid: grid(0.01, -117.0) }, shape: from };
        let mut nodes = vec![picture];
        for (seed, [rounded, _]) in maps.iter().enumerate() {
            let terms = vec![Term { input: 0, convolution: quantized(convolution(24, 24, 1, 1, 0, seed as u32)) }];
            let grid = grid(0.01 + 0.002 * seed as f32, -20.0 * seed as f32).filter(|_| *rounded);
            let layer = Layer::Convolve { terms, residual: None, relu: false, pool: false, grid };
            nodes.push(Node { layer, shape: from });
        }
        for (index, [_, codes]) in maps.iter().enumerate() {
            let exact = convolution(40, 24, 1, 1, 0, 20 + index as u32);
            let convolution = if *codes { quantized(exact) } else { exact };
            let residual = (index > 0).then(|| nodes.len() - 1);
            let last = index + 1 == maps.len();
            let terms = vec![Term { input: 1 + index, convolution }];
            let layer =
                Layer::Convolve { terms, residual, relu: last, pool: false, grid: grid(0.02, 0.0).filter(|_| last) };
            nodes.push(Node { layer, shape: to });
        }
        Graph { outputs: (1..=maps.len()).chain([nodes.len() - 1]).collect(), nodes }
    };
    let both = [true, true];
    for (name, maps, layers) in [
        ("two", vec![both; 2], 1),
        ("four", vec![both; 4], 1),
        ("five", vec![both; 5], 2),
        ("one in f32", vec![both, [false, true], both], 3),
        ("one of f32 weights", vec![both, both, [true, false]], 2),
    ] {
        let graph = graph(&maps);
        let picture = vec![values(from.len(), 7)];
        for isa in Isa::available() {
            let network = Network::new(isa, graph.clone(), &[]);
            let operators = network.operators(&vec![String::new(); graph.nodes.len()]);
            let sums = operators.iter().filter(|operator| operator.shape[0] == 40);
            assert_eq!(sums.count(), layers, "{name} on {}: {operators:?}", isa.name());
            let got = run(isa, 2, &graph, &picture);
            let last = graph.nodes.len() - 1;
            // The sum from what the engine made of its maps, those between the terms by definition.
            let mut known: Vec<Vec<f32>> = got[..maps.len()].to_vec();
            for id in maps.len() + 1..last {
                let map = exact_layer(&graph, id, &picture[0], &known);
                known.push(map.iter().map(|value| *value as f32).collect());
            }
            let exact = exact_layer(&graph, last, &picture[0], &known);
            for (exact, value) in exact.iter().zip(&got[maps.len()]) {
                let nearest = exact.clamp(0.0, 255.0 * 0.02);
                let error = (nearest - f64::from(*value)).abs();
                assert!(error <= 0.02 * TO_NEAREST, "{name} on {}: {exact} became {value}", isa.name());
            }
        }
    }
}

/// The map of node `id` by definition, not rounded, from the maps that `got` holds of the nodes before it.
pub(super) fn exact_layer(graph: &Graph, id: Id, picture: &[f32], got: &[Vec<f32>]) -> Vec<f64> {
    let mut nodes: Vec<Node> = graph.nodes[..id].to_vec();
    for node in &mut nodes {
        node.layer = Layer::Input { grid: None };
    }
    nodes.push(graph.nodes[id].clone());
    let rounded: Vec<f32> = match graph.nodes[0].grid() {
        Some(grid) => picture.iter().map(|v| (v / grid.step).round().clamp(grid.low, grid.high) * grid.step).collect(),
        None => picture.to_vec(),
    };
    let inputs: Vec<Vec<f32>> = std::iter::once(rounded).chain(got[..id - 1].iter().cloned()).collect();
    let mut maps = naive(&Graph { nodes, outputs: vec![id] }, &inputs);
    maps.swap_remove(id)
}
