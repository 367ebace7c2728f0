//! The layout: how the embeddings of good parts vary together over the whole image, and how far a part is from that
//!
//!
//! The memory asks of each cell whether it was ever seen; a wrong kit shows nothing that was not. The embeddings of
//! coarse cells, all of an image one vector, vary over good parts in a few directions only: the principal ones. What is
//! left of an image beside them, against what is usually left there, tells which cells do not belong together with the
//! rest: a linear autoencoder with its error standardised.

use mudenet_edge::infer::InferError;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, TchError, Tensor};

/// Coarse cells a side that are aimed at; a whole number of embedding cells makes one.
const SIDE: i64 = 16;
/// Good images that the directions are found from at most: a seeded sample of more.
pub const IMAGES: usize = 400;
/// Good images for each direction at least.
pub const IMAGES_A_DIRECTION: i64 = 4;
/// Share of a channel's mean error that every cell is taken to have at least: a guard where few images show none.
const FLOOR: f64 = 0.1;
/// The step of the error from the held-back images' largest error, 1, to where the layout counts in full.
pub const RISE: f64 = 0.5;

/// Directions in which good parts vary, and what is usual beside them.
#[derive(Debug)]
pub struct Layout {
    /// Embedding cells a side of a coarse one.
    pub pool: i64,
    /// Mean over good images, (1, C, g, g).
    pub mean: Tensor,
    /// Coordinates are sums over all of an image by these, (K, C, g, g).
    pub encode: Tensor,
    /// What one of each coordinate adds, (K, C, g, g).
    pub decode: Tensor,
    /// What an error is multiplied with before squares are added up over channels, (1, C, g, g); the largest sum on
    /// held-back images is 1.
    pub scale: Tensor,
    /// The squared distance that an error of 1 + [`RISE`] and more counts as.
    pub height: f64,
}

/// Directions that are not yet compared with held-back images.
#[derive(Debug)]
pub struct Directions(Layout);

impl Layout {
    /// Coarse error → share of [`Layout::height`]: the slope and offset of a line that is cut off at 0 and 1.
    pub const LINE: [f64; 2] = [1.0 / RISE, -1.0 / RISE];

    /// Up to `count` directions from `embeddings` of good images, each (1, C, h, w).
    ///
    /// # Errors
    /// [`TchError`] where there are fewer than four images, or features that are not finite.
    pub fn fit(embeddings: &[Tensor], count: usize, seed: u64) -> Result<Directions, TchError> {
        let images = embeddings.len() as i64;
        let [1, channels, height, _] = embeddings.first().map(Tensor::size).unwrap_or_default()[..] else {
            return Err(TchError::Shape("the layout needs embeddings (1, C, h, w)".into()));
        };
        if images < IMAGES_A_DIRECTION {
            return Err(TchError::Shape(format!(
                "the layout needs at least {IMAGES_A_DIRECTION} good images, got {images} (--layout 0 leaves it out)"
            )));
        }
        let pool = pool(height);
        let coarse: Vec<Tensor> = embeddings.iter().map(|embedding| coarse(embedding, pool)).collect();
        let maps = Tensor::f_cat(&coarse, 0)?.to_kind(Kind::Double);
        let mean = maps.mean_dim([0i64].as_slice(), true, Kind::Double);
        let centred = &maps - &mean;
        let variance = (&centred * &centred).mean_dim([0i64, 2, 3].as_slice(), true, Kind::Double);
        let deviation = variance.sqrt().clamp_min(f64::MIN_POSITIVE.sqrt());
        let rows = (&centred / &deviation).view([images, -1]);

        let order: Vec<i64> = index::sample(&mut ChaCha8Rng::seed_from_u64(seed), embeddings.len(), embeddings.len())
            .into_iter()
            .map(|i| i as i64)
            .collect();
        let (first, second) = order.split_at(order.len() / 2);
        let half = |picked: &[i64]| rows.index_select(0, &Tensor::from_slice(picked));
        let (first, second) = (half(first), half(second));
        let count = (count as i64).min(images / IMAGES_A_DIRECTION).max(1);
        let beside = |of: &Tensor, by: &Tensor| -> Result<Tensor, TchError> {
            let centre = by.mean_dim([0i64].as_slice(), true, Kind::Double);
            let basis = principal(&(by - &centre), count)?;
            let of = of - centre;
            Ok(&of - of.matmul(&basis.tr()).matmul(&basis))
        };
        let errors = Tensor::cat(&[beside(&second, &first)?, beside(&first, &second)?], 0);
        let usual = (&errors * &errors).mean_dim([0i64].as_slice(), false, Kind::Double).view_as(&mean);
        let usual = &usual + usual.mean_dim([2i64, 3].as_slice(), true, Kind::Double) * FLOOR;
        let scale = (usual * channels as f64).rsqrt().clamp_max(f64::from(f32::MAX)) / &deviation;

        let basis = principal(&rows, count)?.view([count, channels, mean.size()[2], mean.size()[3]]);
        let float = |t: Tensor| t.to_kind(Kind::Float).contiguous();
        Ok(Directions(Layout {
            pool,
            mean: float(mean),
            encode: float(&basis / &deviation),
            decode: float(basis * deviation),
            scale: float(scale),
            height: 0.0,
        }))
    }

