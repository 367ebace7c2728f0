//! The two-sample Kolmogorov–Smirnov test.

/// Largest distance of the empirical distributions of two sorted, non-empty samples, 0–1.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    let (mut i, mut j, mut largest) = (0, 0, 0.0_f64);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let least = x.min(*y);
        i += a[i..].iter().take_while(|v| **v <= least).count();
        j += b[j..].iter().take_while(|v| **v <= least).count();
        largest = largest.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    largest
}

/// Probability of at least this distance between samples of `n` and `m` values from one distribution: the limiting
/// distribution with the correction for small samples of Stephens (1970).
pub(super) fn p_value(distance: f64, n: usize, m: usize) -> f64 {
    let effective = (n as f64 * m as f64 / (n + m) as f64).sqrt();
    let lambda = (effective + 0.12 + 0.11 / effective) * distance;
    if lambda < 0.3 {
        // The series converges slowly there; the value differs from 1 by less than 1e-5.
        return 1.0;
    }
    let term = |k: i32| {
        let k = f64::from(k);
        (-2.0 * k * k * lambda * lambda).exp()
    };
    let sum: f64 = (1..=100).map(|k| if k % 2 == 1 { term(k) } else { -term(k) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy 2.4.6, scipy 1.17.1:
    // for n, m, shift in [(40, 60, 0), (300, 200, .1), (300, 200, .35), (1000, 500, .2), (25, 500, 1)]:
    //     a = [round(((i * 37) % n) ** 1.5 / n ** 1.5, 2) for i in range(n)]
    //     b = [round(((i * 11) % m) ** 1.5 / m ** 1.5 * (1 + shift), 2) for i in range(m)]
    //     r = stats.ks_2samp(a, b, method="exact"); print((n, m, shift, r.statistic, r.pvalue))
    const GOLDEN: [(usize, usize, f64, f64, f64); 5] = [
        (40, 60, 0.0, 0.016666666666666666, 1.0),
        (300, 200, 0.1, 0.06, 0.7648085720274566),
        (300, 200, 0.35, 0.17833333333333334, 0.0008679971342358657),
        (1000, 500, 0.2, 0.113, 0.0003869438563944306),
        (25, 500, 1.0, 0.392, 0.0008646446507689983),
    ];

    fn sample(n: usize, step: usize, scale: f64) -> Vec<f32> {
        let value = |i: usize| ((i * step % n) as f64).powf(1.5) / (n as f64).powf(1.5) * scale;
        let mut values: Vec<f32> = (0..n).map(|i| ((value(i) * 100.0).round_ties_even() / 100.0) as f32).collect();
        values.sort_by(f32::total_cmp);
        values
    }

    #[test]
    fn equals_scipys() {
        for (n, m, shift, statistic, p) in GOLDEN {
            let (a, b) = (sample(n, 37, 1.0), sample(m, 11, 1.0 + shift));
            let distance = distance(&a, &b);
            assert!((distance - statistic).abs() < 1e-9, "{n} {m} {shift}: {distance} {statistic}");
            // scipy's is exact, this one a limit.
            let got = p_value(distance, n, m);
            assert!((got - p).abs() < 0.02 && (got.ln() - p.ln()).abs() < 0.25, "{n} {m} {shift}: {got} {p}");
        }
    }

    #[test]
    fn samples_that_do_not_overlap_are_as_far_apart_as_can_be() {
        assert_eq!(distance(&[1.0, 2.0, 2.0], &[3.0]), 1.0);
        assert_eq!(distance(&[1.0, 2.0, 2.0], &[1.0, 2.0, 2.0]), 0.0);
        assert!(p_value(1.0, 50, 50) < 1e-20 && p_value(0.0, 50, 50) == 1.0);
    }
}
