//! The networks as one ONNX graph, batch norms folded into the convolutions before them.

use super::graph::{Geometry, GraphWriter, Value, Weights};
use crate::memory::{Memory, REMEMBERED_LEVELS, STRIDE, SURROUNDINGS};
use crate::model::{Architecture, Autoencoder, BatchNorm, Block, Conv, ConvTranspose, Descriptor};
use crate::train::Networks;
use mudenet_edge::bundle::{INPUT, LOGICAL, MEMORY, STRUCTURAL, pb};
use tch::{Kind, TchError, Tensor};

/// `image` (1, 3, H, W) → `structural` and `logical`, each (1, L, H/2, W/2), and with a memory also `memory`,
/// (1, 1, H/8, W/8).
///
/// # Errors
/// Where libtorch does not give the weights.
pub fn to_onnx(
    networks: &Networks,
    architecture: &Architecture,
    memory: Option<&Memory>,
) -> Result<pb::ModelProto, TchError> {
    let size = architecture.size;
    let mut graph = GraphWriter::new("mudenet");
    let image = graph.input(INPUT, [1, 3, size, size]);
    let (teacher, trunk) = descriptor(&mut graph, "teacher", &image, &networks.teacher.net)?;
    let (structural, _) = descriptor(&mut graph, "structural_student", &image, &networks.structural.net)?;
    let reconstruction = autoencoder(&mut graph, "autoencoder", &image, &networks.autoencoder.net)?;
    let (logical, _) = descriptor(&mut graph, "logical_student", &image, &networks.logical.net)?;
    for (output, targets, embeddings) in [(STRUCTURAL, &teacher, &structural), (LOGICAL, &reconstruction, &logical)] {
        let pairs = targets.iter().zip(embeddings).enumerate();
        let levels: Vec<Value> = pairs
            .map(|(level, (a, b))| graph.squared_difference(&format!("{output}/level{}", level + 1), a, b))
            .collect();
        graph.output_levels(output, &levels);
    }
    if let Some(memory) = memory {
        nearest(&mut graph, &trunk, &networks.teacher.net, memory)?;
    }
    Ok(graph.finish())
}

/// Distance to the nearest remembered embedding: √min_k(|x|² − 2 x·v_k + |v_k|²).
fn nearest(graph: &mut GraphWriter, trunk: &[Value], teacher: &Descriptor, memory: &Memory) -> Result<(), TchError> {
    let mut levels = Vec::new();
    for level in REMEMBERED_LEVELS {
        let (Some(features), Some(projection)) = (trunk.get(level - 1), teacher.projections.get(level - 1)) else {
            continue;
        };
        // Averaging and projecting are linear: one convolution of the kernel's size does both.
        let share = 1.0 / (STRIDE * STRIDE) as f64;
        let weight = (&projection.weight * share).repeat([1, 1, STRIDE, STRIDE]);
        let bias = projection
            .bias
            .as_ref()
            .map_or_else(|| Tensor::zeros([weight.size()[0]], (Kind::Float, weight.device())), Tensor::shallow_clone);
        let at = Geometry { stride: STRIDE, padding: 0, output_padding: 0 };
        let coarse = graph.conv(&format!("memory/level{level}/embedding"), features, weights(&weight, &bias)?, at);
        levels.push(graph.average_around(&format!("memory/level{level}/mean"), &coarse, SURROUNDINGS));
    }
    let embedding = graph.concatenate("memory/embedding", &levels);
    let vectors = &memory.vectors;
    let energies = (vectors * vectors).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let products = weights(&(vectors * -2.0).unsqueeze(-1).unsqueeze(-1), &energies)?;
    let at = Geometry { stride: 1, padding: 0, output_padding: 0 };
    let distances = graph.conv("memory/remembered", &embedding, products, at);
    let smallest = graph.smallest("memory/nearest", &distances);
    let energy = graph.energy("memory/energy", &embedding);
    let squared = graph.add("memory/squared", &smallest, &energy);
    let squared = graph.relu("memory/not_negative", &squared);
    graph.output_root(MEMORY, &squared);
    Ok(())
}