    /// Embedding (1, C, h, w) → what the layout says of it as a squared distance, (1, 1, h, w): 0 up to an error as on
    /// held-back images, [`Layout::height`] from 1 + [`RISE`] times that on.
    pub fn score(&self, embedding: &Tensor) -> Tensor {
        let share = (self.error(embedding) * Self::LINE[0] + Self::LINE[1]).clamp(0.0, 1.0);
        share.repeat_interleave_self_int(self.pool, 2, None).repeat_interleave_self_int(self.pool, 3, None)
            * self.height
    }

    /// Σ_c (scale · (z − decode(encode(z))))² of z, the coarse embedding less its mean: (1, 1, g, g).
    fn error(&self, embedding: &Tensor) -> Tensor {
        let z = coarse(embedding, self.pool) - &self.mean;
        let count = self.encode.size()[0];
        let coordinates = self.encode.view([count, -1]).mv(&z.view(-1));
        let error = (&z - self.decode.view([count, -1]).tr().mv(&coordinates).view_as(&z)) * &self.scale;
        (&error * &error).sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
    }
}

impl Directions {
    /// Sets the errors of held-back `embeddings` as the measure: their largest becomes 1. `height` is the squared
    /// distance that more than that counts as, the memory's largest on the same images.
    ///
    /// # Errors
    /// [`InferError::Run`] where errors are not finite, or there is none.
    pub fn measured(self, embeddings: &[Tensor], height: f64) -> Result<Layout, InferError> {
        let Self(mut layout) = self;
        let errors = embeddings.iter().map(|embedding| layout.error(embedding).max().double_value(&[]));
        let largest = errors.fold(0.0, f64::max);
        if !(largest.is_finite() && largest > 0.0 && height.is_finite()) {
            return Err(InferError::Run(format!(
                "the layout's largest error on held-back images is {largest}, the memory's distance {height}: \
                 --layout 0 leaves the layout out"
            )));
        }
        layout.scale /= largest.sqrt();
        layout.height = height;
        Ok(layout)
    }
}

/// The number of embedding cells a side that make a coarse one: the divisor that comes nearest to [`SIDE`] coarse cells.
fn pool(side: i64) -> i64 {
    (1..=side).filter(|pool| side % pool == 0).min_by_key(|pool| (side / pool - SIDE).abs()).unwrap_or(1)
}

fn coarse(embedding: &Tensor, pool: i64) -> Tensor {
    embedding.avg_pool2d([pool; 2], [pool; 2], [0; 2], false, true, None)
}

