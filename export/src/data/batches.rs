//! The order in which an epoch visits the images.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A permutation of `0..images` that depends on seed and epoch alone.
pub fn epoch_order(images: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(super::augment::mix(seed, epoch as u64, u64::MAX)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_visits_every_image_once_and_changes_with_the_epoch() {
        let order = epoch_order(50, 7, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(50, 7, 3));
        assert_ne!(order, epoch_order(50, 7, 4));
        assert_ne!(order, epoch_order(50, 8, 3));
    }
}
