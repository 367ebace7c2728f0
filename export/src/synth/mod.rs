//! Made product images in the layout of MVTec LOCO AD, with exact masks: for demonstrations and for tests that cannot
//! ship real images.
//!
//! | stage | in → out |
//! |---|---|
//! | `setup` | seed, index → how the product lies, how the lamp stands |
//! | `tray`, `blister`, `kit` | setup → scene of one good product |
//! | `damage`, `mixup` | good scene → defective scene |
//! | `render` | scene → light per pixel, and the pixels of the defect |
//! | `camera` | light → picture |
//! | [`dataset`] | pictures → files |
//!
//! A picture depends on product, seed, set, index and size alone: a larger data set begins with the smaller one's
//! pictures, and at another size the same scene is seen.
//!
//! A mask holds the pixels whose own surface the defect changed: the footprint of a missing, added or recoloured part,
//! both footprints of swapped ones, the damaged surface otherwise. Shadows that appear or vanish around it, and the
//! lens's blur, are not part of it.

mod blister;
mod camera;
mod damage;
pub mod dataset;
mod defect;
mod dots;
mod geometry;
mod hardware;
mod kit;
mod light;
mod mark;
mod mixup;
mod pills;
mod render;
mod scene;
mod setup;
#[cfg(test)]
mod tests;
mod tray;

use camera::{Camera, tone};
pub use dataset::{Plan, SynthError};
pub use defect::{Defect, DefectEntry};
use image::{GrayImage, Luma, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use render::{Exposure, render, render_within, window};
use scene::Scene;
use std::f32::consts::TAU;

/// Smallest picture, pixels along each side.
pub const MIN_SIZE: u32 = 64;
/// Largest picture, pixels along each side.
pub const MAX_SIZE: u32 = 2048;

/// Pixels along each side of the rendering that decides whether a defect is seen.
const TRIAL_SIZE: u32 = 160;
/// Mean difference of the brightest-changing channel that a defect must make inside its mask, grey levels of 255.
const VISIBLE: f32 = 11.0;
/// Pixels of the trial rendering that a defect must cover.
const TRIAL_AREA: usize = 14;
/// Defects drawn before the last one is taken as it is.
const DRAWS: u32 = 200;

/// What is on the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Product {
    /// An assembly tray: gear, connector, screws, nuts, washers and seals on a brushed plate.
    Tray,
    /// A blister pack: white tablets and blue caplets under clear domes.
    Blister,
    /// A kit in four variants: the connector's colour says what lies in which of twelve seats. A wrong kit shows
    /// nothing that right kits do not show at the same place.
    Kit,
}

/// A part of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Set {
    /// Good products to train on.
    Train,
    /// Good products to calibrate on.
    Validation,
    /// Good products to test on.
    TestGood,
    /// Wrongly composed products; the kinds of [`Defect::LOGICAL`] take turns.
    Logical,
    /// Damaged products; the kinds of [`Defect::STRUCTURAL`] take turns.
    Structural,
}

/// One picture to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// What is on it.
    pub product: Product,
    /// The data set's seed.
    pub seed: u64,
    /// The part of the data set.
    pub set: Set,
    /// Its number within the set, from 0.
    pub index: u32,
    /// Pixels along each side, [`MIN_SIZE`] to [`MAX_SIZE`].
    pub size: u32,
}

/// A picture and, for a defective product, its ground truth.
#[derive(Clone, Debug)]
pub struct Photo {
    /// The picture.
    pub image: RgbImage,
    /// 0, and the defect's [`DefectEntry::pixel_value`] where it is; none for a good product.
    pub mask: Option<GrayImage>,
}

/// What a random stream is used for: each use of each picture has its own.
#[derive(Clone, Copy)]
enum Purpose {
    Product,
    Defect,
    Camera,
    Noise,
}

/// The scene of one picture, as it should be and as it is.
struct Staged {
    /// The good scene; what the defect will change is flagged.
    good: Scene,
    /// The defective scene; what the defect changed is flagged.
    defective: Option<Scene>,
    camera: Camera,
}

