//! Marks on surfaces: seats, prints, clear domes, defects.

use super::geometry::{P, Pose, noise, p, segment, slab, smoothstep};
use super::light::Finish;

/// An area in the scene.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Disc(f32),
    /// Half size and corner radius.
    Slab(Pose, P, f32),
    /// A line through points, half its width at the middle; it tapers towards both ends.
    Path(Vec<P>, f32),
    /// Mean radius, irregularity 0 to 1, seed.
    Blob(f32, f32, u32),
    /// Many small discs.
    Specks(Vec<(P, f32)>),
}

/// An area and a circle around it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) shape: Shape,
    pub(super) at: P,
    pub(super) reach: f32,
}

impl Mark {
    pub(super) fn disc(at: P, r: f32) -> Self {
        Self { shape: Shape::Disc(r), at, reach: r }
    }

    pub(super) fn slab(at: P, half: P, corner: f32) -> Self {
        Self { shape: Shape::Slab(Pose::new(at, 0.0), half, corner), at, reach: half.length() }
    }

    pub(super) fn blob(at: P, r: f32, lumps: f32, seed: u32) -> Self {
        Self { shape: Shape::Blob(r, lumps, seed), at, reach: r * (1.0 + lumps) + 0.1 }
    }

    pub(super) fn path(points: Vec<P>, half_width: f32) -> Self {
        let (at, reach) = enclosing(points.iter().map(|&q| (q, half_width)));
        Self { shape: Shape::Path(points, half_width), at, reach }
    }

    pub(super) fn specks(discs: Vec<(P, f32)>) -> Self {
        let (at, reach) = enclosing(discs.iter().copied());
        Self { shape: Shape::Specks(discs), at, reach }
    }

    /// Signed distance to the outline.
    pub(super) fn distance(&self, q: P) -> f32 {
        let d = q - self.at;
        match &self.shape {
            Shape::Disc(r) => d.length() - r,
            Shape::Slab(pose, half, corner) => slab(pose.local(q), *half, *corner),
            Shape::Path(points, half_width) => path(q, points, *half_width),
            Shape::Blob(r, lumps, seed) => {
                let (length, seed) = (d.length(), *seed);
                let way = d * (1.0 / length.max(1e-6));
                length - r * (1.0 + lumps * (0.7 * noise(way * 1.6, seed) + 0.3 * noise(way * 4.5, seed ^ 9)))
            }
            Shape::Specks(discs) => discs.iter().map(|(c, r)| (q - *c).length() - r).fold(f32::MAX, f32::min),
        }
    }
}

/// A mark on a surface: a seat, a print, a blister's dome, a defect.
#[derive(Clone, Debug)]
pub(super) struct Decal {
    /// The item that carries it; none: whatever is on top there.
    pub(super) on: Option<usize>,
    pub(super) mark: Mark,
    /// How deep it goes (negative: stands up), full from `slope` inside the outline on.
    pub(super) depth: f32,
    pub(super) slope: f32,
    /// Another material, full from the given distance inside the outline on.
    pub(super) tint: Option<(Finish, f32)>,
    /// A clear cover above the surface instead of a change to it.
    pub(super) clear: bool,
    /// Is the defect.
    pub(super) flagged: bool,
}

impl Decal {
    pub(super) fn pressed(on: usize, mark: Mark, depth: f32, slope: f32) -> Self {
        Self { on: Some(on), mark, depth, slope, tint: None, clear: false, flagged: false }
    }

    /// Height that it adds at `distance` from its outline.
    pub(super) fn relief(&self, distance: f32) -> f32 {
        -self.depth * smoothstep(0.0, self.slope, -distance)
    }
}

fn enclosing(discs: impl Iterator<Item = (P, f32)> + Clone) -> (P, f32) {
    let count = discs.clone().count().max(1) as f32;
    let at = discs.clone().fold(p(0.0, 0.0), |sum, (q, _)| sum + q) * (1.0 / count);
    (at, discs.map(|(q, r)| (q - at).length() + r).fold(0.0, f32::max))
}

fn path(q: P, points: &[P], half_width: f32) -> f32 {
    let pieces = points.len().saturating_sub(1).max(1) as f32;
    let mut best = f32::MAX;
    for (n, pair) in points.windows(2).enumerate() {
        let (distance, t) = segment(q, pair[0], pair[1]);
        let along = (n as f32 + t) / pieces;
        let taper = smoothstep(0.0, 0.18, along.min(1.0 - along)).max(0.25);
        best = best.min(distance - half_width * taper);
    }
    best
}
