//! Batches made ahead on worker threads; what is in them depends on seed and step alone.

use super::{Augmentation, DataError, Images, Variant, epoch_order};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use tch::Tensor;

/// Batches that are made before they are asked for.
const AHEAD: usize = 2;

/// Some images as they are trained on.
#[derive(Debug)]
pub struct Batch {
    /// SHA-256 of each image's file.
    pub keys: Vec<String>,
    /// How each was varied.
    pub variants: Vec<Variant>,
    /// (B, 3, S, S) on 0–1, not standardised.
    pub pixels: Tensor,
}

impl Batch {
    /// Images as they are, not varied.
    ///
    /// # Errors
    /// [`DataError`] where an image that was not kept in memory can no longer be read.
    pub fn plain(images: &Images, indices: &[usize]) -> Result<Self, DataError> {
        let pixels = indices.iter().map(|&i| images.tensor(i)).collect::<Result<Vec<_>, _>>()?;
        let keys = indices.iter().filter_map(|&i| images.entries().get(i)).map(|e| e.sha256.clone()).collect();
        Ok(Self { keys, variants: vec![Variant::NONE; indices.len()], pixels: Tensor::stack(&pixels, 0) })
    }
}

/// Which images a step takes, and how they are varied.
#[derive(Clone, Debug)]
struct Plan {
    images: usize,
    batch: usize,
    seed: u64,
    augmentation: Augmentation,
}

/// Gives the batch of any step, those of the next steps being made meanwhile.
#[derive(Debug)]
pub struct Loader {
    images: Arc<Images>,
    pool: Arc<ThreadPool>,
    plan: Plan,
    order: (usize, Vec<usize>),
    ready: VecDeque<(usize, Receiver<Made>)>,
}

type Made = Result<(Vec<String>, Vec<Variant>, Vec<f32>), DataError>;

impl Loader {
    /// Batches of `batch` images (fewer where there are fewer), varied by `augmentation`; incomplete batches at the end
    /// of an epoch are left out, as they would weigh their images more.
    pub fn new(
        images: Arc<Images>,
        pool: Arc<ThreadPool>,
        batch: usize,
        seed: u64,
        augmentation: Augmentation,
    ) -> Self {
        let count = images.len();
        let plan = Plan { images: count, batch: batch.clamp(1, count.max(1)), seed, augmentation };
        let order = (0, epoch_order(count, seed, 0));
        Self { images, pool, plan, order, ready: VecDeque::new() }
    }

    /// Steps that visit every image once, incomplete batches left out.
    pub fn steps_an_epoch(&self) -> usize {
        (self.plan.images / self.plan.batch).max(1)
    }

    /// The batch of a step, counted from 0.
    ///
    /// # Errors
    /// [`DataError`] where an image that was not kept in memory can no longer be read.
    pub fn batch(&mut self, step: usize) -> Result<Batch, DataError> {
        if self.ready.front().is_none_or(|(first, _)| *first != step) {
            self.ready.clear();
        }
        while self.ready.len() <= AHEAD {
            let next = step + self.ready.len();
            let receiver = self.start(next);
            self.ready.push_back((next, receiver));
        }
        let made = self.ready.pop_front().map(|(_, receiver)| receiver.recv());
        let Some(Ok(made)) = made else { return Err(DataError::Threads("a worker ended early".into())) };
        let (keys, variants, pixels) = made?;
        let side = self.images.side() as i64;
        let pixels = Tensor::from_slice(&pixels).view([keys.len() as i64, 3, side, side]);
        Ok(Batch { keys, variants, pixels })
    }

    fn start(&mut self, step: usize) -> Receiver<Made> {
        let epoch = step / self.steps_an_epoch();
        if self.order.0 != epoch {
            self.order = (epoch, epoch_order(self.plan.images, self.plan.seed, epoch));
        }
        let first = step % self.steps_an_epoch() * self.plan.batch;
        let indices: Vec<usize> = self.order.1.iter().skip(first).take(self.plan.batch).copied().collect();
        let (sender, receiver) = sync_channel(1);
        let (images, plan) = (Arc::clone(&self.images), self.plan.clone());
        self.pool.spawn(move || {
            // A receiver that is gone wants no batch.
            let _ = sender.send(make(&images, &plan, epoch, &indices));
        });
        receiver
    }
}

fn make(images: &Images, plan: &Plan, epoch: usize, indices: &[usize]) -> Made {
    let variants: Vec<Variant> = indices.iter().map(|&i| plan.augmentation.draw(plan.seed, epoch, i)).collect();
    let varied: Vec<Vec<f32>> = indices
        .par_iter()
        .zip(&variants)
        .map(|(&i, variant)| Ok(variant.apply(&images.pixels(i)?, images.side())))
        .collect::<Result<_, DataError>>()?;
    let keys = indices.iter().filter_map(|&i| images.entries().get(i)).map(|entry| entry.sha256.clone()).collect();
    Ok((keys, variants, varied.concat()))
}
