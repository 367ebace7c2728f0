//! Logical defects: parts left out, added, swapped or exchanged.

use super::defect::Defect;
use super::geometry::Pose;
use super::scene::{Item, Scene};
use super::setup::jitter;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// Parts that reach further do not fit into each other's places, nor into a vacant one.
const SMALL: f32 = 7.0;

/// Composes `good` wrongly: the scene as it should be, with what will change flagged, and the defective one. None where
/// the scene offers no fitting part, or for a structural defect.
pub(super) fn mix_up(good: &Scene, defect: Defect, rng: &mut ChaCha8Rng) -> Option<(Scene, Scene)> {
    let (mut before, mut after) = (good.clone(), good.clone());
    match defect {
        Defect::MissingPart => {
            let n = pick(good, |i| i.loose, rng)?;
            before.items[n].flagged = true;
            after.items[n].gone = true;
        }
        Defect::ExtraPart => {
            let n = pick(good, |i| i.loose && i.part.reach() < SMALL, rng)?;
            let &(place, base) = good.vacant.get(rng.random_range(0..good.vacant.len().max(1)))?;
            let at = jitter(place, 0.4, rng);
            let mut extra = good.items[n].clone();
            extra.pose = Pose::new(at, rng.random_range(0.0..TAU));
            extra.base = base;
            extra.flagged = true;
            after.items.push(extra);
        }
        Defect::SwappedParts => {
            let a = pick(good, |i| i.loose && i.part.reach() < SMALL, rng)?;
            let kind = good.items[a].part.kind();
            let b = pick(good, |i| i.loose && i.part.reach() < SMALL && i.part.kind() != kind, rng)?;
            for n in [a, b] {
                before.items[n].flagged = true;
                after.items[n].flagged = true;
            }
            after.items[a].part = good.items[b].part.clone();
            after.items[b].part = good.items[a].part.clone();
        }
        Defect::WrongColour => {
            let probe = rng.clone();
            let n = pick(good, |i| i.part.recoloured(&mut probe.clone()).is_some(), rng)?;
            let other = good.items[n].part.recoloured(rng)?;
            before.items[n].flagged = true;
            after.items[n].flagged = true;
            after.items[n].part = other;
        }
        _ => return None,
    }
    Some((before, after))
}

/// One of the items that `fits`.
fn pick(scene: &Scene, fits: impl Fn(&Item) -> bool, rng: &mut ChaCha8Rng) -> Option<usize> {
    let fitting: Vec<usize> = (0..scene.items.len()).filter(|&n| fits(&scene.items[n])).collect();
    if fitting.is_empty() { None } else { Some(fitting[rng.random_range(0..fitting.len())]) }
}
