//! Stage 1: distillation of the teacher from a frozen ImageNet backbone (Eq. 14–16).

use crate::backbone::TargetExtractor;
use crate::checkpoint::{Settings, TeacherRun};
use crate::data::{Images, Variant, standardise};
use crate::model::{self, Descriptor, Network};
use crate::train::{Adam, Progress, TrainError, channels_last, level_loss, run_batches};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

/// Most bytes of targets kept in memory.
const CACHE_BYTES: usize = 2 << 30;

/// Trains a teacher on `images`; `run` gives its architecture and settings and takes the outcome.
///
/// # Errors
/// [`TrainError::Diverged`] or [`TrainError::Interrupted`].
pub fn distill(
    images: &Images,
    extractor: &TargetExtractor,
    run: &mut TeacherRun,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<Network<Descriptor>, TrainError> {
    let settings: Settings = run.settings.clone();
    tch::manual_seed(settings.seed as i64);
    let teacher = model::descriptor(&run.architecture, Device::Cpu);
    let mut adam = Adam::new(&[&teacher.vars]);
    let mode = settings.precision.training();
    let mut targets = Targets { extractor, cache: HashMap::new(), bytes: 0 };
    let half = run.architecture.size / 2;
    let mut loss = f64::NAN;
    run.steps = run_batches(images.len(), &settings, stop, |step, epoch, batch, rate, fraction| {
        let (mut pixels, mut wanted) = (Vec::new(), Vec::new());
        for &i in batch {
            let variant = settings.augmentation.draw(settings.seed, epoch, i);
            let image = standardise(&variant.apply(&images.pixels.get(i as i64)).unsqueeze(0));
            wanted.push(targets.of(i, variant, &image, settings.augmentation.mirrors_only()));
            pixels.push(image);
        }
        let target = Tensor::cat(&wanted, 0).to_kind(Kind::Float);
        // the target is brought to the teacher's size.
        let target = target.upsample_bilinear2d([half, half], false, None, None);
        let embeddings = teacher.net.forward(&channels_last(&Tensor::cat(&pixels, 0)), mode);
        let target = embeddings.first().map_or(target.shallow_clone(), |e| target.to_kind(e.kind()));
        let levels: Vec<Tensor> = embeddings.iter().map(|_| target.shallow_clone()).collect();
        let distance = level_loss(&levels, &embeddings);
        adam.step(&distance, rate);
        loss = distance.double_value(&[]);
        progress.step(step, fraction, &[("distillation", loss)]);
        loss
    })?;
    progress.finish();
    run.loss = loss;
    Ok(teacher)
}

/// Targets, each computed once where the augmentation allows it.
struct Targets<'a> {
    extractor: &'a TargetExtractor,
    cache: HashMap<(usize, bool, bool), Tensor>,
    bytes: usize,
}

impl Targets<'_> {
    fn of(&mut self, index: usize, variant: Variant, image: &Tensor, keep: bool) -> Tensor {
        let key = (index, variant.horizontal, variant.vertical);
        if let Some(target) = self.cache.get(&key).filter(|_| keep) {
            return target.shallow_clone();
        }
        let target = self.extractor.target(image).to_kind(Kind::Half);
        let bytes = 2 * target.numel();
        if keep && self.bytes + bytes <= CACHE_BYTES {
            self.bytes += bytes;
            self.cache.insert(key, target.shallow_clone());
        }
        target
    }
}
