//! The kit: one tray for four variants. The connector's colour says which; each variant has its own arrangement of
//! screws, nuts and washers in twelve equal seats, and leaves three of them empty.
//!
//! Over the variants every seat holds every kind of part once, and once none: a wrong kit shows nothing that right kits
//! do not show at the same place. Only what belongs together tells.

use super::geometry::{degrees, p};
use super::hardware::{BLUE, Connector, GREEN, Nut, ORANGE, RED, Screw, Washer};
use super::light::Rgb;
use super::mark::{Decal, Mark};
use super::scene::{Item, Part, Scene};
use super::setup::{Setup, jitter, turn};
use super::tray::{self, PLATE, SEAT_DEPTH, shade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use std::sync::Arc;

/// The connector's colour in each variant.
const COLOURS: [Rgb; 4] = [BLUE, RED, GREEN, ORANGE];
const COLUMNS: [f32; 4] = [-31.5, -10.5, 10.5, 31.5];
const ROWS: [f32; 3] = [27.0, 8.5, -10.0];
/// What each variant has in each seat, row by row: **s**crew, **n**ut, **w**asher or nothing. No two seats follow one
/// another through the variants.
const SEATS: [[u8; 4]; 12] = [
    *b"snw ", *b" wns", *b"ns w", *b"w sn", *b"n ws", *b"sw n", *b" nsw", *b"wsn ", *b"wn s", *b"s nw", *b"nws ",
    *b" swn",
];

/// One filled kit.
pub(super) fn kit(setup: &Setup, rng: &mut ChaCha8Rng) -> Scene {
    let mut scene = tray::plate(setup, rng);
    let variant = rng.random_range(0..COLOURS.len());
    let floor = scene.items[PLATE].top() - SEAT_DEPTH;

    let mut recess = Decal::pressed(PLATE, Mark::slab(p(0.0, -27.5), p(14.2, 8.9), 2.0), SEAT_DEPTH, 0.8);
    recess.tint = Some(shade());
    scene.decals.push(recess);
    let connector = Connector { seed: rng.random(), colour: COLOURS[variant], wrong: &COLOURS };
    let at = jitter(p(0.0, -28.5), 0.25, rng);
    scene.items.push(Item::new(Arc::new(connector), at, turn(degrees(1.0), rng), floor, false));

    let places = ROWS.iter().flat_map(|&y| COLUMNS.iter().map(move |&x| p(x, y)));
    for (place, held) in places.zip(SEATS) {
        let mut seat = Decal::pressed(PLATE, Mark::disc(place, 6.4), SEAT_DEPTH, 0.8);
        seat.tint = Some(shade());
        scene.decals.push(seat);
        let (seed, angle) = (rng.random(), rng.random_range(0.0..TAU));
        let part: Arc<dyn Part> = match held[variant] {
            b's' => Arc::new(Screw { seed }),
            b'n' => Arc::new(Nut { seed }),
            b'w' => Arc::new(Washer { seed }),
            _ => {
                scene.vacant.push((place, floor));
                continue;
            }
        };
        scene.items.push(Item::new(part, jitter(place, 0.3, rng), angle, floor, true));
    }
    scene
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_holds_everything_once_and_every_variant_leaves_three_empty() {
        for seat in SEATS {
            let mut held = seat;
            held.sort_unstable();
            assert_eq!(&held, b" nsw", "{:?}", seat.map(char::from));
        }
        for variant in 0..COLOURS.len() {
            assert_eq!(SEATS.iter().filter(|seat| seat[variant] == b' ').count(), 3, "variant {variant}");
        }
        let distinct: std::collections::HashSet<_> = SEATS.iter().collect();
        assert_eq!(distinct.len(), SEATS.len());
    }
}
