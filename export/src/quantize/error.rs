//! How far scores are from others.

use tch::{Kind, Tensor};

/// ‖got − expected‖ / ‖expected‖ of each output and level, mean over them; outputs are (B, L, h, w).
pub(super) fn scores_error(got: &[Tensor], expected: &[Tensor]) -> f64 {
    let of = |(got, expected): (&Tensor, &Tensor)| {
        let norm = |t: &Tensor| t.square().sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Double).sqrt();
        (norm(&(got - expected)) / norm(expected).clamp_min(f64::MIN_POSITIVE)).mean(Kind::Double).double_value(&[])
    };
    let errors: Vec<f64> = got.iter().zip(expected).map(of).collect();
    errors.iter().sum::<f64>() / errors.len().max(1) as f64
}
