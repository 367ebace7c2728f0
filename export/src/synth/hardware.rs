//! Parts of the assembly tray. Lengths in scene units, materials as under a white lamp.

use super::geometry::{P, gear, hexagon, noise, p, shoulder, slab, smoothstep};
use super::light::{Finish, Rgb};
use super::scene::Part;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

pub(super) const STEEL: Rgb = [0.78, 0.79, 0.80];
pub(super) const ZINC: Rgb = [0.84, 0.86, 0.90];
pub(super) const BRASS: Rgb = [0.92, 0.70, 0.32];
pub(super) const BLUE: Rgb = [0.035, 0.12, 0.42];
pub(super) const RED: Rgb = [0.42, 0.04, 0.03];
pub(super) const GREEN: Rgb = [0.03, 0.26, 0.08];
pub(super) const ORANGE: Rgb = [0.55, 0.22, 0.02];
/// What a blue connector may be mistaken for.
pub(super) const WRONG: [Rgb; 4] = [RED, GREEN, ORANGE, [0.40, 0.40, 0.38]];

/// The rubber mat that everything lies on.
pub(super) struct Mat {
    pub(super) seed: u32,
    pub(super) colour: Rgb,
}

impl Part for Mat {
    fn kind(&self) -> &'static str {
        "mat"
    }
    fn outline(&self, _: P) -> f32 {
        -1e3
    }
    fn relief(&self, _: P) -> f32 {
        0.0
    }
    fn finish(&self, q: P) -> Finish {
        let pimples = noise(q * 1.7, self.seed);
        let speckle = 1.0 + 0.10 * pimples + 0.06 * noise(q * 0.21, self.seed ^ 5);
        let grain = 0.12 * noise(q * 1.9, self.seed ^ 3);
        Finish { grain: [grain, grain], ..Finish::matt(self.colour, 0.9).dimmed(speckle) }
    }
    fn reach(&self) -> f32 {
        1e4
    }
    fn thickness(&self) -> f32 {
        0.05
    }
}

/// The brushed aluminium plate.
pub(super) struct Plate {
    pub(super) half: P,
    pub(super) seed: u32,
    /// Scatter of the brushing.
    pub(super) streaks: f32,
}

impl Part for Plate {
    fn kind(&self) -> &'static str {
        "plate"
    }
    fn outline(&self, q: P) -> f32 {
        slab(q, self.half, 3.0)
    }
    fn relief(&self, q: P) -> f32 {
        2.0 + 0.7 * shoulder(self.outline(q), 0.8)
    }
    fn finish(&self, q: P) -> Finish {
        let fine = noise(p(q.x * 0.11, q.y * 7.0), self.seed);
        let broad = noise(p(q.x * 0.035, q.y * 1.7), self.seed ^ 1);
        let cloud = noise(q * 0.05, self.seed ^ 2);
        let shade = 0.60 * (1.0 + self.streaks * (0.055 * fine + 0.05 * broad) + 0.035 * cloud);
        let grain = [0.0, self.streaks * (0.045 * fine + 0.03 * broad)];
        Finish { grain, ..Finish::metal([0.80, 0.81, 0.83], 0.62).dimmed(shade) }
    }
    fn reach(&self) -> f32 {
        self.half.length()
    }
    fn thickness(&self) -> f32 {
        2.7
    }
}

/// A socket head cap screw seen from above.
pub(super) struct Screw {
    pub(super) seed: u32,
}

impl Part for Screw {
    fn kind(&self) -> &'static str {
        "screw"
    }
    fn outline(&self, q: P) -> f32 {
        let r = q.length();
        if !(4.0..4.6).contains(&r) {
            return r - 4.3;
        }
        r - 4.3 - 0.09 * (q.y.atan2(q.x) * 36.0).cos()
    }
    fn relief(&self, q: P) -> f32 {
        let d = q.length() - 4.3;
        let socket = hexagon(q, 2.05);
        2.6 + 0.8 * shoulder(d, 0.9) - 1.9 * smoothstep(0.0, 0.55, -socket)
    }
    fn finish(&self, q: P) -> Finish {
        let r = q.length();
        let deep = smoothstep(0.1, 0.6, -hexagon(q, 2.05));
        let lathe = noise(p(r * 7.0, 0.3), self.seed) * 0.05;
        let grain = if r > 0.3 { [q.x / r * lathe, q.y / r * lathe] } else { [0.0; 2] };
        Finish { grain, ..Finish::metal([0.30, 0.30, 0.32], 0.42).dimmed(1.0 - 0.72 * deep) }
    }
    fn reach(&self) -> f32 {
        4.5
    }
    fn thickness(&self) -> f32 {
        3.4
    }
}

