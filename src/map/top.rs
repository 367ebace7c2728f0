//! The mean of the largest values of a map.

/// Mean of the `count` largest of `values`, of all where there are fewer; 0 of none. The values are finite.
pub(super) fn top_mean(values: &[f32], count: usize) -> f32 {
    let count = count.min(values.len());
    let mut values = values.to_vec();
    if let Some(last) = count.checked_sub(1) {
        values.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
    }
    let top = values.get(..count).unwrap_or_default();
    let sum: f64 = top.iter().copied().map(f64::from).sum();
    (sum / count.max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: sort, take, average.
    fn naive(values: &[f32], count: usize) -> f32 {
        let mut sorted = values.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted.truncate(count);
        let sum: f64 = sorted.iter().copied().map(f64::from).sum();
        (sum / sorted.len() as f64) as f32
    }

    #[test]
    fn the_mean_is_that_of_the_sorted_head() {
        let values: Vec<f32> = (0..1000u32).map(|i| ((i * 7919) % 1000) as f32 / 7.0 - 20.0).collect();
        for count in [1, 2, 10, 999, 1000, 5000] {
            let (got, expected) = (top_mean(&values, count), naive(&values, count));
            assert!((got - expected).abs() < 1e-4, "{count}: {got}, expected {expected}");
        }
        assert_eq!(top_mean(&values, 1), values.iter().copied().fold(f32::MIN, f32::max));
        assert_eq!(top_mean(&[], 3), 0.0);
    }

    #[test]
    fn one_noisy_pixel_counts_less_the_more_pixels_are_averaged() {
        let mut values = vec![1.0; 100];
        values[17] = 11.0;
        assert_eq!([1, 2, 10].map(|count| top_mean(&values, count)), [11.0, 6.0, 2.0]);
    }
}