/// Embeddings of each level, and the features that they are projected from.
fn descriptor(
    graph: &mut GraphWriter,
    name: &str,
    image: &Value,
    net: &Descriptor,
) -> Result<(Vec<Value>, Vec<Value>), TchError> {
    let stem = conv(graph, &format!("{name}/stem/conv"), image, &net.stem, None)?;
    let stem = graph.relu(&format!("{name}/stem/relu"), &stem);
    let mut x = graph.halve_by_average(&format!("{name}/stem/pool"), &stem);
    let (mut embeddings, mut trunk) = (Vec::new(), Vec::new());
    for (level, (blocks, projection)) in (1..).zip(net.blocks.iter().zip(&net.projections)) {
        let name = format!("{name}/level{level}");
        for (index, block) in (1..).zip(blocks) {
            x = residual(graph, &format!("{name}/block{index}"), &x, block)?;
        }
        embeddings.push(conv(graph, &format!("{name}/projection"), &x, projection, None)?);
        trunk.push(x.clone());
    }
    Ok((embeddings, trunk))
}

fn residual(graph: &mut GraphWriter, name: &str, x: &Value, block: &Block) -> Result<Value, TchError> {
    let y = conv(graph, &format!("{name}/conv1"), x, &block.conv1, Some(&block.bn1))?;
    let y = graph.relu(&format!("{name}/relu1"), &y);
    let y = conv(graph, &format!("{name}/conv2"), &y, &block.conv2, Some(&block.bn2))?;
    let y = graph.add(&format!("{name}/add"), &y, x);
    Ok(graph.relu(&format!("{name}/relu2"), &y))
}

fn autoencoder(graph: &mut GraphWriter, name: &str, image: &Value, net: &Autoencoder) -> Result<Vec<Value>, TchError> {
    let mut latent = image.clone();
    for (index, layer) in (1..).zip(&net.encoder) {
        let y = conv(graph, &format!("{name}/encoder/conv{index}"), &latent, layer, None)?;
        latent = graph.relu(&format!("{name}/encoder/relu{index}"), &y);
    }
    let mut embeddings = Vec::new();
    for (level, layers) in (1..).zip(&net.decoders) {
        let name = format!("{name}/decoder{level}");
        let mut x = latent.clone();
        for (index, layer) in (1..).zip(layers) {
            x = transposed(graph, &format!("{name}/conv{index}"), &x, layer)?;
            if index < layers.len() {
                x = graph.relu(&format!("{name}/relu{index}"), &x);
            }
        }
        embeddings.push(x);
    }
    Ok(embeddings)
}

fn conv(
    graph: &mut GraphWriter,
    name: &str,
    x: &Value,
    layer: &Conv,
    norm: Option<&BatchNorm>,
) -> Result<Value, TchError> {
    let outputs = layer.weight.size()[0];
    let zero = || Tensor::zeros([outputs], (Kind::Float, layer.weight.device()));
    let bias = layer.bias.as_ref().map_or_else(zero, Tensor::shallow_clone);
    let (weight, bias) = match norm {
        Some(norm) => {
            let (scale, shift) = norm.affine();
            (&layer.weight * scale.view([-1, 1, 1, 1]), bias * scale + shift)
        }
        None => (layer.weight.shallow_clone(), bias),
    };
    let at = Geometry { stride: layer.stride, padding: layer.padding, output_padding: 0 };
    Ok(graph.conv(name, x, weights(&weight, &bias)?, at))
}

fn transposed(graph: &mut GraphWriter, name: &str, x: &Value, layer: &ConvTranspose) -> Result<Value, TchError> {
    let at = Geometry { stride: layer.stride, padding: layer.padding, output_padding: layer.output_padding };
    Ok(graph.conv_transpose(name, x, weights(&layer.weight, &layer.bias)?, at))
}

fn weights(weight: &Tensor, bias: &Tensor) -> Result<Weights, TchError> {
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.detach().contiguous().view(-1));
    let size = weight.size();
    let shape = [size[0], size[1], size[2], size[3]];
    Ok(Weights { shape, values: values(weight)?, bias: values(bias)? })
}
