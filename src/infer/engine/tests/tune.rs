//! Every way to compute a layer, and which one a clock that counts tasks finds.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A stem, both trunk convolutions and a projection, as a model has them.
fn graph() -> Graph {
    let map = shape(24, 20, 26);
    let stem = Layer::Convolve {
        terms: vec![Term { input: 0, convolution: convolution(24, 3, 7, 1, 3, 1) }],
        residual: None,
        relu: true,
        pool: true,
        grid: None,
    };
    let nodes = vec![
        input(shape(3, 40, 52)),
        Node { layer: stem, shape: map },
        convolve(1, convolution(24, 24, 3, 1, 1, 3), map),
        convolve(2, convolution(24, 24, 5, 1, 2, 5), map),
        convolve(3, convolution(16, 24, 1, 1, 0, 7), shape(16, 20, 26)),
    ];
    Graph { nodes, outputs: vec![4] }
}

fn methods(network: &Network) -> Vec<String> {
    let names: Vec<String> = (0..5).map(|id| id.to_string()).collect();
    network.operators(&names).into_iter().map(|operator| operator.method).collect()
}

#[test]
fn every_choice_computes_the_same() {
    let graph = graph();
    let picture = values(graph.nodes[0].shape.len(), 2);
    let expected = naive(&graph, std::slice::from_ref(&picture)).swap_remove(4);
    let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for isa in Isa::available() {
        for choice in Choice::ALL {
            let network = Network::new(isa, graph.clone(), &[Some(choice); 5]);
            let is_direct = methods(&network).iter().all(|method| method.starts_with("direct"));
            assert_eq!(is_direct, choice == Choice::Direct, "{choice:?}: {:?}", methods(&network));
            let mut got = vec![0.0; expected.len()];
            network.run(&mut network.workspace(), &[&picture], &mut [&mut got]);
            for (expected, got) in expected.iter().zip(&got) {
                assert!((expected - f64::from(*got)).abs() <= TOLERANCE * largest, "{choice:?} on {}", isa.name());
            }
        }
    }
}

#[test]
fn what_a_clock_finds_shortest_is_chosen() {
    /// Ten milliseconds more each time.
    fn ticks() -> Duration {
        static READ: AtomicU64 = AtomicU64::new(0);
        Duration::from_millis(10 * READ.fetch_add(1, Ordering::Relaxed))
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let found = pool.install(|| Network::tune(Isa::best(), &graph(), ticks));
    // By that clock, a task is as long as any other, and the stem as it was given is one layer where there were five. The
    // others have as many tasks one way as the other; then the estimate stands.
    assert_eq!(found, [None, Some(Choice::Direct), None, None, None]);
    let projection = single(shape(24, 9, 9), convolution(16, 24, 1, 1, 0, 7), shape(16, 9, 9));
    assert_eq!(Network::tune(Isa::best(), &projection, ticks), [None, None]);
}
