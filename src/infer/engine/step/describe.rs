//! What a step does, in words and numbers.

use super::super::graph::Shape;
use super::squares::Squares;
use super::{Reduction, Step, Work};
use crate::infer::Operator;
use crate::infer::kernels::Tile;

const SQUARED: &str = ", squared and summed";

impl Step {
    /// What it computes and how.
    pub(in super::super) fn operator(&self, name: &str) -> Operator {
        let Shape { channels, height, width } = self.layout.shape;
        let (method, planned) = match &self.work {
            Work::Pool(windows) => (windows.method(), 0),
            Work::Unshuffle => ("2×2 pixels as one".to_owned(), 0),
            Work::Winograd { tile, parts } => {
                let positions = tile.positions([height, width]);
                let planned = parts.len() * positions * self.input_layouts[0].shape.channels * channels;
                let pooled = if parts.len() > 1 { ", pooled" } else { "" };
                // A product of 16 bits takes as long as two of 8.
                let (eight_bit, planned) = if self.integer { ("8-bit ", 2 * planned) } else { ("", planned) };
                (format!("{eight_bit}{}{pooled}", winograd(*tile)), planned as u64)
            }
            Work::Squares(Squares { tile, part, beside }) => {
                let added = beside.as_ref().map_or(0, |beside| height * width * beside.phase.multiplications);
                let outputs = part.outputs();
                let planned = tile.positions([height, width]) * self.input_layouts[0].shape.channels * outputs;
                (winograd(*tile) + SQUARED, (planned + added) as u64)
            }
            Work::Gather { phases, pool, reduction, period, .. } => {
                let mut method = if self.integer { "8-bit " } else { "" }.to_owned();
                let computes = phases.iter().any(|phase| phase.multiplications > 0);
                method += match phases.len() {
                    0 | 1 if !computes => "activation",
                    0 | 1 => "direct",
                    _ => "sub-pixel",
                };
                method += match reduction {
                    Some(Reduction::Squares) => SQUARED,
                    Some(Reduction::Smallest) => ", smallest",
                    None => "",
                };
                if *pool {
                    method += ", pooled";
                }
                let [down, across] = *period;
                let planned = phases.iter().enumerate().map(|(index, phase)| {
                    let factor = 1 + usize::from(*pool);
                    let rows = (factor * height).saturating_sub(index / across).div_ceil(down);
                    let columns = (factor * width).saturating_sub(index % across).div_ceil(across);
                    rows * columns * phase.multiplications
                });
                (method, planned.sum::<usize>() as u64)
            }
        };
        let rounded = self.grid.is_some() || self.layout.codes.is_some();
        let method = method + if rounded { ", rounded to 8 bits" } else { "" };
        let shape = [channels, height, width];
        Operator { name: name.to_owned(), method, integer: self.integer, shape, direct: self.direct, planned }
    }
}

fn winograd(tile: Tile) -> String {
    match tile {
        // Of four phases, the one with most taps.
        Tile::T8x3 => "sub-pixel Winograd F(4×4, 2×2)".to_owned(),
        _ => format!("Winograd F({0}×{0}, {1}×{1})", tile.outputs(), tile.kernel()),
    }
}
