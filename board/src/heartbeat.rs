//! The watch over a peer's heartbeat.

use crate::Micros;

/// Periods without a beat after which a peer counts as lost.
pub const PERIODS: u64 = 3;

/// Watches a peer that counts its beats.
#[derive(Clone, Debug)]
pub struct HeartbeatWatch {
    period: Micros,
    last: Option<(u16, Micros)>,
}

impl HeartbeatWatch {
    /// A watch over a peer that beats once a `period`; it counts as lost until its first beat.
    pub fn new(period: Micros) -> Self {
        Self { period, last: None }
    }

    /// A beat arrived. The same number again is no sign of life: a stuck sender or a repeated message.
    pub fn beat(&mut self, beat: u16, now: Micros) {
        if self.last.is_none_or(|(last, _)| last != beat) {
            self.last = Some((beat, now));
        }
    }

    /// Whether the peer is lost.
    pub fn lost(&self, now: Micros) -> bool {
        self.deadline().is_none_or(|deadline| now >= deadline)
    }

    /// When the peer counts as lost unless it beats before; `None` before the first beat.
    pub fn deadline(&self) -> Option<Micros> {
        self.last.map(|(_, at)| at.saturating_add(self.period.saturating_mul(PERIODS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::millis;

    #[test]
    fn lost_before_the_first_beat_and_three_periods_after_the_last() {
        let mut watch = HeartbeatWatch::new(millis(1000));
        assert!(watch.lost(0));
        watch.beat(7, millis(100));
        assert!(!watch.lost(millis(3099)));
        assert!(watch.lost(millis(3100)));
        watch.beat(8, millis(5000));
        assert!(!watch.lost(millis(5000)), "it is back");
    }

    #[test]
    fn a_stuck_sender_is_lost() {
        let mut watch = HeartbeatWatch::new(millis(1000));
        for second in 0..10 {
            watch.beat(7, millis(1000 * second));
        }
        assert!(watch.lost(millis(3000)));
    }
}
