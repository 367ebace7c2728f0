//! Target features E of the distillation (Eq. 14, 15).

use super::ResNet50V2;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

/// Channels of all three stages together.
const FEATURES: usize = 1792;

/// Pixels mirrored around the image before the backbone sees it, so that its zero padding lies outside; a
/// multiple of the largest stride.
const MIRROR: i64 = 32;

/// Computes E for a batch of images.
#[derive(Debug)]
pub struct TargetExtractor {
    backbone: ResNet50V2,
    channels: Tensor,
    mirror: bool,
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
    pub fn new(backbone: ResNet50V2, channels: &[i64], mirror: bool) -> Self {
        Self { backbone, channels: Tensor::from_slice(channels), mirror }
    }

    /// Standardised image (B, 3, H, W) → E (B, C, H/4, W/4): stages 2 and 3 brought to stage 1's size by repetition
    /// (Eq. 14), the sampled channels, each standardised over its image's pixels.
    pub fn target(&self, image: &Tensor) -> Tensor {
        tch::no_grad(|| {
            let padded = if self.mirror { image.reflection_pad2d([MIRROR; 4]) } else { image.shallow_clone() };
            let [one, two, three] = self.backbone.features(&padded);
            let (height, width) = (one.size()[2], one.size()[3]);
            let repeat = |x: &Tensor| x.upsample_nearest2d([height, width], None, None);
            let all = Tensor::cat(&[one, repeat(&two), repeat(&three)], 1);
            let picked = all.index_select(1, &self.channels.to_device(all.device()));
            let border = if self.mirror { MIRROR / 4 } else { 0 };
            let inner = picked.narrow(2, border, height - 2 * border).narrow(3, border, width - 2 * border);
            let mean = inner.mean_dim([2i64, 3].as_slice(), true, None);
            let std = inner.std_dim([2i64, 3].as_slice(), false, true);
            (inner - mean) / (std + 1e-6)
        })
    }
}
