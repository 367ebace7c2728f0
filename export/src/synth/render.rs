//! From a scene to the light that falls on the sensor.

use super::geometry::{P, p};
use super::scene::{Sample, Scene};
use std::ops::Range;

/// Width and height of the picture, scene units.
pub(super) const FIELD: f32 = 100.0;

const TILE: u32 = 16;
/// Ray positions of a plain pixel: a rotated grid.
const COARSE: [P; 4] = [p(0.375, 0.125), p(0.875, 0.375), p(0.125, 0.625), p(0.625, 0.875)];
/// Rays along each side of a pixel that needs more.
const FINE: u32 = 4;
/// Spread of brightness among the coarse rays from which a pixel needs more.
const CONTRAST: f32 = 0.10;

/// Light per pixel, before lens and sensor, and the pixels of the defect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exposure {
    /// Pixels along each side.
    pub(super) size: u32,
    /// Linear RGB, 1 is white, row by row, `size`² pixels.
    pub(super) light: Vec<[f32; 3]>,
    /// Whether a ray of the pixel met a flagged surface.
    pub(super) flagged: Vec<bool>,
}

/// A rectangle of pixels: columns, then rows.
pub(super) type Window = [Range<u32>; 2];

/// The pixels that what is flagged in any of the scenes can touch; none where nothing is.
pub(super) fn window(scenes: &[&Scene], size: u32) -> Option<Window> {
    let scale = size as f32 / FIELD;
    let circles = scenes.iter().flat_map(|s| s.flagged().map(|(at, r)| (s.frame.scene(at) * scale, r * scale + 1.0)));
    let (mut low, mut high) = (p(f32::MAX, f32::MAX), p(f32::MIN, f32::MIN));
    for (at, r) in circles {
        low = p(low.x.min(at.x - r), low.y.min(at.y - r));
        high = p(high.x.max(at.x + r), high.y.max(at.y + r));
    }
    let span = |low: f32, high: f32| (low.max(0.0) as u32).min(size)..(high.max(0.0).ceil() as u32).min(size);
    (low.x <= high.x).then(|| [span(low.x, high.x), span(low.y, high.y)])
}

/// Renders `scene` with `size`² pixels.
pub(super) fn render(scene: &Scene, size: u32) -> Exposure {
    render_within(scene, size, &[0..size, 0..size])
}

/// Renders the pixels of `window`, a part of `size`² pixels; the others stay black.
pub(super) fn render_within(scene: &Scene, size: u32, window: &Window) -> Exposure {
    let count = (size as usize) * (size as usize);
    let mut out = Exposure { size, light: vec![[0.0; 3]; count], flagged: vec![false; count] };
    let pixel = FIELD / size as f32;
    let radius = 0.5 * TILE as f32 * pixel * std::f32::consts::SQRT_2;
    let [columns, rows] = window;
    for tile_y in rows.clone().step_by(TILE as usize) {
        for tile_x in columns.clone().step_by(TILE as usize) {
            let half = 0.5 * TILE as f32;
            let centre = p((tile_x as f32 + half) * pixel, (tile_y as f32 + half) * pixel);
            let near = scene.near(scene.frame.local(centre), radius);
            for y in tile_y..(tile_y + TILE).min(rows.end) {
                for x in tile_x..(tile_x + TILE).min(columns.end) {
                    let corner = p(x as f32, y as f32);
                    let ray = |o: P| scene.sample(&near, scene.frame.local((corner + o) * pixel));
                    let at = y as usize * size as usize + x as usize;
                    (out.light[at], out.flagged[at]) = trace(ray);
                }
            }
        }
    }
    out
}

/// One pixel: four rays, sixteen more where those differ.
fn trace(ray: impl Fn(P) -> Sample) -> ([f32; 3], bool) {
    let mut sum = Sum::default();
    for o in COARSE {
        sum.add(&ray(o));
    }
    if sum.mixed || sum.brightest - sum.darkest > CONTRAST {
        for n in 0..FINE * FINE {
            let step = 1.0 / FINE as f32;
            sum.add(&ray(p(((n % FINE) as f32 + 0.5) * step, ((n / FINE) as f32 + 0.5) * step)));
        }
    }
    (sum.light.map(|l| l / sum.rays), sum.flagged)
}

struct Sum {
    light: [f32; 3],
    rays: f32,
    item: Option<usize>,
    mixed: bool,
    flagged: bool,
    darkest: f32,
    brightest: f32,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            light: [0.0; 3],
            rays: 0.0,
            item: None,
            mixed: false,
            flagged: false,
            darkest: f32::MAX,
            brightest: f32::MIN,
        }
    }
}

impl Sum {
    fn add(&mut self, sample: &Sample) {
        // A lens and a sensor clip glints; unclipped, a single ray of one would light the whole pixel.
        for (s, l) in self.light.iter_mut().zip(sample.light) {
            *s += l.min(1.6);
        }
        self.rays += 1.0;
        self.mixed |=
            self.item.is_some_and(|i| i != sample.item) || (self.rays > 1.0 && self.flagged != sample.flagged);
        self.item = Some(sample.item);
        self.flagged |= sample.flagged;
        self.darkest = self.darkest.min(sample.light[1]);
        self.brightest = self.brightest.max(sample.light[1]);
    }
}