impl Shot {
    /// The defect that this picture shows.
    pub fn defect(&self) -> Option<Defect> {
        let turn = |kinds: &[Defect]| kinds.get(self.index as usize % kinds.len()).copied();
        match self.set {
            Set::Train | Set::Validation | Set::TestGood => None,
            Set::Logical => turn(&Defect::LOGICAL),
            Set::Structural => turn(&Defect::STRUCTURAL),
        }
    }

    /// Takes the picture.
    pub fn take(&self) -> Photo {
        let staged = self.stage();
        let (exposure, touched) = staged.expose(self.size);
        let image = staged.camera.shoot(&exposure, &mut self.random(Purpose::Noise));
        let mask = self.defect().map(|defect| {
            let value = defect.entry().pixel_value;
            GrayImage::from_fn(self.size, self.size, |x, y| {
                Luma([if touched[(y * self.size + x) as usize] { value } else { 0 }])
            })
        });
        Photo { image, mask }
    }

    fn stage(&self) -> Staged {
        // The lamp drifts on from set to set as if they had been taken one after another.
        let late = self.set as u32 * 1000 + self.index;
        let mut lamp = ChaCha8Rng::seed_from_u64(self.seed);
        let drift = [lamp.random_range(0.0..TAU), lamp.random_range(0.0..TAU)];
        let mut rng = self.random(Purpose::Product);
        let setup = setup::Setup::drawn(late, drift, &mut rng);
        let good = match self.product {
            Product::Tray => tray::tray(&setup, &mut rng),
            Product::Blister => blister::blister(&setup, &mut rng),
            Product::Kit => kit::kit(&setup, &mut rng),
        };
        let camera = Camera::drawn(setup.exposure, &mut self.random(Purpose::Camera));
        match self.defect().and_then(|defect| spoil(&good, defect, &mut self.random(Purpose::Defect))) {
            Some((good, defective)) => Staged { good, defective: Some(defective), camera },
            None => Staged { good, defective: None, camera },
        }
    }

    fn random(&self, purpose: Purpose) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let set = self.set as u64;
        rng.set_stream((((self.product as u64) * 16 + set) * 16 + purpose as u64 + 1) << 32 | u64::from(self.index));
        rng
    }
}

impl Staged {
    /// The light from the scene as it is, and the pixels that the defect changed.
    fn expose(&self, size: u32) -> (Exposure, Vec<bool>) {
        let exposure = render(self.defective.as_ref().unwrap_or(&self.good), size);
        let mut touched = exposure.flagged.clone();
        if let Some(window) = window(&[&self.good], size) {
            for (t, left) in touched.iter_mut().zip(render_within(&self.good, size, &window).flagged) {
                *t |= left;
            }
        }
        (exposure, touched)
    }
}

/// Draws defects until one is seen at first glance; the lamp hides some scratches and dents.
fn spoil(good: &Scene, defect: Defect, rng: &mut ChaCha8Rng) -> Option<(Scene, Scene)> {
    let mut last = None;
    for _ in 0..DRAWS {
        let drawn = match damage::damage(good, defect, rng) {
            Some(defective) => Some((good.clone(), defective)),
            None => mixup::mix_up(good, defect, rng),
        };
        let Some((good, defective)) = drawn else { continue };
        let seen = is_seen(&good, &defective);
        last = Some((good, defective));
        if seen {
            break;
        }
    }
    last
}

/// Whether the flagged surfaces differ enough between the two scenes.
fn is_seen(good: &Scene, defective: &Scene) -> bool {
    let Some(window) = window(&[good, defective], TRIAL_SIZE) else { return false };
    let (before, after) = (render_within(good, TRIAL_SIZE, &window), render_within(defective, TRIAL_SIZE, &window));
    let (mut sum, mut area) = (0.0f32, 0usize);
    for (n, (b, a)) in before.light.iter().zip(&after.light).enumerate() {
        if before.flagged[n] || after.flagged[n] {
            let steps = b.iter().zip(a).map(|(&b, &a)| f32::from(tone(b).abs_diff(tone(a))));
            sum += steps.fold(0.0, f32::max);
            area += 1;
        }
    }
    area >= TRIAL_AREA && sum >= VISIBLE * area as f32
}
