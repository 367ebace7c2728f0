//! Every choice that the paper leaves open in the layers: built, named, frozen, and scored alike by libtorch and runtime.
#![allow(clippy::unwrap_used)]

mod common;

use mudenet_edge::infer::{LevelScores, Scorer, TractScorer};
use mudenet_edge::map::{Branch, Weights};
use mudenet_edge::preprocess::ModelInput;
use mudenet_export::freeze::torch_scores;
use mudenet_export::model::{Architecture, BlockOrder, Choices, DecoderEnd, Pool, ProjectionEnd, StemEnd};
use mudenet_export::quantize::Form;
use mudenet_export::random::{self, Remembering};
use mudenet_export::train::Networks;
use tch::{Kind, Tensor};

fn variants() -> Vec<Choices> {
    let mut all = vec![Choices::default(), Choices { pool: Pool::Max, ..Choices::default() }];
    all.extend(
        [BlockOrder::Pre, BlockOrder::Plain, BlockOrder::NoFinalRelu]
            .map(|block| Choices { block, ..Choices::default() }),
    );
    all.extend(
        [ProjectionEnd::Bn, ProjectionEnd::BnRelu].map(|projection| Choices { projection, ..Choices::default() }),
    );
    all.extend([StemEnd::None, StemEnd::BnRelu].map(|stem| Choices { stem, ..Choices::default() }));
    all.push(Choices { decoder: DecoderEnd::Relu, ..Choices::default() });
    all
}

fn input() -> ModelInput {
    let values = (0..3 * 64 * 64).map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0).collect();
    ModelInput::new(64, 64, values).unwrap()
}

fn scores(networks: &Networks) -> LevelScores {
    torch_scores(networks, None, &input()).unwrap()
}

#[test]
fn the_frozen_graph_computes_what_the_networks_do() {
    let _generator = common::generator();
    for choices in variants() {
        let architecture = Architecture::new(4, 64).unwrap().with(choices);
        let bundle = random::bundle(&architecture, 5, None, None).unwrap();
        let got = TractScorer::new(&bundle).unwrap().score(&input()).unwrap();
        let expected = scores(&random::networks(&architecture, 5));
        for branch in [Branch::Structural, Branch::Logical] {
            let largest = expected.branch(branch).iter().fold(0f32, |m, v| m.max(*v));
            for (a, b) in got.branch(branch).iter().zip(expected.branch(branch)) {
                assert!((a - b).abs() <= 1e-4 * largest, "{choices:?} {branch:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn every_choice_changes_the_scores() {
    let _generator = common::generator();
    let of = |choices| scores(&random::networks(&Architecture::new(4, 64).unwrap().with(choices), 5));
    let default = of(Choices::default());
    for choices in variants().into_iter().skip(1) {
        let other = of(choices);
        let same = [Branch::Structural, Branch::Logical].iter().all(|&b| default.branch(b) == other.branch(b));
        assert!(!same, "{choices:?}");
    }
}

#[test]
fn a_projection_or_decoder_that_ends_in_a_relu_gives_no_negative_embedding() {
    let _generator = common::generator();
    let image = Tensor::randn([1, 3, 64, 64], (Kind::Float, tch::Device::Cpu));
    let choices = Choices { projection: ProjectionEnd::BnRelu, decoder: DecoderEnd::Relu, ..Choices::default() };
    for (choices, negative) in [(Choices::default(), true), (choices, false)] {
        let networks = random::networks(&Architecture::new(4, 64).unwrap().with(choices), 5);
        let mode = mudenet_export::model::Mode::EVAL;
        let lowest = |maps: Vec<Tensor>| maps.iter().map(|m| m.min().double_value(&[])).fold(0.0, f64::min);
        tch::no_grad(|| {
            assert_eq!(lowest(networks.teacher.net.forward(&image, mode)) < 0.0, negative);
            assert_eq!(lowest(networks.autoencoder.net.forward(&image, mode)) < 0.0, negative);
        });
    }
}

/// What latency depends on is what a product's bundle has: which branches are computed, and of what.
#[test]
fn a_random_memory_is_computed_alone_unless_the_others_count() {
    let _generator = common::generator();
    let architecture = Architecture::new(4, 64).unwrap();
    let alone = Weights { structural: 0.0, logical: 0.0, memory: 1.0 };
    let make = |weights, quantize| {
        let remembering = Remembering { vectors: 100, directions: 2, weights };
        random::bundle(&architecture, 5, quantize, Some(remembering)).unwrap()
    };
    let bundle = make(alone, None);
    assert_eq!(bundle.sha256(), make(alone, None).sha256(), "the same seed");
    let vectors = bundle.graph().graph.iter().flat_map(|graph| &graph.initializer);
    let vectors = vectors.filter(|tensor| tensor.name == "memory/remembered/weight").map(|tensor| &tensor.dims[..]);
    assert_eq!(vectors.collect::<Vec<_>>(), [[100, 64, 1, 1]]);
    for (weights, left_out) in [
        (alone, vec![Branch::Structural, Branch::Logical]),
        (Weights { structural: 0.1, ..alone }, vec![Branch::Logical]),
        (Weights { structural: 0.1, logical: 0.1, memory: 1.0 }, vec![]),
    ] {
        for quantize in [None, Some(Form::Full)] {
            let bundle = make(weights, quantize);
            let mut scorer = TractScorer::new(&bundle).unwrap();
            assert_eq!(scorer.left_out(), left_out, "{quantize:?}");
            assert_eq!(scorer.not_accelerated(), [""; 0]);
            let scores = scorer.score(&input()).unwrap();
            let memory = scores.branch(Branch::Memory);
            assert!(memory.iter().all(|score| score.is_finite()) && memory.iter().any(|score| *score > 0.0));
        }
    }
}
