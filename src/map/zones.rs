//! Parts of a picture with thresholds of their own.

use super::{Grid, MapError};
use crate::capture::Region;
use std::ops::Range;
use std::sync::Arc;

/// One part of the camera's picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// What people call it.
    pub name: Arc<str>,
    /// First column and row, width and height in pixels of the camera's picture, the sides ≥ 1.
    pub area: [usize; 4],
    /// Scores above it are rejected there.
    pub threshold: f32,
}

/// Zones that do not overlap; what no zone covers is the rest, with the product's own threshold.
///
/// A zone's scores are moved by the difference of the two thresholds, so that everything after the map knows one threshold
/// only: a pixel is above it exactly where its own score is above its own threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Zones(Vec<Zone>);

/// A zone's `value`, whose threshold is `own`, on the scale whose threshold is `threshold`.
///
/// It stays on its side of the threshold, also where the sum rounds; what is not a finite number stays so.
pub fn moved(value: f32, own: f32, threshold: f32) -> f32 {
    let moved = value + (threshold - own);
    match value > own {
        true if moved <= threshold => threshold.next_up(),
        false if moved > threshold => threshold,
        _ => moved,
    }
}

/// Cells of a map: rows, columns.
type Cells = (Range<usize>, Range<usize>);

impl Zones {
    /// These zones.
    ///
    /// # Errors
    /// One sentence about the zone that is empty, overlaps another one or has no finite threshold.
    pub fn new(zones: Vec<Zone>) -> Result<Self, String> {
        for (index, zone) in zones.iter().enumerate() {
            let [left, top, width, height] = zone.area;
            let ends = left.checked_add(width).is_some() && top.checked_add(height).is_some();
            if width == 0 || height == 0 || !ends {
                return Err(format!(
                    "{}: the area must be [left, top, width, height], at least 1 pixel a side",
                    zone.name
                ));
            }
            if !zone.threshold.is_finite() {
                return Err(format!("{}: the threshold must be a finite number", zone.name));
            }
            if let Some(other) = zones.iter().take(index).find(|other| zone.overlaps(other)) {
                return Err(format!("{} and {} overlap", other.name, zone.name));
            }
            if zones.iter().take(index).any(|other| other.name == zone.name) {
                return Err(format!("{}: two zones have this name", zone.name));
            }
        }
        Ok(Self(zones))
    }

    /// The zones in their order.
    pub fn zones(&self) -> &[Zone] {
        &self.0
    }

    /// Largest value of the rest and of each zone, in their order; −∞ where all of it belongs to others. Then the zones'
    /// values are moved: their thresholds come to lie at `threshold`.
    ///
    /// `view` is the part of the picture that the map is of.
    ///
    /// # Errors
    /// [`MapError::Zone`] for a zone that is not wholly inside `view`, or without a cell of the map.
    pub(super) fn apply(&self, map: &mut Grid, view: Region, threshold: f32) -> Result<Vec<f32>, MapError> {
        let cells: Vec<Cells> =
            self.0.iter().map(|zone| zone.cells(map.height, map.width, view)).collect::<Result<_, _>>()?;
        let mut largest = vec![f32::NEG_INFINITY; self.0.len() + 1];
        for (index, value) in map.values.iter_mut().enumerate() {
            let (row, column) = (index / map.width, index % map.width);
            let zone = cells.iter().position(|(rows, columns)| rows.contains(&row) && columns.contains(&column));
            if let Some(largest) = largest.get_mut(zone.map_or(0, |zone| zone + 1)) {
                *largest = largest.max(*value);
            }
            if let Some(zone) = zone.and_then(|zone| self.0.get(zone)) {
                *value = moved(*value, zone.threshold, threshold);
            }
        }
        Ok(largest)
    }

    /// The zone that cell (`row`, `column`) of a map of `height` × `width` cells lies in.
    pub fn at(&self, (height, width): (usize, usize), view: Region, (row, column): (usize, usize)) -> Option<&Zone> {
        self.0.iter().find(|zone| {
            zone.cells(height, width, view)
                .is_ok_and(|(rows, columns)| rows.contains(&row) && columns.contains(&column))
        })
    }
}

impl Zone {
    fn overlaps(&self, other: &Zone) -> bool {
        let meets = |a: usize, length: usize, b: usize, other: usize| a < b + other && b < a + length;
        let ([ax, ay, aw, ah], [bx, by, bw, bh]) = (self.area, other.area);
        meets(ax, aw, bx, bw) && meets(ay, ah, by, bh)
    }

