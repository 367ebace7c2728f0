//! A camera that fails on purpose, the same way for the same seed.

use super::{Camera, CaptureError, Frame, Samples};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// `ENODEV`, what a driver says when its device was unplugged.
const NO_SUCH_DEVICE: i32 = 19;

/// How often each fault happens, as a probability for one trigger. The faults exclude one another, so the rates may
/// add up to 1 at most; what is over goes to none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// No picture before the deadline.
    pub timeout: f64,
    /// The device is gone; every later trigger fails too, until [`FaultyCamera::replug`].
    pub unplug: f64,
    /// A black picture: the light is out.
    pub black: f64,
    /// The rows from a random one on repeat that row: the transfer broke off.
    pub torn: f64,
    /// The lower half only: the sensor was set to another format.
    pub cropped: f64,
}

/// A [`Camera`] around another that shows seeded faults.
pub struct FaultyCamera<C> {
    camera: C,
    rates: FaultRates,
    random: ChaCha8Rng,
    unplugged: bool,
}

impl<C: Camera> FaultyCamera<C> {
    /// `camera` with faults at `rates`; the same seed gives the same faults at the same triggers.
    pub fn new(camera: C, rates: FaultRates, seed: u64) -> Self {
        Self { camera, rates, random: ChaCha8Rng::seed_from_u64(seed), unplugged: false }
    }

    /// Ends an unplug fault.
    pub fn replug(&mut self) {
        self.unplugged = false;
    }

    fn gone(&self) -> CaptureError {
        let reason = std::io::Error::from_raw_os_error(NO_SUCH_DEVICE).to_string();
        CaptureError::Device { camera: self.camera.name().to_owned(), reason }
    }

    fn draw(&mut self) -> Option<Fault> {
        let FaultRates { timeout, unplug, black, torn, cropped } = self.rates;
        let rates = [
            (timeout, Fault::Timeout),
            (unplug, Fault::Unplug),
            (black, Fault::Black),
            (torn, Fault::Torn),
            (cropped, Fault::Cropped),
        ];
        let mut at: f64 = self.random.random();
        rates.into_iter().find_map(|(rate, fault)| {
            at -= rate;
            (at < 0.0).then_some(fault)
        })
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Timeout,
    Unplug,
    Black,
    Torn,
    Cropped,
}

impl<C: Camera> Camera for FaultyCamera<C> {
    fn name(&self) -> &str {
        self.camera.name()
    }

    fn check(&mut self) -> Result<(), CaptureError> {
        if self.unplugged { Err(self.gone()) } else { self.camera.check() }
    }

    fn recycle(&mut self, frame: Frame) {
        self.camera.recycle(frame);
    }

