//! The box's digital outputs, by name.

use super::SignalError;
use mudenet_board::gate::Wiring;
use mudenet_board::machine::Lines;
use serde::Deserialize;

/// An output line of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OutputLine {
    /// A trigger would be taken.
    Ready,
    /// A part is being inspected.
    Busy,
    /// The part is good.
    Ok,
    /// The part is not good.
    Ng,
    /// OK and NG are valid.
    Strobe,
    /// The result is a fault, the camera or the controller's heartbeat is lost, or an error waits for RESET.
    Error,
    /// Toggles once a second while the inspection loop is alive.
    Heartbeat,
    /// The gate's pulse: REJECT, or ACCEPT where a pulse accepts.
    Gate,
    /// A trigger was missed since the last RESET.
    Missed,
    /// Too many rejects in a row since the last RESET.
    Alarm,
    /// The new recipe is in use.
    RecipeAck,
}

impl OutputLine {
    /// Every output line.
    pub const ALL: [OutputLine; 11] = [
        OutputLine::Ready,
        OutputLine::Busy,
        OutputLine::Ok,
        OutputLine::Ng,
        OutputLine::Strobe,
        OutputLine::Error,
        OutputLine::Heartbeat,
        OutputLine::Gate,
        OutputLine::Missed,
        OutputLine::Alarm,
        OutputLine::RecipeAck,
    ];

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The levels of all output lines; `true` is active, whatever the polarity of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels(u16);

impl Levels {
    /// The handshake lines of a machine, with the gate's and the alarm's level.
    pub fn new(lines: Lines, gate: bool, alarm: bool) -> Self {
        let mut levels = Self::default();
        for (line, level) in [
            (OutputLine::Ready, lines.ready),
            (OutputLine::Busy, lines.busy),
            (OutputLine::Ok, lines.ok),
            (OutputLine::Ng, lines.ng),
            (OutputLine::Strobe, lines.strobe),
            (OutputLine::Error, lines.error),
            (OutputLine::Heartbeat, lines.heartbeat),
            (OutputLine::Gate, gate),
            (OutputLine::Missed, lines.missed),
            (OutputLine::Alarm, alarm),
            (OutputLine::RecipeAck, lines.recipe_ack),
        ] {
            levels.set(line, level);
        }
        levels
    }

    /// What the lines are left at when nobody inspects: not ready, NG and ERROR, and the gate rejecting.
    pub fn safe(wiring: Option<Wiring>) -> Self {
        let lines = Lines { ng: true, error: true, ..Lines::default() };
        Self::new(lines, wiring == Some(Wiring::RejectPulse), false)
    }

    /// Level of one line.
    pub fn get(self, line: OutputLine) -> bool {
        self.0 & line.bit() != 0
    }

    /// Sets the level of one line.
    pub fn set(&mut self, line: OutputLine, level: bool) {
        if level {
            self.0 |= line.bit();
        } else {
            self.0 &= !line.bit();
        }
    }
}

/// Where the output lines lead to.
pub trait Outputs: Send {
    /// Sets all lines at once and returns at once.
    ///
    /// # Errors
    /// [`SignalError`]: the lines may have any level.
    fn set(&mut self, levels: Levels) -> Result<(), SignalError>;
}

/// A box without output lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOutputs;

impl Outputs for NoOutputs {
    fn set(&mut self, _levels: Levels) -> Result<(), SignalError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_own_level() {
        for line in OutputLine::ALL {
            let mut levels = Levels::default();
            levels.set(line, true);
            let active: Vec<OutputLine> = OutputLine::ALL.into_iter().filter(|l| levels.get(*l)).collect();
            assert_eq!(active, [line]);
            levels.set(line, false);
            assert_eq!(levels, Levels::default());
        }
    }

    #[test]
    fn the_safe_levels_reject_in_either_wiring() {
        for (wiring, gate) in [(None, false), (Some(Wiring::RejectPulse), true), (Some(Wiring::AcceptPulse), false)] {
            let safe = Levels::safe(wiring);
            let active: Vec<OutputLine> = OutputLine::ALL.into_iter().filter(|l| safe.get(*l)).collect();
            let mut expected = vec![OutputLine::Ng, OutputLine::Error];
            expected.extend(gate.then_some(OutputLine::Gate));
            assert_eq!(active, expected);
        }
    }
}
