//! Whether two scores put images into the same order.

/// Spearman's rank correlation, equal values sharing their mean rank: −1 to 1; `None` under two pairs, where all values of
/// one side are equal or where one is NaN.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() || a.len() < 2 || a.iter().chain(b).any(|v| v.is_nan()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = product(&a, &a).sqrt() * product(&b, &b).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|x, y| values[*x].total_cmp(&values[*y]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for ties in order.chunk_by(|x, y| values[*x] == values[*y]) {
        let rank = first as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ties.iter().for_each(|index| ranks[*index] = rank);
        first += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    // python -c "from scipy.stats import spearmanr as s; print(s([1,2,2,4,5.5],[3,1,7,7,9]).statistic)" (SciPy 1.17.1)
    #[test]
    fn equals_scipy() {
        let got = rank_correlation(&[1.0, 2.0, 2.0, 4.0, 5.5], &[3.0, 1.0, 7.0, 7.0, 9.0]).unwrap();
        assert!((got - 0.7631578947368421).abs() < 1e-12, "{got}");
    }

    #[test]
    fn follows_any_rising_function_and_turns_with_a_falling_one() {
        let values = [0.3f32, -1.0, 12.0, 4.0, 0.5];
        let rising = values.map(|v| v.exp());
        let falling = values.map(|v| -v);
        assert!((rank_correlation(&values, &rising).unwrap() - 1.0).abs() < 1e-12);
        assert!((rank_correlation(&values, &falling).unwrap() + 1.0).abs() < 1e-12);
    }

    #[test]
    fn is_undefined_without_order() {
        assert_eq!(rank_correlation(&[1.0], &[1.0]), None);
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(rank_correlation(&[1.0, f32::NAN], &[1.0, 2.0]), None);
    }
}
