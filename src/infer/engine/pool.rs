//! Pooling by a sliding window.

use super::graph::{Pick, Pooling};
use super::layout::Layout;
use std::ops::Range;

impl Pooling {
    /// Computes rows of the map of `layout`, with their borders, from the whole map of `from`.
    pub(super) fn run(&self, input: &[f32], from: &Layout, layout: &Layout, rows: Range<usize>, out: &mut [f32]) {
        let channels = layout.shape.channels;
        for (row, out) in rows.zip(out.chunks_exact_mut(layout.row())) {
            let above = self.covered(0, row, from.shape.height);
            let pixels = out.chunks_exact_mut(layout.pitch).skip(layout.halo).take(layout.shape.width);
            for (column, pixel) in pixels.enumerate() {
                let across = self.covered(1, column, from.shape.width);
                let pixel = &mut pixel[..channels];
                let start = if self.pick == Pick::Largest { f32::NEG_INFINITY } else { 0.0 };
                pixel.fill(start);
                for y in above.clone() {
                    for x in across.clone() {
                        let values = &input[from.at(y, x)..][..channels];
                        match self.pick {
                            Pick::Largest => pixel.iter_mut().zip(values).for_each(|(to, value)| *to = to.max(*value)),
                            Pick::Mean => pixel.iter_mut().zip(values).for_each(|(to, value)| *to += value),
                        }
                    }
                }
                if self.pick == Pick::Mean {
                    let share = 1.0 / (above.len() * across.len()) as f32;
                    pixel.iter_mut().for_each(|value| *value *= share);
                }
            }
        }
    }

    /// The inputs along `axis` that an output's window covers.
    fn covered(&self, axis: usize, output: usize, inputs: usize) -> Range<usize> {
        let start = output * self.stride[axis];
        let end = (start + self.window[axis]).saturating_sub(self.pad[axis]).min(inputs);
        start.saturating_sub(self.pad[axis]).min(end)..end
    }

    /// The name of what it does.
    pub(super) fn method(&self) -> String {
        let [rows, columns] = self.window;
        match self.pick {
            Pick::Largest => format!("largest of {rows}×{columns}"),
            Pick::Mean => format!("mean of {rows}×{columns}"),
        }
    }
}
