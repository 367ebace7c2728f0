//! Parts of the blister pack. Lengths in scene units.

use super::geometry::{P, noise, p, shoulder, slab, smoothstep};
use super::light::{Finish, Rgb};
use super::scene::Part;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use std::sync::Arc;

pub(super) const WHITE: Rgb = [0.78, 0.77, 0.72];
pub(super) const BLUE: Rgb = [0.085, 0.20, 0.52];

/// The card: clear film on embossed aluminium foil.
pub(super) struct Card {
    pub(super) half: P,
    pub(super) seed: u32,
}

impl Part for Card {
    fn kind(&self) -> &'static str {
        "card"
    }
    fn outline(&self, q: P) -> f32 {
        slab(q, self.half, 4.5)
    }
    fn relief(&self, q: P) -> f32 {
        0.5 + 0.25 * shoulder(self.outline(q), 0.4)
    }
    fn finish(&self, q: P) -> Finish {
        const PITCH: f32 = 1.9;
        let (u, v) = (q.x * (TAU / PITCH), q.y * (TAU / PITCH));
        let press = 0.050 * (1.0 + 0.5 * noise(q * 0.07, self.seed ^ 1));
        let (a, b) = (press * u.cos(), press * v.cos());
        let crease = 0.03 * noise(q * 0.35, self.seed ^ 2);
        let bow = noise(q * 0.05, self.seed);
        let (crease, shade) = (crease + 0.012 * bow, 0.60 + 0.02 * bow);
        Finish { grain: [a + crease, b + crease], ..Finish::metal([0.93, 0.94, 0.96], 0.50).dimmed(shade) }
    }
    fn reach(&self) -> f32 {
        self.half.length()
    }
    fn thickness(&self) -> f32 {
        1.0
    }
    fn brittle(&self) -> bool {
        true
    }
}

/// A round tablet with a score line.
pub(super) struct Tablet {
    pub(super) seed: u32,
    pub(super) colour: Rgb,
}

impl Part for Tablet {
    fn kind(&self) -> &'static str {
        "tablet"
    }
    fn outline(&self, q: P) -> f32 {
        q.length() - 4.9
    }
    fn relief(&self, q: P) -> f32 {
        let r = q.length();
        let score = 0.42 * smoothstep(0.5, 0.0, q.y.abs()) * smoothstep(4.6, 4.0, r);
        1.5 + 0.8 * shoulder(r - 4.9, 0.8) - 0.018 * r * r - score
    }
    fn finish(&self, q: P) -> Finish {
        powder(q, self.colour, self.seed)
    }
    fn reach(&self) -> f32 {
        4.9
    }
    fn thickness(&self) -> f32 {
        2.3
    }
    fn brittle(&self) -> bool {
        true
    }
    fn recoloured(&self, rng: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        Some(Arc::new(Self { colour: wrong(rng), ..*self }))
    }
}

/// An oblong coated tablet.
pub(super) struct Caplet {
    pub(super) seed: u32,
    pub(super) colour: Rgb,
}

impl Part for Caplet {
    fn kind(&self) -> &'static str {
        "caplet"
    }
    fn outline(&self, q: P) -> f32 {
        slab(q, p(6.6, 3.6), 3.6)
    }
    fn relief(&self, q: P) -> f32 {
        1.2 + 2.0 * shoulder(self.outline(q), 3.4)
    }
    fn finish(&self, q: P) -> Finish {
        Finish { rough: 0.36, ..powder(q, self.colour, self.seed) }
    }
    fn reach(&self) -> f32 {
        6.6
    }
    fn thickness(&self) -> f32 {
        3.2
    }
    fn brittle(&self) -> bool {
        true
    }
    fn recoloured(&self, rng: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        Some(Arc::new(Self { colour: wrong(rng), ..*self }))
    }
}

/// Pressed powder with faint specks.
fn powder(q: P, colour: Rgb, seed: u32) -> Finish {
    let speck = 1.0 - 0.05 * smoothstep(0.45, 0.8, noise(q * 2.4, seed)) + 0.015 * noise(q * 0.5, seed ^ 1);
    let grain = 0.02 * noise(q * 3.1, seed ^ 2);
    Finish { grain: [grain, -grain], ..Finish::matt(colour, 0.75).dimmed(speck) }
}

fn wrong(rng: &mut ChaCha8Rng) -> Rgb {
    const WRONG: [Rgb; 3] = [[0.66, 0.20, 0.18], [0.70, 0.46, 0.08], [0.16, 0.42, 0.20]];
    WRONG[rng.random_range(0..WRONG.len())]
}
