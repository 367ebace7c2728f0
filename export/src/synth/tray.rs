//! The assembly tray: a brushed plate with a gear, a connector, screws, nuts, washers and seals in their seats.

use super::geometry::{degrees, p};
use super::hardware::{BLUE, BRASS, Connector, Gear, Mat, Nut, Plate, Screw, Seal, WRONG, Washer};
use super::light::Finish;
use super::mark::{Decal, Mark};
use super::scene::{Item, Part, Scene};
use super::setup::{Setup, jitter, turn};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use std::sync::Arc;

const SCREWS: [(f32, f32); 4] = [(-33.0, 27.5), (-19.0, 27.5), (-5.0, 27.5), (9.0, 27.5)];
const NUTS: [(f32, f32); 2] = [(-33.0, 9.5), (-18.0, 9.5)];
const SEALS: [(f32, f32); 2] = [(0.0, 9.5), (18.0, 9.5)];
const WASHERS: [(f32, f32); 3] = [(5.0, -7.5), (19.5, -7.5), (34.0, -7.5)];
const VACANT: [(f32, f32); 3] = [(34.5, 9.5), (27.0, 27.5), (-3.5, -29.0)];
/// How deep a seat is milled.
pub(super) const SEAT_DEPTH: f32 = 1.2;
/// The plate's place in the scene's items.
pub(super) const PLATE: usize = 1;

/// One assembled tray.
pub(super) fn tray(setup: &Setup, rng: &mut ChaCha8Rng) -> Scene {
    let mut scene = plate(setup, rng);
    let top = scene.items[PLATE].top();
    scene.vacant = VACANT.map(|(x, y)| (p(x, y), top)).to_vec();
    for (x, y) in [(-39.0, -34.0), (39.0, -34.0), (-39.0, 34.0), (39.0, 34.0)] {
        let mut hole = Decal::pressed(PLATE, Mark::disc(p(x, y), 2.1), 1.6, 0.7);
        hole.tint = Some((Finish::matt([0.012, 0.012, 0.013], 0.9), 0.9));
        scene.decals.push(hole);
    }

    let angle = rng.random_range(0.0..TAU);
    let gear = Gear { seed: rng.random(), metal: BRASS };
    seat(&mut scene, Arc::new(gear), (-24.0, -17.5), angle, 13.4, rng);
    let connector = Connector { seed: rng.random(), colour: BLUE, wrong: &WRONG };
    let at = jitter(p(19.0, -26.0), 0.25, rng);
    let mut recess = Decal::pressed(PLATE, Mark::slab(p(19.0, -25.5), p(14.2, 8.9), 2.0), SEAT_DEPTH, 0.8);
    recess.tint = Some(shade());
    scene.decals.push(recess);
    scene.items.push(Item::new(Arc::new(connector), at, turn(degrees(1.0), rng), 2.7 - SEAT_DEPTH, true));
    for at in WASHERS {
        let part = Washer { seed: rng.random() };
        seat(&mut scene, Arc::new(part), at, 0.0, 6.2, rng);
    }
    for at in SEALS {
        let part = Seal { seed: rng.random(), colour: [0.022, 0.022, 0.024] };
        seat(&mut scene, Arc::new(part), at, 0.0, 7.5, rng);
    }
    for at in NUTS {
        let part = Nut { seed: rng.random() };
        let angle = rng.random_range(0.0..TAU);
        seat(&mut scene, Arc::new(part), at, angle, 6.3, rng);
    }
    for at in SCREWS {
        let part = Screw { seed: rng.random() };
        let angle = rng.random_range(0.0..TAU);
        seat(&mut scene, Arc::new(part), at, angle, 5.5, rng);
    }
    scene
}

/// A brushed plate on a mat, with nothing in it.
pub(super) fn plate(setup: &Setup, rng: &mut ChaCha8Rng) -> Scene {
    let half = p(43.5, 38.5);
    let mat = Mat { seed: rng.random(), colour: [0.030, 0.033, 0.038] };
    let plate = Plate { half, seed: rng.random(), streaks: rng.random_range(0.7..1.1) };
    setup.scene(vec![
        Item::new(Arc::new(mat), p(0.0, 0.0), 0.0, 0.0, false),
        Item::new(Arc::new(plate), p(0.0, 0.0), 0.0, 0.0, false),
    ])
}

/// Mills a round seat and puts `part` into it.
fn seat(scene: &mut Scene, part: Arc<dyn Part>, (x, y): (f32, f32), angle: f32, r: f32, rng: &mut ChaCha8Rng) {
    let mut recess = Decal::pressed(PLATE, Mark::disc(p(x, y), r), SEAT_DEPTH, 0.8);
    recess.tint = Some(shade());
    scene.decals.push(recess);
    scene.items.push(Item::new(part, jitter(p(x, y), 0.3, rng), angle, 2.7 - SEAT_DEPTH, true));
}

/// The milled floor of a seat: duller than the brushed face, and deeper in the shade.
pub(super) fn shade() -> (Finish, f32) {
    (Finish::metal([0.36, 0.365, 0.375], 0.72), 0.9)
}
