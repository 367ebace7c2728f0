//! Plane geometry: points, poses, signed distances (negative inside) and value noise. Lengths are scene units: the
//! picture is 100 wide and 100 high.

use std::f32::consts::{PI, TAU};
use std::ops::{Add, Mul, Sub};

/// A point or an offset in the plane, y downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct P {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Shorthand for a point.
pub(super) const fn p(x: f32, y: f32) -> P {
    P { x, y }
}

impl Add for P {
    type Output = P;
    fn add(self, o: P) -> P {
        p(self.x + o.x, self.y + o.y)
    }
}

impl Sub for P {
    type Output = P;
    fn sub(self, o: P) -> P {
        p(self.x - o.x, self.y - o.y)
    }
}

impl Mul<f32> for P {
    type Output = P;
    fn mul(self, k: f32) -> P {
        p(self.x * k, self.y * k)
    }
}

impl P {
    pub(super) fn dot(self, o: P) -> f32 {
        self.x * o.x + self.y * o.y
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The point at `angle` radians and distance `r` from the origin.
    pub(super) fn polar(angle: f32, r: f32) -> P {
        p(r * angle.cos(), r * angle.sin())
    }

    /// Turned by a quarter.
    pub(super) fn across(self) -> P {
        p(-self.y, self.x)
    }
}

/// Where a body lies: moved to `at` after a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    pub(super) at: P,
    cos: f32,
    sin: f32,
}

impl Pose {
    /// `angle` in radians.
    pub(super) fn new(at: P, angle: f32) -> Self {
        Self { at, cos: angle.cos(), sin: angle.sin() }
    }

    /// A scene point in the body's own frame.
    pub(super) fn local(&self, q: P) -> P {
        let d = q - self.at;
        p(self.cos * d.x + self.sin * d.y, self.cos * d.y - self.sin * d.x)
    }

    /// A point of the body in the scene.
    pub(super) fn scene(&self, q: P) -> P {
        p(self.cos * q.x - self.sin * q.y, self.sin * q.x + self.cos * q.y) + self.at
    }
}

/// Distance to a rectangle of half size `half` with corners rounded by `corner`.
pub(super) fn slab(q: P, half: P, corner: f32) -> f32 {
    let d = p(q.x.abs() - half.x + corner, q.y.abs() - half.y + corner);
    p(d.x.max(0.0), d.y.max(0.0)).length() + d.x.max(d.y).min(0.0) - corner
}

/// Distance to a regular hexagon with `inner` from its centre to each side.
pub(super) fn hexagon(q: P, inner: f32) -> f32 {
    const K: P = p(-0.866_025_4, 0.5);
    let mut a = p(q.x.abs(), q.y.abs());
    let over = K.dot(a).min(0.0);
    a = a - K * (2.0 * over);
    let half_side = inner * 0.577_350_26;
    let d = a - p(a.x.clamp(-half_side, half_side), inner);
    d.length() * d.y.signum()
}

/// Distance to the segment from `a` to `b`, and how far along it the nearest point lies, 0 to 1.
pub(super) fn segment(q: P, a: P, b: P) -> (f32, f32) {
    let (qa, ba) = (q - a, b - a);
    let t = (qa.dot(ba) / ba.dot(ba).max(1e-9)).clamp(0.0, 1.0);
    ((qa - ba * t).length(), t)
}

/// Approximate distance to a spur gear; flanks are straight.
pub(super) fn gear(q: P, teeth: f32, root: f32, tip: f32) -> f32 {
    let r = q.length();
    if r < root - 1.0 || r > tip + 2.0 {
        return r - 0.5 * (root + tip);
    }
    let phase = (q.y.atan2(q.x) / TAU * teeth).rem_euclid(1.0);
    let tooth = smoothstep(0.18, 0.28, 0.5 - (phase - 0.5).abs());
    (r - (root + (tip - root) * (1.0 - tooth))) * 0.75
}

/// 0 below `a`, 1 above `b`, smooth between; `a` ≠ `b`.
pub(super) fn smoothstep(a: f32, b: f32, x: f32) -> f32 {
    let t = ((x - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A rounded edge: 0 at the outline (`distance` 0), 1 from `width` inside on; a quarter circle between.
pub(super) fn shoulder(distance: f32, width: f32) -> f32 {
    let t = (1.0 + distance / width).clamp(0.0, 1.0);
    if t == 0.0 { 1.0 } else { (1.0 - t * t).sqrt() }
}

/// Value noise, −1 to 1, features about one unit in size.
pub(super) fn noise(q: P, seed: u32) -> f32 {
    let (x, y) = (floor(q.x), floor(q.y));
    let (u, v) = (fade(q.x - x as f32), fade(q.y - y as f32));
    let top = mix(lattice(x, y, seed), lattice(x + 1, y, seed), u);
    let bottom = mix(lattice(x, y + 1, seed), lattice(x + 1, y + 1, seed), u);
    mix(top, bottom, v)
}

/// `a` at 0, `b` at 1.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Degrees to radians.
pub(super) fn degrees(angle: f32) -> f32 {
    angle * PI / 180.0
}

/// `f32::floor` is a call into the C library on the oldest processors of a family, and costs more than the rest.
fn floor(x: f32) -> i32 {
    let whole = x as i32;
    whole - i32::from(x < whole as f32)
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// A fixed pseudo-random value of a lattice point, −1 to 1.
fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    let mut h =
        (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ seed.wrapping_mul(0xc2b2_ae3d);
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
    h ^= h >> 16;
    (h >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0
}

#[cfg(test)]
#[path = "geometry_tests.rs"]
mod tests;
