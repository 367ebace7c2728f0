//! How a surface looks under the station's lamp.

use super::geometry::{Pose, mix, p};

/// Red, green, blue; linear, 1 is white paper under the nominal light.
pub(super) type Rgb = [f32; 3];

/// What a surface is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    /// Diffuse colour of a dielectric, reflectance of a metal.
    pub(super) colour: Rgb,
    /// 0 paint, plastic, rubber; 1 bare metal.
    pub(super) metal: f32,
    /// 0 mirror, 1 chalk.
    pub(super) rough: f32,
    /// Tilt of the surface that is too fine for its relief: brushing, grain.
    pub(super) grain: [f32; 2],
}

impl Finish {
    pub(super) const fn matt(colour: Rgb, rough: f32) -> Self {
        Self { colour, metal: 0.0, rough, grain: [0.0, 0.0] }
    }

    pub(super) const fn metal(colour: Rgb, rough: f32) -> Self {
        Self { colour, metal: 1.0, rough, grain: [0.0, 0.0] }
    }

    /// This finish with its colour multiplied by `k`.
    pub(super) fn dimmed(self, k: f32) -> Self {
        Self { colour: self.colour.map(|c| c * k), ..self }
    }

    /// This finish at 0, `other` at 1.
    pub(super) fn towards(self, other: &Finish, t: f32) -> Self {
        let mut colour = self.colour;
        for (c, o) in colour.iter_mut().zip(other.colour) {
            *c = mix(*c, o, t);
        }
        Self {
            colour,
            metal: mix(self.metal, other.metal, t),
            rough: mix(self.rough, other.rough, t),
            grain: [mix(self.grain[0], other.grain[0], t), mix(self.grain[1], other.grain[1], t)],
        }
    }
}

/// One large soft lamp from the side, and the diffuse light of the hood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    /// Unit vector towards the lamp.
    pub(super) key: [f32; 3],
    /// Relative brightness of the lamp; 1 nominal.
    pub(super) power: f32,
}

impl Light {
    /// `azimuth` from the picture's x axis, `elevation` above the table, radians.
    pub(super) fn new(azimuth: f32, elevation: f32, power: f32) -> Self {
        let flat = elevation.cos();
        Self { key: [flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], power }
    }

    /// The same lamp, seen from the frame of a body that lies at `pose`.
    pub(super) fn turned(&self, pose: &Pose) -> Self {
        let flat = pose.local(p(self.key[0], self.key[1]) + pose.at);
        Self { key: [flat.x, flat.y, self.key[2]], ..*self }
    }

    /// Light sent to the camera, which looks straight down.
    ///
    /// `normal` is a unit vector, `open` the share of the hood that the point sees, `lit` the share of the lamp; 0 to 1.
    pub(super) fn shade(&self, normal: [f32; 3], finish: &Finish, open: f32, lit: f32) -> Rgb {
        let z = normal[2];
        let mirrored = [2.0 * z * normal[0], 2.0 * z * normal[1], 2.0 * z * z - 1.0];
        let seen = self.surroundings(mirrored, finish.rough, open, lit);
        let facing = dot(normal, self.key).max(0.0);
        let diffuse = 0.34 * (0.55 + 0.45 * z) * open + 0.80 * self.power * facing * lit;
        let graze = 1.0 - z.clamp(0.0, 1.0);
        let gloss = (0.04 + 0.5 * graze * graze * graze) * (1.0 - 0.85 * finish.rough);
        finish.colour.map(|c| mix(c * diffuse + gloss * seen, c * seen, finish.metal))
    }

    /// Light that a clear film above a surface adds.
    pub(super) fn film(&self, normal: [f32; 3]) -> f32 {
        let z = normal[2];
        let mirrored = [2.0 * z * normal[0], 2.0 * z * normal[1], 2.0 * z * z - 1.0];
        let graze = 1.0 - z.clamp(0.0, 1.0);
        (0.11 + 0.55 * graze) * self.surroundings(mirrored, 0.15, 1.0, 1.0)
    }

    /// What a surface of this roughness mirrors from direction `r`.
    fn surroundings(&self, r: [f32; 3], rough: f32, open: f32, lit: f32) -> f32 {
        let hood = (0.34 + 0.30 * r[2] + 0.16 * (r[0] * self.key[0] + r[1] * self.key[1])).max(0.04);
        let spread = 0.012 + 0.38 * rough * rough;
        let lobe = ((dot(r, self.key) - 1.0) / spread).exp();
        hood * open + self.power * lobe * lit * (0.34 / (spread + 0.14))
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
