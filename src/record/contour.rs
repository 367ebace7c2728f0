//! The line where a map crosses a level.

use crate::map::Grid;

/// A piece of a contour, from (x, y) to (x, y) in pixels; (0, 0) is the centre of the first pixel.
pub(super) type Segment = [(f32, f32); 2];

/// The contour of `grid` at `level` by marching squares: crossings are linear along the edges between pixel centres, a
/// saddle is parted by the mean of its corners. Squares with a value that is not a finite number have none.
pub(super) fn contour(grid: &Grid, level: f32) -> Vec<Segment> {
    let mut segments = Vec::new();
    if grid.width < 2 {
        return segments;
    }
    let rows: Vec<&[f32]> = grid.values.chunks_exact(grid.width).collect();
    for (y, pair) in rows.windows(2).enumerate() {
        for (x, (top, bottom)) in pair[0].windows(2).zip(pair[1].windows(2)).enumerate() {
            // Clockwise from the top left.
            let corners = [top[0], top[1], bottom[1], bottom[0]].map(|v| v - level);
            let above = corners.map(|v| v > 0.0);
            if above == [true; 4] || above == [false; 4] || !corners.iter().all(|v| v.is_finite()) {
                continue;
            }
            square(corners, above, (x as f32, y as f32), &mut segments);
        }
    }
    segments
}

fn square(corners: [f32; 4], above: [bool; 4], (x, y): (f32, f32), segments: &mut Vec<Segment>) {
    const PLACES: [(f32, f32); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    let crossing = |edge: usize| {
        let next = (edge + 1) % 4;
        let (from, to) = (PLACES[edge], PLACES[next]);
        let t = corners[edge] / (corners[edge] - corners[next]);
        (x + from.0 + t * (to.0 - from.0), y + from.1 + t * (to.1 - from.1))
    };
    let crossed: Vec<usize> = (0..4).filter(|edge| above[*edge] != above[(edge + 1) % 4]).collect();
    match crossed[..] {
        [a, b] => segments.push([crossing(a), crossing(b)]),
        [a, b, c, d] => {
            let middle_above = corners.iter().sum::<f32>() > 0.0;
            // The corners that differ from the middle are cut off: 1 and 3 where corner 0 is on the middle's side.
            let pairs = if above[0] == middle_above { [(a, b), (c, d)] } else { [(d, a), (b, c)] };
            segments.extend(pairs.map(|(from, to)| [crossing(from), crossing(to)]));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(height: usize, width: usize, value: impl Fn(f32, f32) -> f32) -> Grid {
        let values = (0..height * width).map(|i| value((i % width) as f32, (i / width) as f32)).collect();
        Grid { height, width, values }
    }

    #[test]
    fn a_cone_has_a_circle() {
        let distance = |x: f32, y: f32| (x - 20.3).hypot(y - 14.8);
        let segments = contour(&grid(32, 40, |x, y| 30.0 - distance(x, y)), 30.0 - 9.0);
        let length: f32 = segments.iter().map(|[a, b]| (a.0 - b.0).hypot(a.1 - b.1)).sum();
        assert!((length - std::f32::consts::TAU * 9.0).abs() < 0.2, "length {length}");
        for (x, y) in segments.iter().flatten() {
            assert!((distance(*x, *y) - 9.0).abs() < 0.02, "({x}, {y})");
        }
    }

    #[test]
    fn every_end_meets_another_or_the_border() {
        // Values that make saddles.
        let noise = |x: f32, y: f32| ((x * 12.9898 + y * 78.233).sin() * 43758.547).fract();
        let segments = contour(&grid(24, 24, noise), 0.0);
        assert!(segments.len() > 200);
        let near = |a: (f32, f32), b: (f32, f32)| (a.0 - b.0).hypot(a.1 - b.1) < 1e-4;
        for end in segments.iter().flatten() {
            let border = [end.0, end.1].iter().any(|v| *v == 0.0 || *v == 23.0);
            let meets = segments.iter().flatten().filter(|other| near(**other, *end)).count();
            assert!(meets >= if border { 1 } else { 2 }, "{end:?} meets {meets}");
        }
    }

    #[test]
    fn a_saddle_is_parted_by_its_mean() {
        // High top left and bottom right; the mean is above the level, so they are joined and the others cut off.
        let joined = Grid { height: 2, width: 2, values: vec![3.0, -1.0, -1.0, 3.0] };
        for [a, b] in contour(&joined, 0.0) {
            let middle = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
            assert!((middle.0 > 0.5) != (middle.1 > 0.5), "{middle:?} does not cut off a low corner");
        }
        assert_eq!(contour(&joined, 0.0).len(), 2);
    }

    #[test]
    fn no_contour_without_a_crossing() {
        assert!(contour(&grid(8, 8, |_, _| 1.0), 2.0).is_empty());
        assert!(contour(&grid(8, 8, |_, _| f32::NAN), 2.0).is_empty());
        assert!(contour(&grid(8, 1, |_, y| y), 2.0).is_empty());
    }
}
