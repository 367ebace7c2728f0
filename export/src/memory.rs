//! The memory: embeddings of good parts, against which the embedding of a new part is held.
//!
//! What embeds is the backbone's first stage or the teacher. Embeddings are compared on a grid of an eighth of the
//! image's size, each cell averaged over its surroundings. A cell's score is the squared distance to the nearest remembered
//! embedding (Roth et al. 2022, without reweighting).

use crate::backbone::{Moments, Principal};
use crate::data::{DataError, Images, standardise};
use crate::first_stage::FirstStage;
use crate::layout::Layout;
use crate::model::{Descriptor, Mode};
use crate::train::Networks;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Teacher cells a side of one memory cell.
pub const STRIDE: i64 = 4;

/// First-stage cells a side of one memory cell.
pub const FIRST_STAGE_STRIDE: i64 = 2;

/// Cells a side of the surroundings that a cell is averaged over, memory cells of the teacher and cells of the first stage;
/// odd.
pub const SURROUNDINGS: i64 = 3;

/// The teacher's levels, from 1, whose embeddings are remembered side by side.
pub const REMEMBERED_LEVELS: [usize; 2] = [2, 3];

/// Principal components of the first stage's features that are remembered.
pub const COMPONENTS: i64 = 64;

/// Most embeddings that the remembered ones are chosen from.
pub const CANDIDATES: usize = 20_000;

/// whose embeddings are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Remembered {
    /// The backbone's first stage with fewer channels.
    #[default]
    FirstStage,
    /// The teacher's levels 2 and 3.
    Teacher,
}

/// how a distance to what is remembered counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Its root: the distance itself.
    #[default]
    Root,
    /// Squared, as the network gives it.
    Squared,
}

/// What embeds the parts that are remembered.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// [`Remembered::FirstStage`].
    FirstStage(&'a FirstStage),
    /// [`Remembered::Teacher`].
    Teacher(&'a Descriptor),
}

/// Remembered embeddings of good parts.
#[derive(Debug)]
pub struct Memory {
    /// Whose they are.
    pub remembered: Remembered,
    /// What the source's features are projected to; none where they are remembered as they are.
    pub components: Option<Principal>,
    /// (K, dimensions of an embedding).
    pub vectors: Tensor,
    /// How embeddings go together over the image; none where only each by itself is compared.
    pub layout: Option<Layout>,
}

impl Source<'_> {
    /// The source of `networks`; none where they have no first stage and one is asked for.
    pub fn of(networks: &Networks, remembered: Remembered) -> Option<Source<'_>> {
        match remembered {
            Remembered::FirstStage => networks.first_stage.as_ref().map(Source::FirstStage),
            Remembered::Teacher => Some(Source::Teacher(&networks.teacher.net)),
        }
    }

    /// Standardised image (1, 3, H, W) → features (1, F, H/8, W/8).
    pub fn features(&self, image: &Tensor) -> Tensor {
        match self {
            Source::FirstStage(stage) => average(&around(&stage.forward(image)), FIRST_STAGE_STRIDE),
            Source::Teacher(net) => embedding(&net.forward(image, Mode::EVAL)),
        }
    }

    fn remembered(&self) -> Remembered {
        match self {
            Source::FirstStage(_) => Remembered::FirstStage,
            Source::Teacher(_) => Remembered::Teacher,
        }
    }
}

impl Memory {
    /// Standardised image (1, 3, H, W) → squared distance of each cell to the nearest remembered embedding, or what the
    /// layout says where that is more, (1, 1, H/8, W/8).
    pub fn score(&self, source: Source, image: &Tensor) -> Tensor {
        let embedding = self.embedding(source, image);
        let distances = distances(self, &embedding);
        self.layout.as_ref().map_or(distances.shallow_clone(), |layout| distances.maximum(&layout.score(&embedding)))
    }

