//! What is at which address. Every request is answered from one look at the line, so that its values belong together.

use crate::run::Status;
use crate::signal::OutputLine;
use mudenet_board::Verdict;
use sha2::{Digest, Sha256};

/// Version of this map, in the last input register; what is here keeps its place.
const VERSION: u16 = 1;
/// Discrete inputs, from 0; the last is [`Inputs::overrun`]'s place among them.
const DISCRETE: [Option<OutputLine>; 11] = [
    Some(OutputLine::Ready),
    Some(OutputLine::Busy),
    Some(OutputLine::Ok),
    Some(OutputLine::Ng),
    Some(OutputLine::Error),
    Some(OutputLine::Heartbeat),
    Some(OutputLine::Missed),
    None,
    Some(OutputLine::Strobe),
    Some(OutputLine::RecipeAck),
    Some(OutputLine::Alarm),
];
/// Input registers of the part id; who reads the first of them has seen the result.
pub(super) const RESULT: std::ops::Range<usize> = 0..2;
/// Score of a part without one.
const NO_SCORE: i32 = i32::MIN;

/// Coils, by their addresses.
pub(super) const COILS: usize = 4;
pub(super) const TRIGGER: usize = 0;
pub(super) const ACK: usize = 1;
pub(super) const RECIPE_STROBE: usize = 2;
pub(super) const RESET: usize = 3;

/// The levels of the output lines. OVERRUN: a result came and went without this client having read its part id, since the
/// last RESET.
pub(super) fn discrete_inputs(status: &Status, overrun: bool) -> Vec<bool> {
    DISCRETE.iter().map(|line| line.map_or(overrun, |line| status.levels.get(line))).collect()
}

/// Results, counters and state; 32-bit values with the high word first.
pub(super) fn input_registers(status: &Status, settings: u32) -> Vec<u16> {
    let c = &status.counters;
    let mut registers = vec![];
    let (part, verdict, score, recipe) = match status.result {
        None => (0, 0, NO_SCORE, status.product.as_ref().map_or(0, |product| product.number)),
        Some(result) => {
            let verdict = match result.verdict() {
                Verdict::Accept => 1,
                Verdict::Reject => 2,
                Verdict::Fault => 3,
            };
            (result.part(), verdict, result.score().map_or(NO_SCORE, thousandths), result.recipe())
        }
    };
    wide(&mut registers, part);
    registers.push(verdict);
    wide(&mut registers, score.cast_unsigned());
    registers.push(recipe);
    registers.push(status.state.code().into());
    registers.push(status.last_error.map_or(0, |(code, _)| code.code().into()));
    for count in [c.parts(), c.accepted, c.rejected, c.faults, c.missed, c.unseen] {
        // They wrap, as a controller's counters do.
        wide(&mut registers, (count & u64::from(u32::MAX)) as u32);
    }
    wide(&mut registers, settings);
    registers.push(u16::try_from(status.rejects_in_a_row).unwrap_or(u16::MAX));
    registers.push(u16::try_from(status.on_the_way).unwrap_or(u16::MAX));
    registers.push(VERSION);
    registers
}

/// Score × 1000, at the ends of the range where it is beyond.
fn thousandths(score: f32) -> i32 {
    let value = (f64::from(score) * 1000.0).round();
    // A cast keeps to the range; the least value means that there is no score.
    (value as i32).max(NO_SCORE + 1)
}

fn wide(registers: &mut Vec<u16>, value: u32) {
    registers.push((value >> 16) as u16);
    registers.push((value & 0xFFFF) as u16);
}

/// Tells settings apart: of box.toml's text and of what the recipe in use says of the model, threshold and region.
pub(super) fn settings_checksum(config: &[u8], status: &Status) -> u32 {
    let mut hash = Sha256::new();
    hash.update(config);
    if let Some(product) = &status.product {
        hash.update(product.number.to_be_bytes());
        hash.update(product.name.as_bytes());
        hash.update(product.model.as_bytes());
        hash.update(product.threshold.to_be_bytes());
        hash.update(format!("{:?}", product.region));
    }
    hash.finalize().iter().take(4).fold(0, |value, byte| (value << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mudenet_board::wire::PartResult;
    use mudenet_board::{ErrorCode, State};

    #[test]
    fn the_map_is_that_of_the_documentation() {
        let mut status = Status { state: State::Ready, rejects_in_a_row: 70_000, on_the_way: 3, ..Status::default() };
        status.last_error = Some((ErrorCode::LateResult, 0));
        status.result = Some(PartResult::new(0x0001_0002, Verdict::Reject, 2.5, 7));
        status.counters.triggered = 0x1_0000_0005;
        status.counters.accepted = 0x0002_0003;
        let registers = input_registers(&status, 0xAABB_CCDD);
        let documented = [1, 2, 2, 0, 2500, 7, 4, 3, 0, 5, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0xAABB, 0xCCDD, 0xFFFF, 3, 1];
        assert_eq!(registers, documented);
        status.result = Some(PartResult::fault(9, 7));
        assert_eq!(input_registers(&status, 0)[..6], [0, 9, 3, 0x8000, 0, 7]);
        status.levels.set(OutputLine::Strobe, true);
        status.levels.set(OutputLine::Busy, true);
        let on: Vec<usize> =
            discrete_inputs(&status, true).iter().enumerate().filter(|(_, on)| **on).map(|(i, _)| i).collect();
        assert_eq!(on, [1, 7, 8]);
    }

    #[test]
    fn scores_beyond_the_range_are_at_its_ends() {
        assert_eq!(thousandths(-0.0015), -2);
        assert_eq!(thousandths(3e9), i32::MAX);
        assert_eq!(thousandths(-3e9), i32::MIN + 1);
    }

    #[test]
    fn the_checksum_follows_file_and_recipe() {
        use crate::run::Product;
        use std::sync::Arc;
        let product = |threshold| {
            let product = Product {
                number: 1,
                name: "a".into(),
                model: "b".into(),
                threshold,
                region: None,
                zones: vec![],
                baseline: None,
            };
            Status { product: Some(Arc::new(product)), ..Status::default() }
        };
        let sums = [
            settings_checksum(b"x", &Status::default()),
            settings_checksum(b"y", &Status::default()),
            settings_checksum(b"x", &product(1.0)),
            settings_checksum(b"x", &product(1.5)),
        ];
        for (i, sum) in sums.iter().enumerate() {
            assert!(!sums[..i].contains(sum), "{sums:?}");
        }
        assert_eq!(settings_checksum(b"x", &product(1.0)), sums[2]);
    }
}