    /// The cells whose centres lie in the zone.
    fn cells(&self, height: usize, width: usize, view: Region) -> Result<Cells, MapError> {
        let [left, top, columns, rows] = self.area;
        let outside = || MapError::Zone { name: self.name.to_string() };
        if left < view.left() || top < view.top() || left + columns > view.right() || top + rows > view.bottom() {
            return Err(outside());
        }
        // Centre (cell + ½) · view / cells ≥ edge.
        let first = |edge: usize, cells: usize, view: usize| (2 * edge * cells + view).div_ceil(2 * view) - 1;
        let range = |from: usize, length: usize, cells: usize, view: usize| {
            let first = |edge| first(edge, cells, view);
            (first(from).min(cells))..(first(from + length).min(cells))
        };
        let (high, wide) = (view.bottom() - view.top(), view.right() - view.left());
        let rows = range(top - view.top(), rows, height, high);
        let columns = range(left - view.left(), columns, width, wide);
        if rows.is_empty() || columns.is_empty() { Err(outside()) } else { Ok((rows, columns)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, area: [usize; 4], threshold: f32) -> Zone {
        Zone { name: name.into(), area, threshold }
    }

    #[test]
    fn a_pixel_is_above_the_threshold_where_it_is_above_its_own() {
        let zones = vec![zone("a", [10, 20, 37, 31], 4.0), zone("b", [50, 20, 50, 60], -1.0)];
        let zones = Zones::new(zones).unwrap();
        let view = Region::new(5, 3, 96, 80).unwrap();
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 100.0 - 3.0;
        let map = Grid { height: 40, width: 64, values: (0..40 * 64).map(value).collect() };
        let mut moved = map.clone();
        let largest = zones.apply(&mut moved, view, 2.5).unwrap();
        let mut expected = [f32::NEG_INFINITY; 3];
        for (i, value) in map.values.iter().enumerate() {
            // Where the cell's centre lies in the picture.
            let (x, y) = (5.0 + (i % 64) as f64 * 1.5 + 0.75, 3.0 + (i / 64) as f64 * 2.0 + 1.0);
            let own = zones.zones().iter().position(|z| {
                let [left, top, width, height] = z.area.map(|v| v as f64);
                (left..left + width).contains(&x) && (top..top + height).contains(&y)
            });
            let area = own.map_or(0, |zone| zone + 1);
            expected[area] = expected[area].max(*value);
            assert_eq!(moved.values[i] > 2.5, *value > [2.5, 4.0, -1.0][area], "{i}");
            let named = zones.at((40, 64), view, (i / 64, i % 64)).map(|zone| &*zone.name);
            assert_eq!(named, own.map(|zone| ["a", "b"][zone]));
        }
        assert_eq!(largest, expected);
    }

    #[test]
    fn no_rounding_moves_a_value_over_the_threshold() {
        for (own, threshold) in [(0.01f32, 1000.0f32), (1000.0, 0.01), (0.3, 0.7), (-5.0, 3e7), (1.0, 1.0)] {
            for value in [own.next_down(), own, own.next_up(), own - 1.0, own + 1.0] {
                assert_eq!(moved(value, own, threshold) > threshold, value > own, "{value} at {own}, {threshold}");
            }
            assert!(moved(f32::NAN, own, threshold).is_nan());
            assert_eq!(moved(f32::INFINITY, own, threshold), f32::INFINITY);
        }
    }

    #[test]
    fn zones_that_cannot_be_are_refused() {
        for (zones, reason) in [
            (vec![zone("a", [0, 0, 0, 5], 1.0)], "at least 1 pixel"),
            (vec![zone("a", [usize::MAX, 0, 2, 5], 1.0)], "at least 1 pixel"),
            (vec![zone("a", [0, 0, 5, 5], f32::NAN)], "finite"),
            (vec![zone("a", [0, 0, 5, 5], 1.0), zone("b", [4, 4, 5, 5], 1.0)], "a and b overlap"),
            (vec![zone("a", [0, 0, 5, 5], 1.0), zone("a", [5, 4, 5, 5], 1.0)], "two zones"),
        ] {
            assert!(Zones::new(zones).unwrap_err().contains(reason), "{reason}");
        }
        let view = Region::new(10, 10, 40, 40).unwrap();
        let mut map = Grid { height: 20, width: 20, values: vec![0.0; 400] };
        // A column of the map has its centre every two pixels, the first at 11.
        for (area, fits) in [
            ([10, 10, 40, 40], true),
            ([11, 10, 1, 5], true),
            ([12, 10, 1, 5], false),
            ([9, 10, 5, 5], false),
            ([10, 10, 41, 5], false),
            ([10, 46, 5, 5], false),
        ] {
            let zones = Zones::new(vec![zone("z", area, 1.0)]).unwrap();
            assert_eq!(zones.apply(&mut map, view, 1.0).is_ok(), fits, "{area:?}");
        }
    }
}