/// A flat washer.
pub(super) struct Washer {
    pub(super) seed: u32,
}

impl Part for Washer {
    fn kind(&self) -> &'static str {
        "washer"
    }
    fn outline(&self, q: P) -> f32 {
        let r = q.length();
        (r - 5.2).max(2.5 - r)
    }
    fn relief(&self, q: P) -> f32 {
        0.5 + 0.4 * shoulder(self.outline(q), 0.45)
    }
    fn finish(&self, q: P) -> Finish {
        let stain = noise(q * 0.5, self.seed);
        let grain = 0.018 * noise(q * 3.0, self.seed ^ 1);
        Finish { grain: [grain, -grain], ..Finish::metal(ZINC, 0.45).dimmed(0.92 + 0.04 * stain) }
    }
    fn reach(&self) -> f32 {
        5.3
    }
    fn thickness(&self) -> f32 {
        0.9
    }
}

/// A hexagon nut.
pub(super) struct Nut {
    pub(super) seed: u32,
}

impl Part for Nut {
    fn kind(&self) -> &'static str {
        "nut"
    }
    fn outline(&self, q: P) -> f32 {
        hexagon(q, 4.6).max(2.35 - q.length())
    }
    fn relief(&self, q: P) -> f32 {
        let r = q.length();
        // The chamfer of a nut is a cone, not a bevel along its sides.
        let cone = 1.1 * smoothstep(4.2, 5.6, r);
        let countersink = 0.9 * smoothstep(3.1, 2.3, r);
        2.2 + 0.5 * shoulder(hexagon(q, 4.6), 0.3) - cone - countersink
    }
    fn finish(&self, q: P) -> Finish {
        let grain = 0.02 * noise(q * 2.5, self.seed);
        let thread = 1.0 - 0.35 * smoothstep(2.9, 2.4, q.length());
        Finish { grain: [grain, grain], ..Finish::metal(STEEL, 0.40).dimmed(0.90 * thread) }
    }
    fn reach(&self) -> f32 {
        5.4
    }
    fn thickness(&self) -> f32 {
        2.7
    }
}

/// A spur gear with a hub and a keyed bore.
pub(super) struct Gear {
    pub(super) seed: u32,
    pub(super) metal: Rgb,
}

impl Gear {
    const TEETH: f32 = 20.0;

    fn bore(q: P) -> f32 {
        (q.length() - 2.4).min(slab(q - p(0.0, -2.4), p(0.7, 0.9), 0.1))
    }
}

impl Part for Gear {
    fn kind(&self) -> &'static str {
        "gear"
    }
    fn outline(&self, q: P) -> f32 {
        gear(q, Self::TEETH, 10.0, 12.2).max(-Self::bore(q))
    }
    fn silhouette(&self, q: P) -> f32 {
        (q.length() - 11.3).max(-Self::bore(q))
    }
    fn relief(&self, q: P) -> f32 {
        let r = q.length();
        let hub = 1.3 * smoothstep(5.6, 5.0, r);
        let dish = -0.7 * smoothstep(5.7, 6.3, r) * smoothstep(9.3, 8.7, r);
        2.2 + 0.45 * shoulder(gear(q, Self::TEETH, 10.0, 12.2), 0.45) + hub + dish
            - 0.4 * smoothstep(0.5, 0.0, Self::bore(q))
    }
    fn finish(&self, q: P) -> Finish {
        let r = q.length();
        let lathe = 0.06 * noise(p(r * 5.0, 0.7), self.seed) + 0.02 * noise(q * 3.0, self.seed ^ 1);
        let grain = if r > 0.5 { [q.x / r * lathe, q.y / r * lathe] } else { [0.0; 2] };
        Finish { grain, ..Finish::metal(self.metal, 0.44).dimmed(0.90) }
    }
    fn reach(&self) -> f32 {
        12.4
    }
    fn thickness(&self) -> f32 {
        4.0
    }
    fn brittle(&self) -> bool {
        true
    }
    fn recoloured(&self, _: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        Some(Arc::new(Self { metal: STEEL, ..*self }))
    }
}

