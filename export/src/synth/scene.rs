//! A scene: parts in order of height, marks on them, a lamp; and what one ray of the camera meets.

use super::geometry::{P, Pose, p, smoothstep};
use super::light::{Finish, Light, Rgb};
use super::mark::{Decal, Mark};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Step of the finite differences that give a surface's tilt, scene units.
const STEP: f32 = 0.06;
/// How far outside its outline a mark still changes the picture: the finite differences look that far.
const MARGIN: f32 = 1.5 * STEP;
/// How far a shadow reaches from the outline that casts it.
const SHADOW_REACH: f32 = 7.0;

/// A body as its drawing has it, around the origin of its own frame.
pub(super) trait Part: Send + Sync {
    /// A name that is the same for interchangeable parts.
    fn kind(&self) -> &'static str;
    /// Signed distance to the outline.
    fn outline(&self, q: P) -> f32;
    /// Signed distance to the outline that its shadow has; may leave out what is too small to tell apart in it.
    fn silhouette(&self, q: P) -> f32 {
        self.outline(q)
    }
    /// Height of the surface above the seat; also defined a little outside the outline.
    fn relief(&self, q: P) -> f32;
    /// The material at a point.
    fn finish(&self, q: P) -> Finish;
    /// Radius of a circle around the outline.
    fn reach(&self) -> f32;
    /// Greatest height.
    fn thickness(&self) -> f32;
    /// Whether it can crack and its edge can break off.
    fn brittle(&self) -> bool {
        false
    }
    /// The same part in a colour it must not have.
    fn recoloured(&self, _rng: &mut ChaCha8Rng) -> Option<Arc<dyn Part>> {
        None
    }
}

/// A part in the scene.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) part: Arc<dyn Part>,
    pub(super) pose: Pose,
    /// Height of its seat.
    pub(super) base: f32,
    /// May be missing, doubled or swapped.
    pub(super) loose: bool,
    /// What broke off.
    pub(super) cut: Option<Mark>,
    /// Was left out.
    pub(super) gone: bool,
    /// Belongs to the defect.
    pub(super) flagged: bool,
}

impl Item {
    pub(super) fn new(part: Arc<dyn Part>, at: P, angle: f32, base: f32, loose: bool) -> Self {
        Self { part, pose: Pose::new(at, angle), base, loose, cut: None, gone: false, flagged: false }
    }

    /// Whether `q` is within `margin` of the circle around the outline.
    fn near(&self, q: P, margin: f32) -> bool {
        let (d, r) = (q - self.pose.at, self.part.reach() + margin);
        d.dot(d) < r * r
    }

    pub(super) fn top(&self) -> f32 {
        self.base + self.part.thickness()
    }

    /// Distance to the outline, what broke off left out.
    pub(super) fn distance(&self, q: P) -> f32 {
        self.without_cut(self.part.outline(self.pose.local(q)), q)
    }

    /// Distance to the silhouette, what broke off left out.
    fn shadow(&self, q: P) -> f32 {
        self.without_cut(self.part.silhouette(self.pose.local(q)), q)
    }

    fn without_cut(&self, whole: f32, q: P) -> f32 {
        self.cut.as_ref().map_or(whole, |cut| whole.max(-cut.distance(q)))
    }
}

/// What the camera sees of one surface point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) light: Rgb,
    /// The item on top.
    pub(super) item: usize,
    /// Belongs to the defect.
    pub(super) flagged: bool,
}

/// The items and decals near a tile of the picture.
#[derive(Debug, Default)]
pub(super) struct Near {
    items: Vec<usize>,
    decals: Vec<usize>,
}

/// One made product under the camera. Item 0 is the table and covers everything.
#[derive(Clone)]
pub(super) struct Scene {
    /// By height, lowest first.
    pub(super) items: Vec<Item>,
    pub(super) decals: Vec<Decal>,
    pub(super) light: Light,
    /// Where the product lies in the picture.
    pub(super) frame: Pose,
    /// Free places for a part too many, and their heights.
    pub(super) vacant: Vec<(P, f32)>,
    /// Whether parts cast shadows.
    pub(super) shadows: bool,
}

impl Scene {
    /// Circles (product frame) around everything that is flagged.
    pub(super) fn flagged(&self) -> impl Iterator<Item = (P, f32)> {
        let items = self.items.iter().filter(|i| i.flagged).map(|i| (i.pose.at, i.part.reach()));
        let cuts = self.items.iter().filter_map(|i| i.cut.as_ref()).map(|cut| (cut.at, cut.reach));
        let decals = self.decals.iter().filter(|d| d.flagged).map(|d| (d.mark.at, d.mark.reach + MARGIN));
        items.chain(cuts).chain(decals)
    }