    /// Triggers the camera inside, and then may spoil what it gave. A time-out fault returns at once: tests of what
    /// follows need not wait for it.
    fn trigger(&mut self, deadline: Duration) -> Result<Frame, CaptureError> {
        if self.unplugged {
            return Err(self.gone());
        }
        let fault = self.draw();
        // One draw a trigger whatever the fault, so that a change of the rates leaves later triggers as they were.
        let place = self.random.next_u32();
        let frame = self.camera.trigger(deadline)?;
        match fault {
            None => Ok(frame),
            Some(Fault::Timeout) => Err(CaptureError::Timeout { camera: self.camera.name().to_owned(), deadline }),
            Some(Fault::Unplug) => {
                self.unplugged = true;
                Err(self.gone())
            }
            Some(Fault::Black) => rebuilt(&frame, frame.height(), &|_| None),
            Some(Fault::Torn) => {
                let last = place as usize % frame.height();
                rebuilt(&frame, frame.height(), &|row| Some(row.min(last)))
            }
            Some(Fault::Cropped) => {
                let height = frame.height().div_ceil(2);
                rebuilt(&frame, height, &|row| Some(row + frame.height() - height))
            }
        }
    }
}

/// A frame of `height` rows, each a row of `frame` or black.
fn rebuilt(frame: &Frame, height: usize, source: &dyn Fn(usize) -> Option<usize>) -> Result<Frame, CaptureError> {
    let length = 3 * frame.width();
    fn rows<T: Clone + Default>(
        samples: &[T],
        length: usize,
        height: usize,
        source: &dyn Fn(usize) -> Option<usize>,
    ) -> Vec<T> {
        let row = |y| match source(y).and_then(|y| samples.get(y * length..(y + 1) * length)) {
            Some(row) => row.to_vec(),
            None => vec![T::default(); length],
        };
        (0..height).flat_map(row).collect()
    }
    let samples = match frame.samples() {
        Samples::Rgb8(samples) => Samples::Rgb8(rows(samples, length, height, source)),
        Samples::Rgb16(samples) => Samples::Rgb16(rows(samples, length, height, source)),
    };
    Frame::new(frame.width(), height, samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives frames whose samples are all the number of the trigger, row numbers in the first column.
    struct Counter(u8);

    impl Camera for Counter {
        fn name(&self) -> &str {
            "counter"
        }

        fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
            self.0 = self.0.wrapping_add(1);
            let samples = (0..16 * 40).flat_map(|i| [if i % 16 == 0 { 1 + (i / 16) as u8 } else { self.0 }; 3]);
            Frame::new(16, 40, Samples::Rgb8(samples.collect()))
        }
    }

    const WAIT: Duration = Duration::from_millis(5);

    fn only(rates: FaultRates) -> Result<Frame, CaptureError> {
        FaultyCamera::new(Counter(0), rates, 1).trigger(WAIT)
    }

    fn first_column(frame: &Frame) -> Vec<u8> {
        frame.to_rgb8().chunks(3 * 16).map(|row| row[0]).collect()
    }

    #[test]
    fn the_seed_alone_decides_which_triggers_fail() {
        let rates = FaultRates { timeout: 0.2, black: 0.2, torn: 0.2, cropped: 0.2, unplug: 0.0 };
        let run = |seed| {
            let mut camera = FaultyCamera::new(Counter(0), rates, seed);
            (0..64).map(|_| camera.trigger(WAIT).ok()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn rates_are_kept() {
        let rates = FaultRates { timeout: 0.25, black: 0.25, ..FaultRates::default() };
        let mut camera = FaultyCamera::new(Counter(0), rates, 3);
        let results: Vec<_> = (0..4000).map(|_| camera.trigger(WAIT)).collect();
        let timeouts = results.iter().filter(|r| matches!(r, Err(CaptureError::Timeout { .. }))).count();
        let black = results.iter().flatten().filter(|f| first_column(f)[0] == 0).count();
        // 1000 expected, six standard deviations (27.4) either side.
        assert!(timeouts.abs_diff(1000) < 165 && black.abs_diff(1000) < 165, "{timeouts} time-outs, {black} black");
        assert_eq!(results.iter().filter(|r| r.is_err()).count(), timeouts);
    }

    #[test]
    fn each_fault_looks_as_documented() {
        let error = only(FaultRates { timeout: 1.0, ..FaultRates::default() }).unwrap_err();
        assert_eq!(error.to_string(), "counter: gave no picture within 5 ms");
        let black = only(FaultRates { black: 1.0, ..FaultRates::default() }).unwrap();
        assert!(black.height() == 40 && black.to_rgb8().iter().all(|s| *s == 0));
        let cropped = only(FaultRates { cropped: 1.0, ..FaultRates::default() }).unwrap();
        assert_eq!(first_column(&cropped), (21..=40).collect::<Vec<u8>>());
        let torn = first_column(&only(FaultRates { torn: 1.0, ..FaultRates::default() }).unwrap());
        let last = torn[39];
        assert_eq!(torn, (1..=40).map(|row: u8| row.min(last)).collect::<Vec<_>>());
        assert!(only(FaultRates::default()).is_ok());
    }

    #[test]
    fn an_unplugged_camera_stays_gone_until_it_is_back() {
        let mut camera = FaultyCamera::new(Counter(0), FaultRates { unplug: 1.0, ..FaultRates::default() }, 1);
        for _ in 0..3 {
            assert!(camera.trigger(WAIT).unwrap_err().to_string().starts_with("counter: No such device"));
        }
        camera.rates.unplug = 0.0;
        assert!(camera.trigger(WAIT).is_err());
        camera.replug();
        assert!(camera.trigger(WAIT).is_ok());
    }
}
