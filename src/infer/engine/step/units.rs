//! Convolutions in units of what is stored.

use super::super::graph::{Convolution, Term};
use crate::infer::kernels::Grid;

/// A term whose convolution reads a map as it is stored, and gives `factor` times its values.
pub(super) fn in_units(term: &Term, reads: Option<Grid>, factor: f32) -> Term {
    let mut term = term.clone();
    if reads.is_none() && factor == 1.0 {
        return term;
    }
    let Convolution { weights, bias, .. } = &mut term.convolution;
    let size = weights.len() / bias.len().max(1);
    for (bias, weights) in bias.iter_mut().zip(weights.chunks_exact_mut(size.max(1))) {
        let step = reads.map_or(1.0, |grid| grid.step);
        weights.iter_mut().for_each(|weight| *weight *= step * factor);
        let codes_of_zero = reads.map_or(0.0, |grid| f64::from(grid.low));
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        *bias = (f64::from(*bias) * f64::from(factor) + codes_of_zero * sum) as f32;
    }
    term
}
