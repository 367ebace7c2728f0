//! Curves and the area under them.

use serde::Serialize;

/// A curve of rising x from (0, 0), integrated by the trapezoid rule as its points arrive.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    limits: &'static [f64],
    areas: Vec<f64>,
    last: Point,
    drawn: Vec<Point>,
}

/// One point of a curve, both coordinates 0–1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// False-positive rate.
    pub x: f64,
    /// True-positive rate, PRO or sPRO.
    pub y: f64,
}

/// Distance of the points kept for drawing.
const DRAWN_STEP: f64 = 0.002;

impl Curve {
    /// A curve to be integrated from 0 to each of `limits`.
    pub(super) fn new(limits: &'static [f64]) -> Self {
        let origin = Point { x: 0.0, y: 0.0 };
        Self { limits, areas: vec![0.0; limits.len()], last: origin, drawn: vec![origin] }
    }

    /// Begins somewhere else: what lies before is added by [`Curve::append`].
    pub(super) fn start(&mut self, x: f64, y: f64) {
        self.last = Point { x, y };
        self.drawn = vec![self.last];
    }

    /// Goes on with a curve that starts where this one ends.
    pub(super) fn append(&mut self, next: Curve) {
        self.areas.iter_mut().zip(next.areas).for_each(|(area, more)| *area += more);
        self.last = next.last;
        self.drawn.extend(next.drawn);
    }

    /// Adds the next point; beyond a limit its y is interpolated at the limit.
    pub(super) fn push(&mut self, x: f64, y: f64) {
        let last = self.last;
        for (limit, area) in self.limits.iter().zip(&mut self.areas) {
            if last.x < *limit && x > last.x {
                let end = x.min(*limit);
                let end_y = last.y + (y - last.y) * ((end - last.x) / (x - last.x));
                *area += 0.5 * (last.y + end_y) * (end - last.x);
            }
        }
        self.last = Point { x, y };
        if self.drawn.last().is_none_or(|d| x - d.x >= DRAWN_STEP || (y - d.y).abs() >= DRAWN_STEP) {
            self.drawn.push(last);
            self.drawn.push(self.last);
        }
    }

    /// The areas divided by their limits, in the order of the limits, and the points to draw.
    pub(super) fn finish(mut self) -> (Vec<f64>, Vec<Point>) {
        self.drawn.push(self.last);
        self.drawn.dedup();
        (self.limits.iter().zip(&self.areas).map(|(limit, area)| area / limit).collect(), self.drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_at_the_limit() {
        let mut curve = Curve::new(&[0.25, 1.0]);
        curve.push(0.5, 1.0);
        curve.push(1.0, 1.0);
        let (areas, points) = curve.finish();
        assert_eq!(areas, [0.25 * 0.5 / 2.0 / 0.25, 0.75]);
        assert_eq!(points.last(), Some(&Point { x: 1.0, y: 1.0 }));
    }

    #[test]
    fn vertical_steps_have_no_area() {
        let mut curve = Curve::new(&[0.3]);
        for (x, y) in [(0.0, 0.5), (0.3, 0.5), (0.3, 1.0), (1.0, 1.0)] {
            curve.push(x, y);
        }
        assert!((curve.finish().0[0] - 0.5).abs() < 1e-15);
    }
}