/// A plastic connector with two rows of pins.
pub(super) struct Connector {
    pub(super) seed: u32,
    pub(super) colour: Rgb,
    /// Colours that a wrong one may have; the right one is passed over.
    pub(super) wrong: &'static [Rgb],
}

impl Connector {
    const HALF: P = p(13.0, 7.0);
    const WELL: P = p(11.0, 4.7);

    fn pin(q: P) -> f32 {
        let column = (q.x / 3.4).floor().clamp(-3.0, 2.0) + 0.5;
        let row = if q.y < 0.0 { -1.9 } else { 1.9 };
        slab(q - p(column * 3.4, row), p(0.62, 0.62), 0.15)
    }
}

impl Part for Connector {
    fn kind(&self) -> &'static str {
        "connector"
    }
    fn outline(&self, q: P) -> f32 {
        let key = slab(q - p(0.0, 7.0), p(3.0, 1.3), 0.5);
        slab(q, Self::HALF, 1.0).min(key)
    }
    fn relief(&self, q: P) -> f32 {
        let well = slab(q, Self::WELL, 0.8);
        let pin = 1.5 * smoothstep(0.0, 0.35, -Self::pin(q));
        4.0 + 0.6 * shoulder(self.outline(q), 0.7) - 2.6 * smoothstep(0.0, 0.5, -well) + pin
    }
    fn finish(&self, q: P) -> Finish {
        if Self::pin(q) < 0.0 {
            return Finish::metal([0.95, 0.76, 0.38], 0.35);
        }
        let deep = smoothstep(0.0, 0.5, -slab(q, Self::WELL, 0.8));
        // The wall towards the lamp keeps it off the well's floor.
        let wall = smoothstep(3.2, 0.0, (q.x + Self::WELL.x).min(q.y + Self::WELL.y));
        let grain = 0.02 * noise(q * 4.0, self.seed);
        Finish { grain: [grain, grain], ..Finish::matt(self.colour, 0.42).dimmed(1.0 - deep * (0.35 + 0.3 * wall)) }
    }
    fn reach(&self) -> f32 {
        15.0
    }
    fn thickness(&self) -> f32 {
        4.6
    }
    fn brittle(&self) -> bool {
        true
    }
    fn recoloured(&self, rng: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        let wrong: Vec<Rgb> = self.wrong.iter().copied().filter(|&c| c != self.colour).collect();
        let colour = *wrong.get(rng.random_range(0..wrong.len().max(1)))?;
        Some(Arc::new(Self { colour, ..*self }))
    }
}

/// A rubber sealing ring.
pub(super) struct Seal {
    pub(super) seed: u32,
    pub(super) colour: Rgb,
}

impl Part for Seal {
    fn kind(&self) -> &'static str {
        "seal"
    }
    fn outline(&self, q: P) -> f32 {
        (q.length() - 5.4).abs() - 1.25
    }
    fn relief(&self, q: P) -> f32 {
        1.25 + 1.25 * shoulder(self.outline(q), 1.25)
    }
    fn finish(&self, q: P) -> Finish {
        Finish::matt(self.colour, 0.5).dimmed(1.0 + 0.08 * noise(q * 1.5, self.seed))
    }
    fn reach(&self) -> f32 {
        6.8
    }
    fn thickness(&self) -> f32 {
        2.5
    }
    fn recoloured(&self, _: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        Some(Arc::new(Self { colour: [0.50, 0.12, 0.03], ..*self }))
    }
}
