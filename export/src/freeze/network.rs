//! The networks as one ONNX graph, batch norms folded into the convolutions before them.

use super::graph::{Geometry, GraphWriter, Value, Weights};
use super::remembered::nearest;
use crate::memory::{Memory, Source};
use crate::model::{
    Architecture, Autoencoder, BatchNorm, Block, BlockOrder, Conv, ConvTranspose, DecoderEnd, Descriptor, Pool,
    ProjectionEnd, StemEnd,
};
use crate::train::Networks;
use mudenet_edge::bundle::{INPUT, LOGICAL, STRUCTURAL, pb};
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
        let source = Source::of(networks, memory.remembered)
            .ok_or_else(|| TchError::Kind("the networks have no first stage".into()))?;
        nearest(&mut graph, &image, (&trunk, &teacher), source, memory)?;
    }
    Ok(graph.finish())
}

/// Embeddings of each level, and the features that they are projected from.
fn descriptor(
    graph: &mut GraphWriter,
    name: &str,
    image: &Value,
    net: &Descriptor,
) -> Result<(Vec<Value>, Vec<Value>), TchError> {
    let mut x = conv(graph, &format!("{name}/stem/conv"), image, &net.stem, net.stem_norm.as_ref())?;
    if net.choices.stem != StemEnd::None {
        x = graph.relu(&format!("{name}/stem/relu"), &x);
    }
    let pool = format!("{name}/stem/pool");
    let mut x = match net.choices.pool {
        Pool::Avg => graph.halve("AveragePool", &pool, &x),
        Pool::Max => graph.halve("MaxPool", &pool, &x),
    };
    let (mut embeddings, mut trunk) = (Vec::new(), Vec::new());
    for (level, (blocks, projection)) in net.blocks.iter().zip(&net.projections).enumerate() {
        let name = format!("{name}/level{}", level + 1);
        for (index, block) in (1..).zip(blocks) {
            x = residual(graph, &format!("{name}/block{index}"), &x, block)?;
        }
        let norm = net.projection_norms.get(level);
        let mut embedding = conv(graph, &format!("{name}/projection"), &x, projection, norm)?;
        if net.choices.projection == ProjectionEnd::BnRelu {
            embedding = graph.relu(&format!("{name}/projection/relu"), &embedding);
        }
        embeddings.push(embedding);
        trunk.push(x.clone());
    }
    Ok((embeddings, trunk))
}

fn residual(graph: &mut GraphWriter, name: &str, x: &Value, block: &Block) -> Result<Value, TchError> {
    let (bn1, bn2) = (block.bn1.as_ref(), block.bn2.as_ref());
    if block.order == BlockOrder::Pre {
        // The first norm stands before a ReLU and cannot be folded; the second folds into the first convolution.
        let y = match bn1 {
            Some(norm) => affine(graph, &format!("{name}/bn1"), x, norm)?,
            None => x.clone(),
        };
        let y = graph.relu(&format!("{name}/relu1"), &y);
        let y = conv(graph, &format!("{name}/conv1"), &y, &block.conv1, bn2)?;
        let y = graph.relu(&format!("{name}/relu2"), &y);
        let y = conv(graph, &format!("{name}/conv2"), &y, &block.conv2, None)?;
        return Ok(graph.add(&format!("{name}/add"), &y, x));
    }
    let y = conv(graph, &format!("{name}/conv1"), x, &block.conv1, bn1)?;
    let y = graph.relu(&format!("{name}/relu1"), &y);
    let y = conv(graph, &format!("{name}/conv2"), &y, &block.conv2, bn2)?;
    if block.order == BlockOrder::NoFinalRelu {
        let y = graph.relu(&format!("{name}/relu2"), &y);
        return Ok(graph.add(&format!("{name}/add"), &y, x));
    }
    let y = graph.add(&format!("{name}/add"), &y, x);
    Ok(graph.relu(&format!("{name}/relu2"), &y))
}

/// A norm that stands alone, as a 1×1 convolution with nothing off the diagonal.
fn affine(graph: &mut GraphWriter, name: &str, x: &Value, norm: &BatchNorm) -> Result<Value, TchError> {
    let (scale, shift) = norm.affine();
    let channels = x.shape[1];
    let weight = scale.diag(0).view([channels, channels, 1, 1]);
    Ok(graph.conv(name, x, weights(&weight, &shift)?, Geometry { stride: 1, padding: 0, output_padding: 0 }))
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
            if index < layers.len() || net.end == DecoderEnd::Relu {
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

pub(super) fn weights(weight: &Tensor, bias: &Tensor) -> Result<Weights, TchError> {
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.detach().contiguous().view(-1));
    let size = weight.size();
    let shape = [size[0], size[1], size[2], size[3]];
    Ok(Weights { shape, values: values(weight)?, bias: values(bias)? })
}
