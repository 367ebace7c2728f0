//! One input line without its bounces.

use crate::Micros;

/// A change of a line that stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The new level; `true` is active.
    pub level: bool,
    /// When the line first took it.
    pub at: Micros,
}

/// Lets a level through once it stayed for a while.
#[derive(Clone, Debug)]
pub struct Debounce {
    stable_for: Micros,
    level: bool,
    candidate: Option<Micros>,
}

impl Debounce {
    /// A line at `level`; a change counts after `stable_for` without another one (1 ms is usual).
    pub fn new(stable_for: Micros, level: bool) -> Self {
        Self { stable_for, level, candidate: None }
    }

    /// The line was seen at `level`. At most one edge comes of it.
    pub fn update(&mut self, level: bool, now: Micros) -> Option<Edge> {
        let settled = self.poll(now);
        if level == self.level {
            self.candidate = None;
        } else if self.candidate.is_none() {
            self.candidate = Some(now);
        }
        settled.or_else(|| self.poll(now))
    }

    /// Time has passed.
    pub fn poll(&mut self, now: Micros) -> Option<Edge> {
        let at = self.candidate.filter(|since| now.saturating_sub(*since) >= self.stable_for)?;
        self.candidate = None;
        self.level = !self.level;
        Some(Edge { level: self.level, at })
    }

    /// The level without bounces.
    pub fn level(&self) -> bool {
        self.level
    }

    /// When [`Debounce::poll`] is next worth calling.
    pub fn deadline(&self) -> Option<Micros> {
        self.candidate.map(|since| since.saturating_add(self.stable_for))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounce_is_no_edge_and_a_stable_change_is_one() {
        let mut line = Debounce::new(1000, false);
        for (level, now) in [(true, 0), (false, 300), (true, 400), (true, 900)] {
            assert_eq!(line.update(level, now), None);
        }
        assert_eq!(line.deadline(), Some(1400));
        assert_eq!(line.poll(1399), None);
        assert_eq!(line.poll(1400), Some(Edge { level: true, at: 400 }));
        assert_eq!(line.update(true, 99_000), None, "held high, it does not fire again");
        assert_eq!(line.update(false, 100_000), None);
        assert_eq!(
            line.update(true, 101_000),
            Some(Edge { level: false, at: 100_000 }),
            "stable until it changed again"
        );
        assert_eq!(line.poll(102_000), Some(Edge { level: true, at: 101_000 }));
    }

    #[test]
    fn without_a_time_every_change_is_an_edge() {
        let mut line = Debounce::new(0, false);
        assert_eq!(line.update(true, 5), Some(Edge { level: true, at: 5 }));
        assert_eq!(line.update(false, 5), Some(Edge { level: false, at: 5 }));
    }
}
