//! Values of cells or pixels.

use super::MapError;

/// A map of one value a cell or pixel, rows from the top left.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height · width` values.
    pub values: Vec<f32>,
}

impl Grid {
    /// Puts their nearest inner neighbour in the place of the `margin` outer cells of each side.
    pub(super) fn replicate_margin(&mut self, margin: usize) -> Result<(), MapError> {
        let Self { height, width, .. } = *self;
        if 2 * margin >= height || 2 * margin >= width {
            return Err(MapError::Margin { margin, height, width });
        }
        if margin == 0 {
            return Ok(());
        }
        for y in 0..height {
            let inner_y = y.clamp(margin, height - 1 - margin);
            for x in 0..width {
                let inner_x = x.clamp(margin, width - 1 - margin);
                if (inner_y, inner_x) != (y, x) {
                    self.values[y * width + x] = self.values[inner_y * width + inner_x];
                }
            }
        }
        Ok(())
    }
}
