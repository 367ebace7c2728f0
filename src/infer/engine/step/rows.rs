//! Rows of outputs of which less is kept: the smallest channel, or the mean of 2 × 2.

use super::super::graph::Shape;
use super::super::layout::Layout;
use super::super::phase::Phase;
use super::{Scratch, Step};
use crate::infer::kernels::{AverageRows, Finish, Isa, LANES, Output, ValuesMut};
use std::ops::Range;

impl Step {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn smallest(
        &self,
        isa: Isa,
        phases: &[Phase],
        seamless: bool,
        inputs: &[&[f32]],
        rows: Range<usize>,
        out: ValuesMut,
        Scratch { taps, least, .. }: &mut Scratch,
    ) {
        let (ValuesMut::Floats(out), [phase]) = (out, phases) else { return };
        let Layout { shape: Shape { width, .. }, halo, pitch, .. } = self.layout;
        let rows_at_once = if seamless { rows.len() } else { 1 };
        for (index, row) in rows.clone().enumerate().step_by(rows_at_once.max(1)) {
            let count = rows_at_once * width;
            least.clear();
            least.resize(count * LANES, f32::INFINITY);
            let output = Output::Smallest { least };
            phase.row(isa, inputs, &self.input_layouts, row, count, output, taps);
            let pixels = out[index * self.layout.row() + halo * pitch..].iter_mut().step_by(pitch);
            for (pixel, least) in pixels.zip(least.chunks_exact(LANES)) {
                *pixel = least.iter().copied().fold(f32::INFINITY, f32::min);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn pooled(
        &self,
        isa: Isa,
        phases: &[Phase],
        inputs: &[&[f32]],
        rows: Range<usize>,
        mut out: ValuesMut,
        Scratch { buffer, taps, .. }: &mut Scratch,
    ) {
        let (pitch, width) = (self.layout.pitch, self.layout.shape.width);
        buffer.reserve(4 * width * pitch);
        for (index, row) in rows.enumerate() {
            let (top, bottom) = buffer[..4 * width * pitch].split_at_mut(2 * width * pitch);
            for (y, line) in [&mut *top, &mut *bottom].into_iter().enumerate() {
                for phase in phases {
                    let finish = Finish { grid: None, ..self.finish() };
                    let out = ValuesMut::Floats(&mut *line);
                    let output = Output::Pixels { out, step: pitch, residual: None, finish };
                    phase.row(isa, inputs, &self.input_layouts, 2 * row + y, 2 * width, output, taps);
                }
            }
            let out = out.from(index * self.layout.row() + self.layout.halo * pitch);
            let finish = Finish { relu: false, grid: self.grid };
            AverageRows { top, bottom, out, count: width, pitch, finish }.run(isa);
        }
    }
}
