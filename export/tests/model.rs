//! Shapes, counts and names of the networks.

use mudenet_export::model::{Architecture, Mode, autoencoder, descriptor};
use mudenet_export::random;
use tch::{Device, Kind, Tensor};

fn shapes(maps: &[Tensor]) -> Vec<Vec<i64>> {
    maps.iter().map(Tensor::size).collect()
}

#[test]
fn a_full_width_descriptor_has_the_published_number_of_parameters() {
    let network = descriptor(&Architecture::new(64, 256).unwrap(), Device::Cpu);
    let parameters: usize = network.vars.trainable_variables().iter().map(Tensor::numel).sum();
    assert_eq!(parameters, 666_496);
}

#[test]
fn embeddings_have_half_the_input_size_at_every_size_and_width() {
    for (width, size) in [(64, 64), (16, 128), (6, 320)] {
        let architecture = Architecture::new(width, size).unwrap();
        let image = Tensor::zeros([2, 3, size, size], (Kind::Float, Device::Cpu));
        let expected = vec![vec![2, 2 * width, size / 2, size / 2]; 3];
        let _no_grad = tch::no_grad_guard();
        assert_eq!(shapes(&descriptor(&architecture, Device::Cpu).net.forward(&image, Mode::EVAL)), expected);
        assert_eq!(shapes(&autoencoder(&architecture, Device::Cpu).net.forward(&image, Mode::EVAL)), expected);
    }
}

#[test]
fn widths_and_sizes_that_cannot_be_built_are_refused() {
    assert!(Architecture::new(64, 100).unwrap_err().contains("multiple of 64"));
    assert!(Architecture::new(64, 0).unwrap_err().contains("got 0"));
    assert!(Architecture::new(7, 256).unwrap_err().contains("even"));
}

#[test]
fn tensors_carry_the_names_of_the_reference() {
    let architecture = Architecture::new(64, 256).unwrap();
    let names = |variables: std::collections::HashMap<String, Tensor>| {
        let mut names: Vec<String> = variables.into_keys().collect();
        names.sort();
        names
    };
    let mut expected: Vec<String> = ["stem.conv.weight", "stem.conv.bias"].map(str::to_owned).into();
    for (level, blocks) in [1, 2, 2].into_iter().enumerate() {
        for block in 0..blocks {
            for half in ["1", "2"] {
                expected.push(format!("blocks.{level}.{block}.conv{half}.weight"));
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    expected.push(format!("blocks.{level}.{block}.bn{half}.{part}"));
                }
            }
        }
        expected.push(format!("projections.{level}.weight"));
        expected.push(format!("projections.{level}.bias"));
    }
    expected.sort();
    assert_eq!(names(descriptor(&architecture, Device::Cpu).vars.variables()), expected);

    let mut expected = Vec::new();
    for layer in ["0", "2", "4", "6", "8", "10"] {
        for part in ["weight", "bias"] {
            expected.push(format!("encoder.layers.{layer}.{part}"));
            for level in 0..3 {
                expected.push(format!("decoders.{level}.layers.{layer}.{part}"));
            }
        }
    }
    expected.sort();
    assert_eq!(names(autoencoder(&architecture, Device::Cpu).vars.variables()), expected);
}

#[test]
fn the_networks_have_the_receptive_fields_of_the_paper() {
    // A change of one input pixel reaches exactly the cells whose receptive field holds it.
    let architecture = Architecture::new(8, 128).unwrap();
    let networks = random::networks(&architecture, 5);
    let _no_grad = tch::no_grad_guard();
    let image = Tensor::zeros([1, 3, 128, 128], (Kind::Float, Device::Cpu));
    let changed = image.copy();
    let _ = changed.narrow(2, 64, 1).narrow(3, 64, 1).fill_(50.0);
    let before = networks.teacher.net.forward(&image, Mode::EVAL);
    let after = networks.teacher.net.forward(&changed, Mode::EVAL);
    // Cells reached on a row: stem and pool 4, and 2·(k − 1) for each block of two convolutions.
    for (level, reach) in [4 + 4, 4 + 4 + 8, 4 + 4 + 8 + 16].into_iter().enumerate() {
        let moved = (&after[level] - &before[level]).abs().amax([0i64, 1, 2].as_slice(), false).gt(0.0);
        assert_eq!(moved.sum(Kind::Int64).int64_value(&[]), reach, "level {}", level + 1);
    }
}
