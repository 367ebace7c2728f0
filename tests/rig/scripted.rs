//! A camera with a script, a model that reads its verdict off the picture, recipes and outputs.

use super::*;
use mudenet_edge::capture::{Camera, CaptureError, Frame, Samples};
use mudenet_edge::infer::{InferError, LevelScores, Scorer};
use mudenet_edge::inspector::Inspector;
use mudenet_edge::map::{Gaussian, Range, Ranges, Scoring, Upsample, Weights};
use mudenet_edge::preprocess::{ModelInput, Preprocess, ResizeRule};

/// What the camera does for a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shot {
    /// A picture of this grey; the model's score is (level / 128)², and more than 1 is bad. The last row differs from one
    /// picture to the next.
    Level(u8),
    /// The same as the last one, to the bit.
    Frozen,
    /// A good picture, late.
    Slow(Duration),
    Corrupt,
    Unplugged,
    Panic,
}

pub struct Scripted<F> {
    script: F,
    next: u32,
    fresh: u8,
    spare: Option<Vec<u8>>,
}

impl<F> Scripted<F> {
    /// A camera that asks `script` what to do for each part, from 0.
    pub fn new(script: F) -> Self {
        Self { script, next: 0, fresh: 0, spare: None }
    }
}

impl<F: FnMut(u32) -> Shot + Send> Camera for Scripted<F> {
    fn name(&self) -> &str {
        "scripted"
    }

    fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
        let shot = (self.script)(self.next);
        self.next += 1;
        let mut level = 100;
        match shot {
            Shot::Level(grey) => {
                level = grey;
                self.fresh = self.fresh.wrapping_add(1);
            }
            Shot::Frozen => {}
            Shot::Slow(time) => std::thread::sleep(time),
            Shot::Corrupt => return Err(CaptureError::Decode { path: "frame".into(), reason: "it ends early".into() }),
            Shot::Unplugged => {
                return Err(CaptureError::Device { camera: "scripted".into(), reason: "unplugged".into() });
            }
            Shot::Panic => panic!("the driver crashed"),
        }
        let mut samples = self.spare.take().unwrap_or_default();
        samples.clear();
        samples.resize(3 * SIDE * SIDE, level);
        // One sample that no test looks at.
        if let Some(last) = samples.last_mut() {
            *last = self.fresh;
        }
        Frame::new(SIDE, SIDE, Samples::Rgb8(samples))
    }

    fn recycle(&mut self, frame: Frame) {
        self.spare = match frame.into_samples() {
            Samples::Rgb8(samples) => Some(samples),
            Samples::Rgb16(_) => None,
        };
    }
}

/// Reads the verdict off the first pixel.
struct Reads;

impl Scorer for Reads {
    fn score(&mut self, input: &ModelInput) -> Result<LevelScores, InferError> {
        let level = (input.values()[0] * 255.0).round() as u8;
        let score = match level {
            NAN_LEVEL => f32::NAN,
            FAILING_LEVEL => return Err(InferError::Run("out of memory".into())),
            PANIC_LEVEL => panic!("an index out of range"),
            SLOW_LEVEL => {
                std::thread::sleep(Duration::from_millis(900));
                0.5
            }
            level => (f32::from(level) / 128.0).powi(2),
        };
        LevelScores::new(1, 4, 4, vec![score; 16], vec![0.0; 16])
    }
}

pub fn pipeline() -> Pipeline {
    let unit = vec![Range { min: 0.0, max: 1.0 }];
    let scoring = Scoring {
        ranges: Ranges { structural: unit.clone(), logical: unit, ..Ranges::default() },
        epsilon: 0.0,
        clamp: false,
        margin: 0,
        weights: Weights::default(),
        upsample: Upsample::HalfPixel,
        gaussian: Gaussian::new(0.0),
        top: std::num::NonZeroUsize::MIN,
    };
    let preprocess =
        Preprocess { height: SIDE, width: SIDE, mean: [0.0; 3], std: [1.0; 3], resize: ResizeRule::Triangle };
    Pipeline::new(Inspector::from_parts(preprocess, scoring, Box::new(Reads), 1.0))
}

/// Recipes 1 to 7; all but the first take their time.
pub struct Seven(pub Duration);

impl Recipes for Seven {
    fn load(&mut self, number: u16) -> Result<Prepared, String> {
        if number > 1 {
            std::thread::sleep(self.0);
        }
        match number {
            1..=7 => {
                let prepared = Prepared::new(number, format!("recipe {number}"), String::new(), pipeline());
                Ok(prepared.with_baseline(baseline()))
            }
            _ => Err("there is no such recipe".into()),
        }
    }
}

/// Good parts of the grey levels 90 to 110.
fn baseline() -> Baseline {
    let levels: Vec<f32> = (90u8..=110).map(f32::from).collect();
    let scores: Vec<f32> = levels.iter().map(|level| (level / 128.0).powi(2)).collect();
    let brightness: Vec<f32> = levels.iter().map(|level| level / 255.0).collect();
    Baseline::new(&scores, &brightness, &[])
}

/// A picture of one grey.
pub fn frame(level: u8) -> Frame {
    Frame::new(SIDE, SIDE, Samples::Rgb8(vec![level; 3 * SIDE * SIDE])).unwrap()
}

/// A camera that always gives a good picture, at once, a record that keeps nothing, and these outputs.
pub fn devices(outputs: Box<dyn Outputs>) -> Devices {
    Devices {
        camera: Box::new(Scripted::new(|_| Shot::Level(100))),
        outputs,
        signal: None,
        sink: Box::new(()),
        recipes: Box::new(Seven(Duration::ZERO)),
        watchdog: Box::new(()),
    }
}