    /// Standardised image (1, 3, H, W) → what is compared with the remembered embeddings, (1, D, H/8, W/8).
    pub fn embedding(&self, source: Source, image: &Tensor) -> Tensor {
        let features = source.features(image);
        self.components.as_ref().map_or(features.shallow_clone(), |p| p.project(&features, 0))
    }
}

/// What the teacher's embeddings of one image, per level (1, C, H, W), are as the memory sees them:
/// (1, C · remembered levels, H / [`STRIDE`], W / [`STRIDE`]).
pub fn embedding(levels: &[Tensor]) -> Tensor {
    let pooled = |level: &Tensor| around(&average(level, STRIDE));
    let chosen: Vec<Tensor> = REMEMBERED_LEVELS.iter().filter_map(|level| levels.get(level - 1)).map(pooled).collect();
    Tensor::cat(&chosen, 1)
}

/// The mean of each square of `side` cells a side.
fn average(maps: &Tensor, side: i64) -> Tensor {
    maps.avg_pool2d([side; 2], [side; 2], [0; 2], false, true, None)
}

/// The mean of each cell's [`SURROUNDINGS`], those beyond the border left out.
fn around(maps: &Tensor) -> Tensor {
    maps.avg_pool2d([SURROUNDINGS; 2], [1; 2], [SURROUNDINGS / 2; 2], false, false, None)
}

/// Squared distance of each cell to the nearest remembered embedding: (1, D, h, w) → (1, 1, h, w).
pub fn distances(memory: &Memory, embedding: &Tensor) -> Tensor {
    let [_, channels, height, width] = embedding.size()[..] else { return Tensor::new() };
    let cells = embedding.permute([0, 2, 3, 1]).reshape([-1, channels]);
    squared_distances(&cells, &memory.vectors).amin([1i64].as_slice(), false).view([1, 1, height, width])
}

/// Remembers `count` embeddings of `images`: of a seeded sample of all cells, each time the one that is farthest from
/// those chosen before (greedy k-centre), so that rare looks of good parts are kept. Features of the first stage are
/// projected to their [`COMPONENTS`] leading principal components over the sample.
///
/// # Errors
/// [`DataError`] where an image cannot be read, or has features that are not finite.
pub fn remember(source: Source, images: &Images, count: usize, seed: u64) -> Result<Memory, DataError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let share = CANDIDATES.div_ceil(images.len().max(1));
    let mut candidates = Vec::with_capacity(images.len());
    let _no_grad = tch::no_grad_guard();
    for i in 0..images.len() {
        let features = source.features(&standardise(&images.tensor(i)?.unsqueeze(0)));
        let cells = features.permute([0, 2, 3, 1]).reshape([-1, features.size()[1]]);
        let total = cells.size()[0] as usize;
        let picked: Vec<i64> = index::sample(&mut rng, total, share.min(total)).into_iter().map(|i| i as i64).collect();
        candidates.push(cells.index_select(0, &Tensor::from_slice(&picked)));
    }
    of_candidates(source.remembered(), &Tensor::cat(&candidates, 0), count)
}

/// What [`remember`] makes of features (N, F).
pub(crate) fn of_candidates(remembered: Remembered, candidates: &Tensor, count: usize) -> Result<Memory, DataError> {
    if remembered == Remembered::Teacher {
        let vectors = farthest_first(candidates, count);
        return Ok(Memory { remembered, components: None, vectors, layout: None });
    }
    let features = candidates.size()[1];
    let as_map = candidates.tr().unsqueeze(0).unsqueeze(-1);
    let mut moments = Moments::new(features, candidates.device());
    moments.add(&as_map);
    let principal = moments.principal(COMPONENTS.min(features)).map_err(|e| DataError::FirstStage(e.to_string()))?;
    let projected = principal.project(&as_map, 0).squeeze_dim(-1).squeeze_dim(0).tr().contiguous();
    let vectors = farthest_first(&projected, count);
    Ok(Memory { remembered, components: Some(principal), vectors, layout: None })
}

