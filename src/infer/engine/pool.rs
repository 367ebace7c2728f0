//! Pooling by sliding windows, and maps whose pixels are only moved.

use super::graph::{Pick, Pooling};
use super::layout::Layout;
use crate::infer::kernels::{Isa, Window, WindowRow, bytes, bytes_mut};
use std::ops::Range;

/// The windows of each row and each column of outputs.
#[derive(Debug)]
pub(super) struct Windows {
    pick: Pick,
    rows: Vec<Window>,
    columns: Vec<Window>,
    /// What the window of an output in the middle covers.
    window: [usize; 2],
}

impl Windows {
    /// Of one pooling after the other, to a map of `to`; more than one only where they are means.
    pub(super) fn new(poolings: &[Pooling], to: [usize; 2]) -> Self {
        let pick = poolings.first().map_or(Pick::Mean, |pooling| pooling.pick);
        let [rows, columns] = [0, 1].map(|axis| {
            let one = |at: usize| Window { first: at, weights: vec![1.0] };
            (0..to[axis]).map(|at| poolings.iter().rev().fold(one(at), |of, next| next.behind(axis, &of))).collect()
        });
        let widest = |windows: &Vec<Window>| windows.iter().map(|window| window.weights.len()).max().unwrap_or(0);
        Self { pick, window: [widest(&rows), widest(&columns)], rows, columns }
    }

    /// Computes rows of the map of `layout`, with their borders, from the whole map of `from`.
    pub(super) fn run(
        &self,
        isa: Isa,
        input: &[f32],
        from: &Layout,
        layout: &Layout,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        if layout.codes.is_some() {
            return self.largest_codes(bytes(input), from, layout, rows, bytes_mut(out));
        }
        for (row, out) in self.rows[rows].iter().zip(out.chunks_exact_mut(layout.row())) {
            let out = &mut out[layout.halo * layout.pitch..][..layout.shape.width * layout.pitch];
            let (start, pitch) = (from.at(row.first, 0), layout.pitch);
            let (down, columns, largest) = (&row.weights[..], &self.columns[..], self.pick == Pick::Largest);
            let input = from.stored(input);
            let (low, step) = from.codes.map_or((0.0, 1.0), |grid| (grid.low, grid.step));
            WindowRow { input, low, step, start, row: from.row(), down, columns, pitch, largest, out }.run(isa);
        }
    }

    /// The same of codes, whose order is that of what they mean.
    fn largest_codes(&self, input: &[u8], from: &Layout, layout: &Layout, rows: Range<usize>, out: &mut [u8]) {
        let pitch = layout.pitch;
        for (row, out) in self.rows[rows].iter().zip(out.chunks_exact_mut(layout.row())) {
            let out = &mut out[layout.halo * pitch..][..layout.shape.width * pitch];
            for (window, largest) in self.columns.iter().zip(out.chunks_exact_mut(pitch)) {
                largest.fill(0);
                for y in 0..row.weights.len() {
                    let pixels = &input[from.at(row.first + y, window.first)..][..window.weights.len() * pitch];
                    for pixel in pixels.chunks_exact(pitch) {
                        largest.iter_mut().zip(pixel).for_each(|(most, code)| *most = (*most).max(*code));
                    }
                }
            }
        }
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

impl Pooling {
    /// What `after`, a weighted sum along `axis` of this one's outputs, is of its inputs.
    fn behind(&self, axis: usize, after: &Window) -> Window {
        let outputs = after.first..after.first + after.weights.len();
        let start = outputs.clone().map(|output| self.covered(axis, output).start).min().unwrap_or(0);
        let end = outputs.clone().map(|output| self.covered(axis, output).end).max().unwrap_or(start);
        let mut weights = vec![0.0; end - start];
        for (output, weight) in outputs.zip(&after.weights) {
            let covered = self.covered(axis, output);
            let share = weight / covered.len() as f32;
            weights[covered.start - start..covered.end - start].iter_mut().for_each(|sum| *sum += share);
        }
        Window { first: start, weights }
    }

    /// The inputs along `axis` that an output's window covers.
    fn covered(&self, axis: usize, output: usize) -> Range<usize> {
        let start = output * self.stride[axis];
        let end = (start + self.window[axis]).saturating_sub(self.pad[axis]).min(self.of[axis]);
        start.saturating_sub(self.pad[axis]).min(end)..end
    }
}

/// Computes rows of an unshuffled map ([`super::Layer::Unshuffle`]), with their borders.
pub(super) fn unshuffle(input: &[f32], from: &Layout, layout: &Layout, rows: Range<usize>, out: &mut [f32]) {
    let channels = from.shape.channels;
    for (row, out) in rows.zip(out.chunks_exact_mut(layout.row())) {
        let out = &mut out[layout.halo * layout.pitch..][..layout.shape.width * layout.pitch];
        for a in 0..2 {
            let line = &input[(2 * row + a + from.halo) * from.row()..][..from.row()];
            let line = &line[(from.halo) * from.pitch..];
            if (channels, from.pitch) == (3, 3) {
                // A picture's two pixels follow each other.
                for (out, pair) in out.chunks_exact_mut(layout.pitch).zip(line.as_chunks::<6>().0) {
                    out[6 * a..6 * a + 6].copy_from_slice(pair);
                }
                continue;
            }
            for (out, pair) in out.chunks_exact_mut(layout.pitch).zip(line.chunks_exact(2 * from.pitch)) {
                for (b, pixel) in pair.chunks_exact(from.pitch).enumerate() {
                    out[(2 * a + b) * channels..][..channels].copy_from_slice(&pixel[..channels]);
                }
            }
        }
    }
}
