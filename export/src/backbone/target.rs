//! Target features E of the distillation (Eq. 14, 15).

use super::principal::{Moments, Principal};
use super::{Backbone, BackboneError};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Channels of all three stages together.
const FEATURES: usize = 1792;

/// Pixels mirrored around the image before the backbone sees it, so that its zero padding lies outside; a
/// multiple of the largest stride.
const MIRROR: i64 = 32;

/// How the backbone's features become E's channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A fixed random sample of channels, each standardised over its image's pixels (the paper; Eq. 15, A-011).
    #[default]
    Sample,
    /// The leading principal components over the images of good parts.
    Principal,
}

/// what sampled channels are standardised by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ZScore {
    /// Mean and deviation over the pixels of the image itself.
    #[default]
    PerSample,
    /// Mean and deviation over the pixels of all images.
    Global,
}

/// Computes E for a batch of images.
#[derive(Debug)]
pub struct TargetExtractor {
    backbone: Backbone,
    reduction: Reduction,
    mirror: bool,
}

#[derive(Debug)]
enum Reduction {
    Sample { channels: Tensor, global: Option<(Tensor, Tensor)> },
    Principal(Principal),
}

/// A fixed random sample of `count` of the backbone's channels, ascending (Eq. 15).
pub fn sample_channels(count: usize, seed: u64) -> Vec<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut channels: Vec<i64> =
        index::sample(&mut rng, FEATURES, count.min(FEATURES)).into_iter().map(|i| i as i64).collect();
    channels.sort_unstable();
    channels
}

impl TargetExtractor {
    /// An extractor of the given channels; with `mirror` the image is continued by reflection.
    pub fn sample(backbone: Backbone, channels: &[i64], mirror: bool) -> Self {
        let channels = Tensor::from_slice(channels);
        Self { backbone, reduction: Reduction::Sample { channels, global: None }, mirror }
    }

    /// Standardises sampled channels by their mean and deviation over standardised `images`, each (1, 3, H, W), instead
    /// of each image's own; principal components are left as they are.
    #[must_use]
    pub fn with_global_z_score(mut self, images: impl Iterator<Item = Tensor>) -> Self {
        let Reduction::Sample { channels, global } = &mut self.reduction else { return self };
        let (mut count, mut sum, mut squares) = (0.0, Tensor::from(0.0), Tensor::from(0.0));
        tch::no_grad(|| {
            for image in images {
                let picked = picked(&self.backbone, &image, self.mirror, channels).to_kind(Kind::Double);
                let total = |x: &Tensor| x.sum_dim_intlist([0i64, 2, 3].as_slice(), true, Kind::Double);
                count += (picked.numel() / picked.size()[1].max(1) as usize) as f64;
                sum = &sum + total(&picked);
                squares = &squares + total(&picked.square());
            }
            if count > 0.0 {
                let mean = &sum / count;
                let std = (&squares / count - mean.square()).clamp_min(0.0).sqrt();
                *global = Some((mean.to_kind(Kind::Float), std.to_kind(Kind::Float)));
            }
        });
        self
    }

    /// An extractor of the `count` leading principal components over standardised `images`, each (1, 3, H, W).
    ///
    /// # Errors
    /// [`BackboneError::Principal`] where the features have no principal components.
    pub fn principal(
        backbone: Backbone,
        images: impl Iterator<Item = Tensor>,
        count: i64,
        mirror: bool,
    ) -> Result<Self, BackboneError> {
        let mut moments: Option<Moments> = None;
        tch::no_grad(|| {
            for image in images {
                let stages = inner_features(&backbone, &image, mirror);
                let all = Tensor::cat(&to_first_size(&stages), 1);
                moments.get_or_insert_with(|| Moments::new(all.size()[1], all.device())).add(&all);
            }
        });
        let moments = moments.ok_or_else(|| BackboneError::Principal("no image was given".into()))?;
        let principal = moments.principal(count).map_err(|e| BackboneError::Principal(e.to_string()))?;
        Ok(Self { backbone, reduction: Reduction::Principal(principal), mirror })
    }

    /// Standardised image (B, 3, H, W) → E (B, C, H/4, W/4): stages 2 and 3 brought to stage 1's size by repetition
    /// (Eq. 14), then the sampled channels, each standardised over its image's pixels, or the components.
    pub fn target(&self, image: &Tensor) -> Tensor {
        tch::no_grad(|| match &self.reduction {
            Reduction::Sample { channels, global } => {
                let picked = picked(&self.backbone, image, self.mirror, channels);
                let (mean, std) = match global {
                    Some((mean, std)) => (mean.to_device(picked.device()), std.to_device(picked.device())),
                    None => {
                        let mean = picked.mean_dim([2i64, 3].as_slice(), true, None);
                        let std = picked.std_dim([2i64, 3].as_slice(), false, true);
                        (mean, std)
                    }
                };
                (picked - mean) / (std + 1e-6)
            }
            Reduction::Principal(principal) => {
                let stages = inner_features(&self.backbone, image, self.mirror);
                let mut first = 0;
                let shares = stages.map(|stage| {
                    let share = principal.project(&stage, first);
                    first += stage.size()[1];
                    share
                });
                let [one, two, three] = to_first_size(&shares);
                one + two + three
            }
        })
    }
}

/// The given channels of all stages together, (B, C, H/4, W/4).
fn picked(backbone: &Backbone, image: &Tensor, mirror: bool, channels: &Tensor) -> Tensor {
    let all = Tensor::cat(&to_first_size(&inner_features(backbone, image, mirror)), 1);
    all.index_select(1, &channels.to_device(all.device()))
}

/// The stages' features without what belongs to the mirrored border.
fn inner_features(backbone: &Backbone, image: &Tensor, mirror: bool) -> [Tensor; 3] {
    if !mirror {
        return backbone.features(image);
    }
    let padded = image.reflection_pad2d([MIRROR; 4]);
    let mut stride = 2;
    backbone.features(&padded).map(|stage| {
        stride *= 2;
        let border = MIRROR / stride;
        let (height, width) = (stage.size()[2], stage.size()[3]);
        stage.narrow(2, border, height - 2 * border).narrow(3, border, width - 2 * border)
    })
}

/// Stages 2 and 3 repeated to the size of stage 1 (Eq. 14).
fn to_first_size(stages: &[Tensor; 3]) -> [Tensor; 3] {
    let size = stages[0].size();
    stages.each_ref().map(|stage| stage.upsample_nearest2d([size[2], size[3]], None, None))
}
