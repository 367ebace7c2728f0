//! Which inputs each output of a sum of convolutions is made of.
//!
//! Outputs fall into phases: position `y` = `period · Y + phase`. All outputs of one phase take the same weights from
//! inputs at fixed offsets, so a transposed convolution is one small convolution for each phase (a sub-pixel
//! convolution).

use super::graph::{Convolution, Term};

/// One kernel element along one axis, for the outputs of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AxisTap {
    /// Row or column of the kernel.
    pub kernel: usize,
    /// Input position for Y = 0; negative in the padding.
    pub offset: isize,
    /// Inputs from one Y to the next.
    pub step: usize,
}

/// Kernel elements along `axis` (0 rows, 1 columns) in ascending order of offset.
pub(super) fn axis_taps(convolution: &Convolution, axis: usize, period: usize, phase: usize) -> Vec<AxisTap> {
    let (kernel, stride, pad) = (convolution.kernel[axis], convolution.stride[axis], convolution.pad[axis] as isize);
    let mut taps: Vec<AxisTap> = if convolution.transposed {
        // Output y takes input i through kernel element k where y + pad = i · stride + k.
        let position = phase as isize + pad;
        (0..kernel)
            .filter(|k| (position - *k as isize).rem_euclid(stride as isize) == 0)
            .map(|kernel| AxisTap {
                kernel,
                offset: (position - kernel as isize).div_euclid(stride as isize),
                step: period / stride,
            })
            .collect()
    } else {
        (0..kernel)
            .map(|kernel| AxisTap { kernel, offset: (phase * stride + kernel) as isize - pad, step: period * stride })
            .collect()
    };
    taps.sort_by_key(|tap| tap.offset);
    taps
}

/// Number of phases along `axis`: the least common multiple of the transposed strides.
pub(super) fn period(terms: &[Term], axis: usize) -> usize {
    let strides = terms.iter().filter(|term| term.convolution.transposed).map(|term| term.convolution.stride[axis]);
    strides.fold(1, |period, stride| period / gcd(period, stride) * stride)
}

/// Rows (or columns) of padding that `term` reads before and after an input of `input` rows for `output` rows.
pub(super) fn border(convolution: &Convolution, axis: usize, period: usize, input: usize, output: usize) -> usize {
    let mut border = 0;
    for phase in 0..period.min(output) {
        let last = (output - 1 - phase) / period;
        for tap in axis_taps(convolution, axis, period, phase) {
            let end = tap.offset + (last * tap.step) as isize - (input as isize - 1);
            border = border.max(-tap.offset).max(end);
        }
    }
    border.max(0) as usize
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
