//! A network whose weights are ones that 8 bits hold, so that others can be trained against what will run.

use super::Codes;
use crate::model::{BatchNorm, Conv, Descriptor};
use tch::{Device, TchError, Tensor};

/// Folds each batch norm into its convolution, which leaves one that changes nothing, and rounds every weight to the nearest
/// of its channel's 8-bit codes. Quantizing the network then loses nothing more.
///
/// # Errors
/// Where libtorch does not give the weights.
pub fn round_weights(net: &Descriptor) -> Result<(), TchError> {
    let _no_grad = tch::no_grad_guard();
    for conv in std::iter::once(&net.stem).chain(&net.projections) {
        round(conv, &conv.weight)?;
    }
    for block in net.blocks.iter().flatten() {
        for (conv, norm) in [(&block.conv1, &block.bn1), (&block.conv2, &block.bn2)] {
            let (scale, shift) = norm.affine();
            round(conv, &(&conv.weight * scale.view([-1, 1, 1, 1])))?;
            set(&norm.bias, &shift);
            let _ = norm.weight.shallow_clone().fill_(1.0);
            let _ = norm.running_mean.shallow_clone().fill_(0.0);
            let _ = norm.running_var.shallow_clone().fill_(1.0 - BatchNorm::EPS);
        }
    }
    Ok(())
}

fn round(conv: &Conv, weight: &Tensor) -> Result<(), TchError> {
    let size = weight.size();
    let shape = [size[0], size[1], size[2], size[3]];
    let values = Vec::<f32>::try_from(weight.to_device(Device::Cpu).contiguous().view(-1))?;
    let rounded = Codes::nearest(&values, shape, 0).weights(shape);
    set(&conv.weight, &Tensor::from_slice(&rounded).view(shape));
    Ok(())
}

fn set(tensor: &Tensor, value: &Tensor) {
    tensor.shallow_clone().copy_(value);
}
