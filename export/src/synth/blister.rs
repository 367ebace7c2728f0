//! The blister pack: twelve white tablets for the day and three blue caplets for the night under clear domes.

use super::dots::dots;
use super::geometry::{P, degrees, p};
use super::hardware::Mat;
use super::light::Finish;
use super::mark::{Decal, Mark};
use super::pills::{BLUE, Caplet, Card, Tablet, WHITE};
use super::scene::{Item, Part, Scene};
use super::setup::{Setup, jitter, turn};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use std::sync::Arc;

const COLUMNS: [f32; 4] = [-28.5, -9.5, 9.5, 28.5];
const ROWS: [f32; 3] = [-21.0, -3.0, 15.0];
const NIGHT: [f32; 3] = [-24.0, 0.0, 24.0];
const NIGHT_ROW: f32 = 30.5;
const CARD: usize = 1;
const CARD_TOP: f32 = 0.75;

/// One filled pack.
pub(super) fn blister(setup: &Setup, rng: &mut ChaCha8Rng) -> Scene {
    let mat = Mat { seed: rng.random(), colour: [0.028, 0.075, 0.060] };
    let card = Card { half: p(40.5, 40.0), seed: rng.random() };
    let mut scene = setup.scene(vec![
        Item::new(Arc::new(mat), p(0.0, 0.0), 0.0, 0.0, false),
        Item::new(Arc::new(card), p(0.0, 0.0), 0.0, 0.0, false),
    ]);
    let top = scene.items[CARD].top();
    for y in [-12.0, 6.0] {
        for x in [-19.0, 0.0, 19.0] {
            scene.vacant.push((p(x, y), top));
        }
    }
    for character in dots("LOT 2417  EXP 09.28", p(-33.0, -36.2), 0.62) {
        let mut print = Decal::pressed(CARD, Mark::specks(character), 0.0, 1.0);
        print.tint = Some((Finish::matt([0.03, 0.03, 0.05], 0.7), 0.08));
        scene.decals.push(print);
    }

    for y in ROWS {
        for x in COLUMNS {
            let part = Tablet { seed: rng.random(), colour: WHITE };
            let angle = rng.random_range(0.0..TAU);
            fill(&mut scene, Arc::new(part), p(x, y), angle, Mark::disc(p(x, y), 7.2), rng);
        }
    }
    for x in NIGHT {
        let part = Caplet { seed: rng.random(), colour: BLUE };
        let at = p(x, NIGHT_ROW);
        let angle = turn(degrees(8.0), rng);
        fill(&mut scene, Arc::new(part), at, angle, Mark::slab(at, p(9.4, 5.8), 5.8), rng);
    }
    scene
}

/// Puts `part` into a pocket and closes it.
fn fill(scene: &mut Scene, part: Arc<dyn Part>, at: P, angle: f32, pocket: Mark, rng: &mut ChaCha8Rng) {
    let mut floor = Decal::pressed(CARD, pocket.clone(), 0.0, 1.0);
    floor.tint = Some((Finish::metal([0.44, 0.445, 0.46], 0.5), 0.5));
    scene.decals.push(floor);
    let mut dome = Decal::pressed(CARD, pocket, -2.4, 4.4);
    dome.on = None;
    dome.clear = true;
    scene.decals.push(dome);
    scene.items.push(Item::new(part, jitter(at, 0.7, rng), angle, CARD_TOP, true));
}