    /// What may matter within `radius` of `at` (product frame).
    pub(super) fn near(&self, at: P, radius: f32) -> Near {
        let items = self.items.iter().enumerate();
        let decals = self.decals.iter().enumerate();
        Near {
            items: items.filter(|(_, i)| !i.gone && i.near(at, radius + SHADOW_REACH)).map(|(n, _)| n).collect(),
            decals: decals
                .filter(|(_, d)| (d.mark.at - at).length() < d.mark.reach + radius + 0.5)
                .map(|(n, _)| n)
                .collect(),
        }
    }

    /// The item on top at `q` and whether something broke off there.
    pub(super) fn top(&self, near: &Near, q: P) -> (usize, bool) {
        let mut broken = false;
        for &n in near.items.iter().rev() {
            let item = &self.items[n];
            if item.near(q, 0.0) && item.part.outline(item.pose.local(q)) < 0.0 {
                match &item.cut {
                    Some(cut) if cut.distance(q) < 0.0 => broken = true,
                    _ => return (n, broken),
                }
            }
        }
        (0, broken)
    }

    /// What the camera sees at `q` (product frame).
    pub(super) fn sample(&self, near: &Near, q: P) -> Sample {
        let (top, broken) = self.top(near, q);
        let item = &self.items[top];
        let mut flagged = item.flagged || broken;
        let local = item.pose.local(q);
        let mut finish = item.part.finish(local);
        let (right, below) = (q + p(STEP, 0.0), q + p(0.0, STEP));
        let mut height = item.base + item.part.relief(local);
        let mut slope = p(
            item.base + item.part.relief(item.pose.local(right)) - height,
            item.base + item.part.relief(item.pose.local(below)) - height,
        );
        let mut cover: Option<P> = None;
        for &n in &near.decals {
            let decal = &self.decals[n];
            if decal.on.is_some_and(|on| on != top) || (q - decal.mark.at).length() > decal.mark.reach + MARGIN {
                continue;
            }
            let distance = decal.mark.distance(q);
            if distance > MARGIN {
                continue;
            }
            flagged |= decal.flagged;
            if decal.depth != 0.0 {
                let here = decal.relief(distance);
                let tilt =
                    p(decal.relief(decal.mark.distance(right)) - here, decal.relief(decal.mark.distance(below)) - here);
                if decal.clear {
                    cover = (distance < 0.0).then_some(tilt);
                    continue;
                }
                height += here;
                slope = slope + tilt;
            }
            if let Some((other, soft)) = &decal.tint {
                finish = finish.towards(other, smoothstep(0.0, *soft, -distance));
            }
        }
        let normal = tilted(slope.x / STEP + finish.grain[0], slope.y / STEP + finish.grain[1]);
        let (open, lit) = if self.shadows { self.shelter(near, top, q, height) } else { (1.0, 1.0) };
        let mut light = self.light.shade(normal, &finish, open, lit);
        if let Some(tilt) = cover {
            let gleam = self.light.film(tilted(tilt.x / STEP, tilt.y / STEP));
            for (l, g) in light.iter_mut().zip([gleam; 3]) {
                *l = *l * 0.92 + g;
            }
        }
        Sample { light, item: top, flagged }
    }

    /// The shares of the hood and of the lamp that `q` at `height` sees past the other items.
    fn shelter(&self, near: &Near, top: usize, q: P, height: f32) -> (f32, f32) {
        let key = self.light.key;
        let lean = p(key[0], key[1]) * (1.0 / key[2]);
        let (mut open, mut lit) = (1.0f32, 1.0f32);
        for &n in &near.items {
            let item = &self.items[n];
            let over = item.top() - height;
            // What lies below the point in the stack carries it, and does not stand beside it.
            if n <= top || over < 0.05 {
                continue;
            }
            if !item.near(q, SHADOW_REACH) {
                continue;
            }
            let distance = item.shadow(q);
            let span = (1.4 + over).min(SHADOW_REACH);
            let close = (1.0 - distance.max(0.0) / span).max(0.0);
            open *= 1.0 - 0.42 * close * close;
            for t in [0.45, 0.95] {
                let reach = over * t;
                let soft = 0.25 + 0.30 * reach;
                lit = lit.min(smoothstep(-soft, soft, item.shadow(q + lean * reach)));
            }
        }
        (open, lit)
    }
}

/// The unit normal of a surface that rises by these amounts per unit.
fn tilted(x: f32, y: f32) -> [f32; 3] {
    let k = 1.0 / (x * x + y * y + 1.0).sqrt();
    [-x * k, -y * k, k]
}
