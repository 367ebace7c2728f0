//! The inspection station: how the product lies under the camera and how the lamp stands at that moment.

use super::geometry::{P, Pose, degrees, p};
use super::light::Light;
use super::render::FIELD;
use super::scene::{Item, Scene};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Greatest offset of the product from the picture's centre along each axis, scene units.
const OFFSET: f32 = 0.8;
/// Greatest turn of the product, degrees.
const TURN: f32 = 2.0;

/// The station when one picture is taken.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) frame: Pose,
    pub(super) light: Light,
    /// Gain of the camera relative to the nominal one; with the lamp's drift within ±8 %.
    pub(super) exposure: f32,
}

impl Setup {
    /// The setup of picture `index`: the lamp drifts slowly along the pictures (`drift`: the phases of the drift, the
    /// same for all pictures of a data set), everything else is drawn anew.
    pub(super) fn drawn(index: u32, drift: [f32; 2], rng: &mut ChaCha8Rng) -> Self {
        let time = index as f32;
        let slow = 0.6 * (time / 67.0 * TAU + drift[0]).sin() + 0.4 * (time / 19.0 * TAU + drift[1]).sin();
        let power = 1.0 + 0.05 * slow;
        let azimuth = degrees(-128.0) + degrees(2.0) * slow + turn(degrees(1.5), rng);
        let elevation = degrees(52.0) + turn(degrees(1.0), rng);
        let at = jitter(p(0.5 * FIELD, 0.5 * FIELD), OFFSET, rng);
        Self {
            frame: Pose::new(at, turn(degrees(TURN), rng)),
            light: Light::new(azimuth, elevation, power),
            exposure: 1.0 + rng.random_range(-0.025..0.025),
        }
    }

    /// A scene of `items` without marks.
    pub(super) fn scene(&self, items: Vec<Item>) -> Scene {
        Scene {
            items,
            decals: Vec::new(),
            light: self.light.turned(&self.frame),
            frame: self.frame,
            vacant: Vec::new(),
            shadows: true,
        }
    }
}

/// `at`, moved by up to `most` along each axis; small moves are likelier.
pub(super) fn jitter(at: P, most: f32, rng: &mut ChaCha8Rng) -> P {
    at + p(turn(most, rng), turn(most, rng))
}

/// −`most` to `most`; small values are likelier.
pub(super) fn turn(most: f32, rng: &mut ChaCha8Rng) -> f32 {
    most * 0.5 * (rng.random_range(-1.0f32..1.0) + rng.random_range(-1.0f32..1.0))
}
