//! An encoder with two channels: how far the belt went, and which way.

/// The channels jumped: a step between was not seen, so where the belt is is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step of the encoder was lost")]
pub struct StepLost;

/// Counts every edge of two channels a quarter of a period apart, four a period. A belt that shakes to and fro over one
/// edge counts up and down by one.
#[derive(Clone, Debug)]
pub struct Quadrature {
    a: bool,
    b: bool,
}

impl Quadrature {
    /// An encoder whose channels are at these levels.
    pub fn new(a: bool, b: bool) -> Self {
        Self { a, b }
    }

    /// The channels are at these levels now: 1 where A leads, −1 where B leads, 0 where nothing changed.
    ///
    /// # Errors
    /// [`StepLost`] where both changed; the count goes on from the new levels.
    pub fn update(&mut self, a: bool, b: bool) -> Result<i32, StepLost> {
        let (old_a, old_b) = (core::mem::replace(&mut self.a, a), core::mem::replace(&mut self.b, b));
        match (a != old_a, b != old_b) {
            (false, false) => Ok(0),
            (true, true) => Err(StepLost),
            // Forwards the levels go 00, 10, 11, 01: A differs from B after its own edge, and B equals A after its own.
            (true, false) => Ok(if a != b { 1 } else { -1 }),
            (false, true) => Ok(if a == b { 1 } else { -1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gray code of a place on the belt, a quarter of a period each.
    fn levels(place: i32) -> (bool, bool) {
        match place.rem_euclid(4) {
            0 => (false, false),
            1 => (true, false),
            2 => (true, true),
            _ => (false, true),
        }
    }

    #[test]
    fn the_count_is_the_place_wherever_the_belt_goes() {
        for start in 0..4 {
            let (a, b) = levels(start);
            let (mut encoder, mut place, mut counted, mut random) = (Quadrature::new(a, b), start, start, 1u32);
            for _ in 0..10_000 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                place += [-1, 0, 1, 1][(random >> 30) as usize];
                let (a, b) = levels(place);
                counted += encoder.update(a, b).unwrap();
                assert_eq!(counted, place);
            }
            assert!(place > 1000);
        }
    }

    #[test]
    fn a_step_that_was_not_seen_is_told_and_the_count_goes_on() {
        let mut encoder = Quadrature::new(false, false);
        assert_eq!(encoder.update(true, true), Err(StepLost));
        assert_eq!(encoder.update(false, true), Ok(1));
        assert_eq!(encoder.update(true, true), Ok(-1));
    }
}
