//! Least squares and the choice of channels.

use super::{Layer, rows};
use tch::{Kind, Tensor};

/// Added to the diagonal of the moments, as a share of their mean: inputs may be copies of each other.
const RIDGE: f64 = 1e-4;

/// The 1×1 convolution of `inputs` (B, C, H, W) that comes closest to `wanted` (B, C', H, W).
///
/// # Errors
/// Where libtorch finds no solution, as for maps that are not finite.
pub(super) fn regress(inputs: &Tensor, wanted: &Tensor) -> Result<Layer, tch::TchError> {
    let channels = inputs.size()[1];
    let options = (Kind::Double, inputs.device());
    let mut moments = Tensor::zeros([channels + 1, channels + 1], options);
    let mut products = Tensor::zeros([channels + 1, wanted.size()[1]], options);
    for image in 0..inputs.size()[0] {
        let x = rows(&inputs.narrow(0, image, 1)).to_kind(Kind::Double);
        let x = Tensor::cat(&[&x, &Tensor::ones([x.size()[0], 1], options)], 1);
        moments += x.tr().matmul(&x);
        products += x.tr().matmul(&rows(&wanted.narrow(0, image, 1)).to_kind(Kind::Double));
    }
    let ridge = moments.diag(0).mean(Kind::Double) * RIDGE;
    let moments = &moments + Tensor::eye(channels + 1, options) * ridge;
    let (solution, _) = Tensor::f_linalg_solve_ex(&moments, &products, true, true)?;
    let weight = solution.narrow(0, 0, channels).tr().unsqueeze(-1).unsqueeze(-1);
    let bias = solution.select(0, channels);
    Ok(Layer { weight: weight.contiguous().to_kind(Kind::Float), bias: bias.to_kind(Kind::Float) })
}

/// `count` channels of `maps` (B, C, H, W), ascending, that span what all of them say: each time the one of which most is
/// not yet said by those before (pivoted Cholesky).
pub(super) fn choose(maps: &Tensor, count: usize) -> Result<Vec<i64>, tch::TchError> {
    let rows = rows(maps).to_kind(Kind::Double);
    let mean = rows.mean_dim([0i64].as_slice(), true, Kind::Double);
    let rows = rows - mean;
    let side = rows.size()[1] as usize;
    let covariance = Vec::<f64>::try_from(rows.tr().matmul(&rows).view(-1))?;
    let mut left: Vec<Vec<f64>> = covariance.chunks(side.max(1)).map(<[f64]>::to_vec).collect();
    let mut chosen: Vec<i64> = Vec::with_capacity(count);
    while chosen.len() < count.min(side) {
        let open = (0..side).filter(|i| !chosen.contains(&(*i as i64)));
        let Some(pivot) = open.max_by(|a, b| left[*a][*a].total_cmp(&left[*b][*b])) else { break };
        chosen.push(pivot as i64);
        let row = left[pivot].clone();
        let variance = row[pivot];
        if variance > 0.0 {
            for (line, share) in left.iter_mut().zip(row.iter().map(|value| value / variance)) {
                line.iter_mut().zip(&row).for_each(|(value, other)| *value -= share * other);
            }
        }
    }
    chosen.sort_unstable();
    Ok(chosen)
}
