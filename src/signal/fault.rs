use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Message, Signal, SignalError};

/// How often a [`FaultSignal`] does what; chances from 0 to 1, tried in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// The message is refused with [`SignalError::Disconnected`].
    pub refused: f64,
    /// The message vanishes, as on a broken wire; the sender does not learn of it.
    pub lost: f64,
    /// The message is sent twice.
    pub repeated: f64,
    /// The message is sent after the next one.
    pub delayed: f64,
}

/// Another signal with faults drawn from a seed.
pub struct FaultSignal<S> {
    inner: S,
    rates: FaultRates,
    rng: ChaCha8Rng,
    held: Option<Message>,
}

impl<S: Signal> FaultSignal<S> {
    /// Wraps `inner`; the same seed and messages give the same faults. Rates outside 0–1 count as the nearer end.
    pub fn new(inner: S, rates: FaultRates, seed: u64) -> Self {
        Self { inner, rates, rng: ChaCha8Rng::seed_from_u64(seed), held: None }
    }

    /// What is behind the faults.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    fn happens(&mut self, rate: f64) -> bool {
        self.rng.random::<f64>() < rate
    }
}

impl<S: Signal> Signal for FaultSignal<S> {
    fn send(&mut self, message: &Message) -> Result<(), SignalError> {
        let [refused, lost, repeated, delayed] =
            [self.rates.refused, self.rates.lost, self.rates.repeated, self.rates.delayed]
                .map(|rate| self.happens(rate));
        if refused {
            return Err(SignalError::Disconnected { device: "fault injection".to_owned() });
        }
        if lost {
            return Ok(());
        }
        if delayed && self.held.is_none() {
            self.held = Some(*message);
            return Ok(());
        }
        self.inner.send(message)?;
        if repeated {
            self.inner.send(message)?;
        }
        match self.held.take() {
            Some(held) => self.inner.send(&held),
            None => Ok(()),
        }
    }

    fn receive(&mut self) -> Option<Result<Message, SignalError>> {
        self.inner.receive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{SimulatedLine, Wire};

    fn run(rates: FaultRates, seed: u64) -> (String, usize) {
        let mut signal = FaultSignal::new(SimulatedLine::new(Wire::Ascii, 1 << 20), rates, seed);
        let refused = (0..1000).filter(|part| signal.send(&Message::Ack { part: *part }).is_err()).count();
        (String::from_utf8(signal.inner_mut().take()).unwrap(), refused)
    }

    fn only(part: u32) -> String {
        format!("A,{part}\r\n")
    }

    #[test]
    fn without_rates_nothing_changes() {
        let (line, refused) = run(FaultRates::default(), 1);
        assert_eq!(line, (0..1000).map(only).collect::<String>());
        assert_eq!(refused, 0);
    }

    #[test]
    fn certain_faults_are_what_they_say() {
        assert_eq!(run(FaultRates { refused: 1.0, ..Default::default() }, 1), (String::new(), 1000));
        assert_eq!(run(FaultRates { lost: 1.0, ..Default::default() }, 1), (String::new(), 0));
        let twice: String = (0..1000).map(|part| only(part).repeat(2)).collect();
        assert_eq!(run(FaultRates { repeated: 1.0, ..Default::default() }, 1), (twice, 0));
        let swapped: String = (0..500).map(|pair| only(2 * pair + 1) + &only(2 * pair)).collect();
        assert_eq!(run(FaultRates { delayed: 1.0, ..Default::default() }, 1), (swapped, 0));
    }

    #[test]
    fn the_seed_decides() {
        let rates = FaultRates { refused: 0.1, lost: 0.1, repeated: 0.1, delayed: 0.1 };
        assert_eq!(run(rates, 5), run(rates, 5));
        assert_ne!(run(rates, 5), run(rates, 6));
    }
}