/// The `count` principal directions (count, D) of centred `rows` (N, D), N ≤ D, of length 1: by the N × N products of rows.
fn principal(rows: &Tensor, count: i64) -> Result<Tensor, TchError> {
    let images = rows.size()[0];
    let (values, vectors) = rows.matmul(&rows.tr()).f_linalg_eigh("L")?;
    let leading = |x: &Tensor, dim| x.narrow(dim, images - count, count).flip([dim]);
    let lengths = leading(&values, 0).clamp_min(f64::MIN_POSITIVE).sqrt();
    Ok((leading(&vectors, 1) / lengths.unsqueeze(0)).tr().matmul(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise;
    use tch::Device;

    /// Good parts of two kinds whose left and right halves belong together, embeddings (1, 3, 32, 32).
    fn part(left: i64, right: i64, seed: i64) -> Tensor {
        let noise = noise(&[1, 3, 32, 32], seed as u64) * 0.3;
        for (kind, first) in [(left, 0), (right, 16)] {
            let mut half = noise.narrow(3, first, 16).narrow(1, kind, 1);
            let _ = half.g_add_scalar_(1.0);
        }
        noise
    }

    fn layout(count: usize) -> Layout {
        let good: Vec<Tensor> = (0..24).map(|i| part(i % 2, i % 2, i)).collect();
        let held_back: Vec<Tensor> = (100..124).map(|i| part(i % 2, i % 2, i)).collect();
        Layout::fit(&good, count, 1).unwrap().measured(&held_back, 9.0).unwrap()
    }

    #[test]
    fn halves_that_do_not_belong_together_are_seen_though_each_is_usual() {
        let layout = layout(2);
        for i in 200..210 {
            let good = layout.score(&part(i % 2, i % 2, i)).max().double_value(&[]);
            let mixed = layout.score(&part(i % 2, 1 - i % 2, i)).max().double_value(&[]);
            assert!(good < 1.0 && mixed == 9.0, "image {i}: good {good}, mixed {mixed}");
        }
    }

    #[test]
    fn the_error_is_what_least_squares_leaves() {
        let layout = layout(3);
        let z = coarse(&part(0, 1, 7), layout.pool) - &layout.mean;
        // In the units of the directions, which are orthonormal there, no other coordinates come nearer.
        let deviation = (layout.decode.abs().sum(Kind::Float) / layout.encode.abs().sum(Kind::Float)).double_value(&[]);
        assert!(deviation > 0.0);
        let unit = (&layout.decode / &layout.encode).abs().sqrt().narrow(0, 0, 1);
        let basis = (&layout.encode * &unit).view([3, -1]);
        let gram = basis.matmul(&basis.tr());
        assert!((&gram - Tensor::eye(3, (Kind::Float, Device::Cpu))).abs().max().double_value(&[]) < 1e-3, "{gram}");
        let (left, _, _, _) = Tensor::linalg_lstsq(&basis.tr(), &(&z / &unit).view([-1, 1]), None::<f64>, "gelsd");
        let near = (&z / &unit).view([-1, 1]) - basis.tr().matmul(&left);
        let near = near.view_as(&z) * &unit * &layout.scale;
        let expected = (&near * &near).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let got = layout.error(&part(0, 1, 7));
        assert!((got - &expected).abs().max().double_value(&[]) < 1e-3 * expected.max().double_value(&[]));
    }

    #[test]
    fn held_back_images_score_nothing_and_coarse_cells_fit_every_size() {
        let layout = layout(2);
        for i in 100..124 {
            assert!(layout.score(&part(i % 2, i % 2, i)).max().double_value(&[]) < 1e-3);
        }
        for (side, expected) in [(8, 1), (16, 1), (24, 2), (32, 2), (40, 2), (48, 3), (56, 4), (64, 4)] {
            assert_eq!(pool(side), expected, "{side} cells");
        }
    }

    #[test]
    fn fewer_than_four_images_are_refused_with_the_number() {
        let few: Vec<Tensor> = (0..3).map(|i| part(0, 0, i)).collect();
        assert!(Layout::fit(&few, 2, 1).unwrap_err().to_string().contains("at least 4 good images, got 3"));
    }
}
