use super::regress::{choose, regress};
use super::thin::thinned;
use super::*;
use crate::random;

fn noise(shape: &[i64], seed: i64) -> Tensor {
    random::noise(shape, 100 + seed as u64)
}

fn layer(inputs: i64, outputs: i64, kernel: i64, seed: i64) -> Layer {
    let fan_in = (inputs * kernel * kernel) as f64;
    Layer {
        weight: noise(&[outputs, inputs, kernel, kernel], seed) * (2.0 / fan_in).sqrt(),
        bias: noise(&[outputs], seed + 1) * 0.1,
    }
}

/// Three bottlenecks of 4 and `outputs` channels behind a stem of 4. Where skips have no ReLU, `expand` is a norm of what has
/// been summed up so far.
fn stage(outputs: i64, pre_activated: bool) -> FirstStage {
    let sum = layer(16, outputs, 1, 95);
    let block = |index: i64| {
        let inputs = if index == 0 { 4 } else { outputs };
        let expand = if pre_activated {
            let scale = noise(&[outputs, 1, 1, 1], 10 * index + 7).abs() + 0.5;
            Layer {
                weight: sum.weight.narrow(1, 0, 4 * (index + 2)) * scale,
                bias: noise(&[outputs], 10 * index + 6) * 0.1,
            }
        } else {
            layer(inputs + 4, outputs, 1, 10 * index + 5)
        };
        Bottleneck { reduce: layer(inputs, 4, 1, 10 * index + 1), middle: layer(4, 4, 3, 10 * index + 3), expand }
    };
    FirstStage {
        stem: layer(3, 4, 7, 91),
        activation: pre_activated.then(|| layer(4, 4, 1, 93)),
        blocks: (0..3).map(block).collect(),
    }
}

fn relative(got: &Tensor, expected: &Tensor) -> f64 {
    ((got - expected).square().mean(Kind::Float) / expected.square().mean(Kind::Float)).double_value(&[]).sqrt()
}

#[test]
fn regression_finds_the_convolution_that_made_its_data() {
    let (x, made_by) = (noise(&[2, 5, 16, 16], 1), layer(5, 3, 1, 2));
    let found = regress(&x, &made_by.linear(&x, 1)).unwrap();
    assert!(relative(&found.weight, &made_by.weight) < 1e-3);
    assert!(relative(&found.bias, &made_by.bias) < 1e-3);
}

#[test]
fn copies_of_a_channel_are_chosen_last() {
    // Channels 1 and 3 are multiples of channel 0, so that three channels say all.
    let own = noise(&[1, 3, 16, 16], 4);
    let at = |channel: i64| own.narrow(1, channel, 1);
    let maps = Tensor::cat(&[at(0), at(0) * 0.5, at(1), at(0) * -0.9, at(2) * 0.1], 1);
    assert_eq!(choose(&maps, 3).unwrap(), [0, 2, 4]);
    assert_eq!(choose(&maps, 2).unwrap(), [0, 2]);
    assert_eq!(choose(&maps, 9).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn with_all_channels_nothing_changes() {
    for pre_activated in [false, true] {
        let (mut stage, images) = (stage(8, pre_activated), noise(&[3, 3, 64, 64], 7));
        if pre_activated {
            // The first bottleneck's norm makes a constant of a channel.
            let expand = &mut stage.blocks[0].expand;
            expand.weight.get(3).copy_(&(expand.weight.get(3) * 1e-5));
            let _ = expand.bias.get(3).fill_(0.3);
        }
        let thin = thinned(&stage, &images, 8).unwrap();
        let unseen = noise(&[2, 3, 64, 64], 8);
        assert!(relative(&thin.forward(&unseen), &stage.forward(&unseen)) < 0.02, "{pre_activated}");
        let adds: Vec<bool> = thin.blocks.iter().map(Bottleneck::adds).collect();
        assert_eq!(adds, [false, pre_activated, pre_activated]);
        assert!(thin.blocks.iter().all(|block| block.expand.bias.abs().max().double_value(&[]) < 100.0));
    }
}

#[test]
fn channels_that_are_copies_can_go_without_loss() {
    for pre_activated in [false, true] {
        // Every second channel behind a bottleneck is half of the one before it, and none is always 0.
        let mut stage = stage(8, pre_activated);
        for block in &mut stage.blocks {
            let expand = &mut block.expand;
            expand.bias += 1.0;
            for odd in (1..8).step_by(2) {
                expand.weight.get(odd).copy_(&(expand.weight.get(odd - 1) * 0.5));
                expand.bias.get(odd).copy_(&(expand.bias.get(odd - 1) * 0.5));
            }
        }
        if !pre_activated {
            // A skip hands both of a pair on.
            for index in 1..3 {
                let unchanged = Tensor::eye(8, (Kind::Float, Device::Cpu)).view([8, 8, 1, 1]);
                stage.blocks[index].expand.weight.narrow(1, 0, 8).copy_(&unchanged);
            }
        }
        let images = noise(&[3, 3, 64, 64], 7);
        let thin = thinned(&stage, &images, 4).unwrap();
        assert_eq!(thin.channels(), 4);
        let unseen = noise(&[2, 3, 64, 64], 8);
        let all = stage.forward(&unseen);
        let even = all.index_select(1, &Tensor::from_slice(&[0i64, 2, 4, 6]));
        assert!(relative(&thin.forward(&unseen), &even) < 0.02, "{pre_activated}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    assert!(FirstStage::read(folder.path(), Device::Cpu).unwrap().is_none());
    for pre_activated in [false, true] {
        let (stage, image) = (stage(8, pre_activated), noise(&[1, 3, 64, 64], 3));
        stage.write(folder.path()).unwrap();
        let read = FirstStage::read(folder.path(), Device::Cpu).unwrap().unwrap();
        assert_eq!(read.forward(&image), stage.forward(&image));
        assert_eq!(read.forward(&image).size(), [1, 8, 16, 16]);
    }
    // A sum that bottlenecks add to.
    let (whole, images) = (stage(8, true), noise(&[3, 3, 64, 64], 7));
    let thin = thinned(&whole, &images, 6).unwrap();
    thin.write(folder.path()).unwrap();
    let read = FirstStage::read(folder.path(), Device::Cpu).unwrap().unwrap();
    assert_eq!(read.forward(&images), thin.forward(&images));
}

#[test]
fn a_file_that_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = || FirstStage::read(folder.path(), Device::Cpu).unwrap_err().to_string();
    std::fs::write(folder.path().join(FIRST_STAGE), "cut").unwrap();
    assert!(said().contains(FIRST_STAGE), "{}", said());
    let mut other = stage(8, true);
    other.blocks[1].middle = layer(5, 4, 3, 1);
    other.write(folder.path()).unwrap();
    assert!(said().contains("blocks.1.middle has 5 input channels, expected 4"), "{}", said());
    other = stage(8, true);
    other.blocks[1].expand = layer(4, 7, 1, 1);
    other.write(folder.path()).unwrap();
    assert!(said().contains("blocks.1.expand has 7 output channels, expected the 8 it adds to"), "{}", said());
    other.blocks.clear();
    other.write(folder.path()).unwrap();
    assert!(said().contains("holds no bottleneck"), "{}", said());
    // The last bottleneck must not just be missing where one of its tensors is.
    stage(8, true).write(folder.path()).unwrap();
    let path = folder.path().join(FIRST_STAGE);
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    tensors.retain(|(name, _)| name != "blocks.2.reduce.bias");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    assert!(said().contains("has blocks.2.expand.bias, which belongs to no whole layer"), "{}", said());
}
