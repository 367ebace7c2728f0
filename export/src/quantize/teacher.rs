//! A network whose weights are ones that 8 bits hold, so that others can be trained against what will run.

use super::Codes;
use crate::model::{BatchNorm, BlockOrder, Conv, Descriptor};
use tch::{Device, TchError, Tensor};

/// Folds each batch norm into its convolution, which leaves one that changes nothing, and rounds every weight to the nearest
/// of its channel's 8-bit codes. Quantizing the network then loses nothing more.
///
/// # Errors
/// Where libtorch does not give the weights.
pub fn round_weights(net: &Descriptor) -> Result<(), TchError> {
    let _no_grad = tch::no_grad_guard();
    round(&net.stem, net.stem_norm.as_ref())?;
    for block in net.blocks.iter().flatten() {
        // In a pre-activated block the second norm follows the first convolution, and none the second.
        let pre = block.order == BlockOrder::Pre;
        round(&block.conv1, if pre { block.bn2.as_ref() } else { block.bn1.as_ref() })?;
        round(&block.conv2, if pre { None } else { block.bn2.as_ref() })?;
    }
    for (level, projection) in net.projections.iter().enumerate() {
        round(projection, net.projection_norms.get(level))?;
    }
    Ok(())
}

/// Rounds a convolution and the norm behind it.
fn round(conv: &Conv, norm: Option<&BatchNorm>) -> Result<(), TchError> {
    let folded = norm.map(|norm| &conv.weight * norm.affine().0.view([-1, 1, 1, 1]));
    let weight = folded.as_ref().unwrap_or(&conv.weight);
    if let Some(norm) = norm {
        let (scale, shift) = norm.affine();
        let bias = conv.bias.as_ref().map_or(shift.shallow_clone(), |bias| bias * &scale + &shift - bias);
        set(&norm.bias, &bias);
        let _ = norm.weight.shallow_clone().fill_(1.0);
        let _ = norm.running_mean.shallow_clone().fill_(0.0);
        let _ = norm.running_var.shallow_clone().fill_(1.0 - BatchNorm::EPS);
    }
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
