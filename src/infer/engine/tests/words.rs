//! 3×3 convolutions of codes transformed in whole numbers.

use super::eight_bits::{exact_layer, quantized};
use super::*;

/// Largest error relative to the map's largest value: only the last transform rounds.
const NEARLY_EXACT: f64 = 3e-6;

/// One layer that reads the picture's codes, of which 0 is `-low`.
fn graph(from: Shape, low: f32, convolution: Convolution, grid: Option<Grid>) -> Graph {
    let to = Shape { channels: convolution.bias.len(), ..from };
    let picture = Layer::Input { grid: Some(Grid { step: 0.01, low, high: low + 255.0 }) };
    let terms = vec![Term { input: 0, convolution }];
    let layer = Layer::Convolve { terms, residual: None, relu: grid.is_some(), pool: false, grid };
    Graph { nodes: vec![Node { layer: picture, shape: from }, Node { layer, shape: to }], outputs: vec![1] }
}

fn is_in_whole_numbers(network: &Network) -> bool {
    network.operators(&vec![String::new(); 2])[0].method.starts_with("8-bit Winograd")
}

fn by_transforms(isa: Isa, graph: &Graph, picture: &[f32]) -> (bool, Vec<f32>) {
    let network = Network::new(isa, graph.clone(), &[None, Some(Choice::Winograd)]);
    let mut got = vec![0.0; graph.nodes[1].shape.len()];
    network.run(&mut network.workspace(), &[picture], &mut [&mut got]);
    (is_in_whole_numbers(&network), got)
}

#[test]
fn sums_are_exact_before_the_last_transform() {
    for (inputs, outputs, [height, width], low) in [
        (64, 64, [12, 20], 0.0),
        (24, 40, [9, 9], -117.0),
        (19, 33, [13, 8], -255.0),
        (128, 16, [8, 30], -128.0),
        (8, 5, [7, 13], 0.0),
    ] {
        let from = shape(inputs, height, width);
        let graph = graph(from, low, quantized(convolution(outputs, inputs, 3, 1, 1, 7)), None);
        // Beyond both limits, so that extreme codes stand next to each other.
        let picture: Vec<f32> = values(from.len(), 3).iter().map(|value| (value + low / 255.0 + 0.5) * 5.0).collect();
        let exact = exact_layer(&graph, 1, &picture, &[]);
        let largest = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for isa in Isa::available() {
            let name = format!("{inputs} to {outputs} on {}", isa.name());
            let (whole, got) = by_transforms(isa, &graph, &picture);
            assert_eq!(whole, isa.has_words(), "{name}");
            let allowed = if whole { NEARLY_EXACT } else { TOLERANCE };
            for (exact, got) in exact.iter().zip(&got) {
                assert!((exact - f64::from(*got)).abs() <= allowed * largest, "{name}: {exact} became {got}");
            }
        }
    }
}

/// A layer is only computed in whole numbers where no input could give a sum of more than 32 bits; the inputs and weights here
/// give sums just below that.
#[test]
fn sums_that_could_overflow_are_computed_otherwise() {
    for (low, inputs, fits) in [(0.0, 37, true), (0.0, 38, false), (-128.0, 74, true), (-128.0, 75, false)] {
        let from = shape(inputs, 16, 16);
        let mut largest = convolution(16, inputs, 3, 1, 1, 7);
        largest.weights.iter_mut().for_each(|weight| *weight = 127.0);
        // Which no coarser step has.
        largest.weights.chunks_exact_mut(9 * inputs).for_each(|weights| weights[0] = 126.0);
        let graph = graph(from, low, largest, None);
        // Rows and columns with the signs of the transform at that point: -2, -1, 2, 1 of the inputs 1 to 4.
        let high = |at: usize| at % 4 >= 2;
        let picture: Vec<f32> = (0..from.len())
            .map(|i| if high(i % 16) == high(i / 16 % 16) { (low + 255.0) * 0.01 } else { low * 0.01 })
            .collect();
        let exact = exact_layer(&graph, 1, &picture, &[]);
        let most = exact.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for isa in Isa::available() {
            let (whole, got) = by_transforms(isa, &graph, &picture);
            assert_eq!(whole, isa.has_words() && fits, "{inputs} on {}", isa.name());
            for (exact, got) in exact.iter().zip(&got) {
                let error = (exact - f64::from(*got)).abs();
                // Of codes of either sign f32 loses more: what cancels is as large as it can be.
                assert!(
                    error <= TOLERANCE * most || (low < 0.0 && !whole),
                    "{inputs} on {}: {exact} became {got}",
                    isa.name()
                );
            }
        }
    }
}

/// Rounded, the codes are those of exact sums but for what lies within a thousandth of a step of the middle between two.
#[test]
fn outputs_are_rounded_to_the_nearest_code() {
    let from = shape(48, 10, 22);
    let grid = Grid { step: 0.02, low: 0.0, high: 255.0 };
    let graph = graph(from, -3.0, quantized(convolution(48, 48, 3, 1, 1, 9)), Some(grid));
    let picture = values(from.len(), 5);
    let exact = exact_layer(&graph, 1, &picture, &[]);
    for isa in Isa::available().into_iter().filter(|isa| isa.has_words()) {
        let (whole, got) = by_transforms(isa, &graph, &picture);
        assert!(whole, "{}", isa.name());
        for (exact, got) in exact.iter().zip(&got) {
            let error = (exact.clamp(0.0, 255.0 * 0.02) - f64::from(*got)).abs();
            assert!(error <= 0.02 * 0.501, "{}: {exact} became {got}", isa.name());
        }
    }
}
