//! Structural defects: marks added to a scene.

use super::defect::Defect;
use super::geometry::{P, p};
use super::light::Finish;
use super::scene::{Decal, Mark, Scene};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Attempts to find a place before the caller has to draw another defect.
const TRIES: u32 = 64;

/// Damages `good`; none where no fitting place was found, or for a logical defect.
pub(super) fn damage(good: &Scene, defect: Defect, rng: &mut ChaCha8Rng) -> Option<Scene> {
    let mut scene = good.clone();
    let decal = match defect {
        Defect::Scratch => scratch(good, rng)?,
        Defect::Dent => dent(good, rng)?,
        Defect::Contamination => contamination(good, rng)?,
        Defect::Crack => crack(good, rng)?,
        Defect::ChippedEdge => {
            let (item, cut, fracture) = chip(good, rng)?;
            scene.items[item].cut = Some(cut);
            fracture
        }
        _ => return None,
    };
    scene.decals.push(Decal { flagged: true, ..decal });
    Some(scene)
}

fn scratch(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Decal> {
    for _ in 0..TRIES {
        let item = surface(scene, rng);
        let length = if item == 1 { rng.random_range(7.0..18.0) } else { rng.random_range(3.5..7.0) };
        let points = curve(spot(scene, item, rng)?, length, 0.16, 9, rng);
        if points.iter().all(|&q| shows(scene, item, q)) {
            let half_width = rng.random_range(0.26..0.42);
            let mut decal = Decal::pressed(item, Mark::path(points, half_width), 0.16, half_width);
            decal.tint = Some((bare(scene, item, 1.35), 0.35));
            return Some(decal);
        }
    }
    None
}

fn dent(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Decal> {
    for _ in 0..TRIES {
        let at = spot(scene, 1, rng)?;
        let r = rng.random_range(1.8..3.6);
        if (0..8).all(|n| shows(scene, 1, at + P::polar(n as f32 * TAU / 8.0, r * 1.1))) {
            let mark = Mark::blob(at, r, 0.12, rng.random());
            return Some(Decal::pressed(1, mark, r * rng.random_range(0.22..0.36), r * 0.8));
        }
    }
    None
}

fn contamination(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Decal> {
    for _ in 0..TRIES {
        let item = if rng.random_bool(0.6) { 1 } else { surface(scene, rng) };
        let at = spot(scene, item, rng)?;
        let (mark, depth, slope, finish, soft) = match rng.random_range(0..3) {
            0 => {
                let oil = Finish { rough: 0.25, ..Finish::matt([0.055, 0.032, 0.014], 0.25) };
                (Mark::blob(at, rng.random_range(1.1..2.4), 0.55, rng.random()), -0.22, 0.8, oil, 0.5)
            }
            1 => {
                let points = curve(at, rng.random_range(7.0..13.0), 0.5, 13, rng);
                (
                    Mark::path(points, rng.random_range(0.20..0.28)),
                    -0.2,
                    0.2,
                    Finish::matt([0.10, 0.018, 0.016], 0.8),
                    0.1,
                )
            }
            _ => {
                let grains = (0..rng.random_range(5..12)).map(|_| {
                    let offset = P::polar(rng.random_range(0.0..TAU), rng.random_range(0.0..2.6));
                    (at + offset, rng.random_range(0.22..0.55))
                });
                (Mark::specks(grains.collect()), -0.4, 0.4, Finish::matt([0.045, 0.032, 0.022], 0.85), 0.12)
            }
        };
        // Dirt may lie across several parts, not beside the product.
        let inside = (0..8).all(|n| on_product(scene, mark.at + P::polar(n as f32 * TAU / 8.0, mark.reach)));
        if inside {
            let tint = Some((finish, soft));
            return Some(Decal { on: None, mark, depth, slope, tint, clear: false, flagged: true });
        }
    }
    None
}

fn crack(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<Decal> {
    for _ in 0..TRIES {
        let (item, edge, inward) = edge(scene, rng)?;
        let length = scene.items[item].part.reach().min(16.0) * rng.random_range(0.55..1.1);
        let pieces = 8;
        let lean = inward + inward.across() * rng.random_range(-0.4..0.4);
        let mut points = vec![edge];
        for n in 1..=pieces {
            let sideways = inward.across() * (rng.random_range(-0.06..0.06) * length);
            points.push(edge + lean * (length * n as f32 / pieces as f32) + sideways);
        }
        if points[1..].iter().filter(|&&q| shows(scene, item, q)).count() >= 5 {
            let half_width = rng.random_range(0.16..0.26);
            let mut decal = Decal::pressed(item, Mark::path(points, half_width), 0.8, 0.2);
            decal.tint = Some((Finish::matt([0.012, 0.011, 0.010], 0.9), 0.14));
            return Some(decal);
        }
    }
    None
}

fn chip(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<(usize, Mark, Decal)> {
    for _ in 0..TRIES {
        let (item, edge, inward) = edge(scene, rng)?;
        let r = rng.random_range(1.2..2.2);
        let seed = rng.random();
        if !shows(scene, item, edge + inward * (1.5 * r)) {
            continue;
        }
        let cut = Mark::blob(edge - inward * (0.25 * r), r, 0.3, seed);
        let mut fracture =
            Decal::pressed(item, Mark::blob(edge - inward * (0.1 * r), r * 1.45, 0.35, seed ^ 77), 0.9, 0.8);
        fracture.tint = Some((bare(scene, item, 1.5), 0.25));
        return Some((item, cut, fracture));
    }
    None
}

/// The inside of an item's material, brought to light.
fn bare(scene: &Scene, item: usize, brighter: f32) -> Finish {
    let skin = scene.items[item].part.finish(p(scene.items[item].part.reach() * 0.5, 0.0));
    let colour = skin.colour.map(|c| (c * brighter + 0.04).min(0.95));
    Finish { colour, rough: if skin.metal > 0.5 { 0.5 } else { 0.9 }, grain: [0.0; 2], ..skin }
}

/// The product's body in half the cases, else any of its larger parts.
fn surface(scene: &Scene, rng: &mut ChaCha8Rng) -> usize {
    let large: Vec<usize> = (2..scene.items.len()).filter(|&n| scene.items[n].part.reach() > 6.0).collect();
    if large.is_empty() || rng.random_bool(0.5) { 1 } else { large[rng.random_range(0..large.len())] }
}

/// A point where `item` shows.
fn spot(scene: &Scene, item: usize, rng: &mut ChaCha8Rng) -> Option<P> {
    let body = scene.items.get(item)?;
    let reach = body.part.reach();
    (0..TRIES)
        .map(|_| body.pose.at + p(rng.random_range(-reach..reach), rng.random_range(-reach..reach)))
        .find(|&q| shows(scene, item, q) && body.distance(q) < -0.8)
}

/// A brittle item, a point on its outline that shows, and the direction inwards.
fn edge(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<(usize, P, P)> {
    let brittle: Vec<usize> = (1..scene.items.len()).filter(|&n| scene.items[n].part.brittle()).collect();
    if brittle.is_empty() {
        return None;
    }
    let item = brittle[rng.random_range(0..brittle.len())];
    let body = &scene.items[item];
    let outwards = P::polar(rng.random_range(0.0..TAU), 1.0);
    let steps = (body.part.reach() * 10.0) as u32;
    let outermost =
        (0..steps).rev().map(|n| body.pose.at + outwards * (n as f32 * 0.1)).find(|&q| body.distance(q) < 0.0)?;
    Some((item, outermost, outwards * -1.0))
}

/// A gently bent line of `count` points through `at`.
fn curve(at: P, length: f32, bend: f32, count: usize, rng: &mut ChaCha8Rng) -> Vec<P> {
    let step = length / (count - 1) as f32;
    let mut heading = rng.random_range(0.0..TAU);
    let mut turn = rng.random_range(-bend..bend);
    let mut q = at - P::polar(heading, 0.5 * length);
    let mut points = vec![q];
    for _ in 1..count {
        heading += turn * step * 0.25;
        turn = (turn + rng.random_range(-bend..bend) * 0.5).clamp(-bend, bend);
        q = q + P::polar(heading, step);
        points.push(q);
    }
    points
}

fn shows(scene: &Scene, item: usize, q: P) -> bool {
    scene.top(&scene.near(q, 0.0), q).0 == item
}

fn on_product(scene: &Scene, q: P) -> bool {
    scene.top(&scene.near(q, 0.0), q).0 != 0
}