/// `count` rows of `candidates`, the first one and then always the one farthest from all rows chosen before.
fn farthest_first(candidates: &Tensor, count: usize) -> Tensor {
    let rows = candidates.size()[0];
    let energy = (candidates * candidates).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let mut nearest = Tensor::full([rows], f64::INFINITY, (Kind::Float, Device::Cpu));
    let mut chosen = Vec::with_capacity(count);
    let mut next = 0;
    while chosen.len() < count.min(rows as usize) {
        chosen.push(next);
        let row = candidates.get(next);
        let distance = &energy + energy.get(next) - candidates.mv(&row) * 2.0;
        nearest = nearest.minimum(&distance);
        // A chosen row must not come again, also where rows are equal.
        let _ = nearest.get(next).fill_(f64::NEG_INFINITY);
        next = nearest.argmax(0, false).int64_value(&[]);
    }
    candidates.index_select(0, &Tensor::from_slice(&chosen))
}

/// (N, D), (K, D) → (N, K), not below 0; computed in f64, as a difference of nearly equal numbers.
fn squared_distances(a: &Tensor, b: &Tensor) -> Tensor {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    let energy = |x: &Tensor| (x * x).sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
    (energy(&a).unsqueeze(1) + energy(&b).unsqueeze(0) - a.matmul(&b.tr()) * 2.0).clamp_min(0.0).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn noise(shape: &[i64]) -> Tensor {
        random::noise(shape, 5)
    }

    fn memory(vectors: Tensor) -> Memory {
        Memory { remembered: Remembered::Teacher, components: None, vectors, layout: None }
    }

    #[test]
    fn distances_are_those_of_a_search_through_all_pairs() {
        let (memory, cells) = (memory(noise(&[7, 3])), noise(&[1, 3, 2, 4]) * 2.0);
        let got = Vec::<f32>::try_from(distances(&memory, &cells).view(-1)).unwrap();
        for (i, got) in got.iter().enumerate() {
            let (y, x) = (i as i64 / 4, i as i64 % 4);
            let at = |c: i64| cells.double_value(&[0, c, y, x]);
            let distance = |k: i64| (0..3).map(|c| (at(c) - memory.vectors.double_value(&[k, c])).powi(2)).sum::<f64>();
            let nearest = (0..7).map(distance).fold(f64::INFINITY, f64::min);
            assert!((f64::from(*got) - nearest).abs() < 1e-5, "{got}, expected {nearest}");
        }
    }

    #[test]
    fn rare_cells_are_remembered_before_common_ones() {
        // Ninety-nine rows near the origin and one far away: two rows must hold the far one.
        let rows = Tensor::cat(&[noise(&[99, 4]) * 0.1, Tensor::full([1, 4], 9.0, (Kind::Float, Device::Cpu))], 0);
        let chosen = farthest_first(&rows, 2);
        assert_eq!(chosen.size(), [2, 4]);
        assert_eq!(chosen.double_value(&[1, 0]), 9.0);
    }

    #[test]
    fn no_row_is_remembered_twice_and_no_more_than_there_are() {
        let rows = Tensor::cat(&[noise(&[5, 2]), noise(&[5, 2])], 0);
        assert_eq!(farthest_first(&rows, 20).size(), [10, 2]);
    }

    #[test]
    fn an_embedding_is_the_mean_of_its_surroundings() {
        let level = noise(&[1, 2, 12, 12]);
        let got = embedding(&[level.shallow_clone(), level.shallow_clone(), level.zeros_like()]);
        assert_eq!(got.size(), [1, 4, 3, 3]);
        let whole = level.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        assert!(
            (got.double_value(&[0, 1, 1, 1]) - whole.double_value(&[0, 1])).abs() < 1e-6,
            "the centre sees all cells"
        );
        let corner = level.narrow(2, 0, 8).narrow(3, 0, 8).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        assert!((got.double_value(&[0, 0, 0, 0]) - corner.double_value(&[0, 0])).abs() < 1e-6, "a corner sees four");
    }
}
