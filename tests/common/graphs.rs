//! Bundles of what the exporter's networks hold, and of what they do not.
#![allow(dead_code, clippy::expect_used, reason = "tests stop where they fail, and each takes what it needs")]

use super::model::{self, Graph, Network, int, ints};
use mudenet_edge::bundle::{Bundle, INPUT, LOGICAL, MEMORY, STRUCTURAL};
use mudenet_edge::map::Range;

/// Operators that the engine does not know, at the start, between layers and at the end, each with a use of its own.
pub(crate) fn unknown_operators() -> Bundle {
    let (rows, columns, channels) = (64, 64, 20);
    let mut graph = Graph::new(6);
    let axes = graph.channel_axis();
    let start = graph.node("Tanh", &[INPUT], vec![]);
    let a = graph.conv(&start, [channels, 3, 3, 3], 2, 1, 1.0);
    let a = graph.relu(&a);
    let odd = graph.node("Sigmoid", &[&a], vec![]);
    let b = graph.conv(&odd, [channels, channels, 5, 5], 1, 2, 1.0);
    let b = graph.node("Add", &[&b, &a], vec![]);
    let b = graph.relu(&b);
    let unpadded = graph.node("Erf", &[&b], vec![]);
    let grouped = graph.grouped(&unpadded, channels, 4);
    let mut scores = Vec::new();
    for _ in 0..3 {
        let left = graph.conv(&grouped, [2 * channels, channels, 1, 1], 1, 0, 1.0);
        let right = graph.conv(&a, [2 * channels, channels, 3, 3], 1, 1, 1.0);
        scores.push(graph.score(&left, &right, &axes));
    }
    let scores: Vec<&str> = scores.iter().map(String::as_str).collect();
    graph.node("Concat", &scores, vec![int("axis", 1)]);
    graph.rename_last(STRUCTURAL);
    graph.node("Sqrt", &[STRUCTURAL], vec![]);
    graph.rename_last(LOGICAL);
    let map = [1, 3, rows / 2, columns / 2];
    let proto = graph.finish(&[(INPUT, [1, 3, rows, columns])], &[(STRUCTURAL, map), (LOGICAL, map)]);
    let network = Network { width: 16, rows, columns, seed: 6 };
    Bundle::assemble(proto, &model::meta(network)).expect("a bundle")
}

/// Maps that the graph holds in 8 bits.
pub(crate) fn eight_bit_maps() -> Bundle {
    let (rows, columns, channels) = (64, 64, 24);
    let mut graph = Graph::new(7);
    let axes = graph.channel_axis();
    let stem = graph.conv(INPUT, [channels, 3, 3, 3], 2, 1, 1.0);
    let stem = graph.relu(&stem);
    let stem = graph.rounded(&stem, 0.02, 0);
    let mut branches = Vec::new();
    for kernel in [3, 5] {
        let a = graph.conv(&stem, [channels, channels, kernel, kernel], 1, kernel as i64 / 2, 1.0);
        let a = graph.rounded(&a, 0.03, 131);
        let sum = graph.conv(&a, [channels, channels, kernel, kernel], 1, kernel as i64 / 2, 1.0);
        let sum = graph.node("Add", &[&sum, &stem], vec![]);
        let sum = graph.relu(&sum);
        branches.push(graph.rounded(&sum, 0.03, 3));
    }
    let left = graph.conv(&branches[0], [2 * channels, channels, 1, 1], 1, 0, 1.0);
    let right = graph.conv(&branches[1], [2 * channels, channels, 1, 1], 1, 0, 1.0);
    graph.score(&left, &right, &axes);
    graph.rename_last(STRUCTURAL);
    graph.node("Sqrt", &[STRUCTURAL], vec![]);
    graph.rename_last(LOGICAL);
    let map = [1, 1, rows / 2, columns / 2];
    let proto = graph.finish(&[(INPUT, [1, 3, rows, columns])], &[(STRUCTURAL, map), (LOGICAL, map)]);
    let mut meta = model::meta(Network { width: 16, rows, columns, seed: 7 });
    meta.scoring.ranges.structural.truncate(1);
    meta.scoring.ranges.logical.truncate(1);
    Bundle::assemble(proto, &meta).expect("a bundle")
}

/// The nearest of many embeddings, min_k(|x|² − 2 x·v_k + |v_k|²) as the exporter writes it; the map has eighths of `rows` and
/// `columns`.
pub(crate) fn nearest_embedding(rows: usize, columns: usize) -> Bundle {
    let channels = 24;
    let mut graph = Graph::new(8);
    let axes = graph.channel_axis();
    let stem = graph.conv(INPUT, [channels, 3, 3, 3], 2, 1, 1.0);
    let stem = graph.relu(&stem);
    let left = graph.conv(&stem, [2 * channels, channels, 1, 1], 1, 0, 1.0);
    let right = graph.conv(&stem, [2 * channels, channels, 1, 1], 1, 0, 1.0);
    graph.score(&left, &right, &axes);
    graph.rename_last(STRUCTURAL);
    graph.node("Sqrt", &[STRUCTURAL], vec![]);
    graph.rename_last(LOGICAL);
    let coarse = graph.conv(&stem, [40, channels, 4, 4], 4, 0, 1.0);
    let pool = [ints("kernel_shape", &[3; 2]), ints("strides", &[1; 2]), ints("pads", &[1; 4])];
    let mean = graph.node("AveragePool", &[&coarse], pool.to_vec());
    let products = graph.conv(&mean, [333, 40, 1, 1], 1, 0, 1.0);
    let smallest = graph.node("ReduceMin", &[&products], vec![ints("axes", &[1]), int("keepdims", 1)]);
    let squares = graph.node("Mul", &[&mean, &mean], vec![]);
    let energy = graph.node("ReduceSum", &[&squares, &axes], vec![int("keepdims", 1)]);
    let sum = graph.node("Add", &[&smallest, &energy], vec![]);
    graph.relu(&sum);
    graph.rename_last(MEMORY);
    let map = [1, 1, rows / 2, columns / 2];
    let outputs = [(STRUCTURAL, map), (LOGICAL, map), (MEMORY, [1, 1, rows / 8, columns / 8])];
    let proto = graph.finish(&[(INPUT, [1, 3, rows, columns])], &outputs);
    let mut meta = model::meta(Network { width: 16, rows, columns, seed: 8 });
    meta.scoring.ranges.structural.truncate(1);
    meta.scoring.ranges.logical.truncate(1);
    meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
    Bundle::assemble(proto, &meta).expect("a bundle")
}
