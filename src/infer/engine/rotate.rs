//! Σ_c (Σ_k x_k·W_kc)² does not change when the channels c are rotated: W becomes triangular, which halves a square one.

/// Rotates the columns of a (rows, columns) matrix by Householder reflections so that row k is zero past column k.
pub(super) fn to_lower_triangle(matrix: &mut [f32], columns: usize) {
    if columns == 0 {
        return;
    }
    let mut exact: Vec<f64> = matrix.iter().map(|v| f64::from(*v)).collect();
    let rows = exact.len() / columns;
    for pivot in 0..rows.min(columns) {
        let (done, below) = exact.split_at_mut((pivot + 1) * columns);
        let row = &mut done[pivot * columns + pivot..];
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        let diagonal = if row[0] > 0.0 { -norm } else { norm };
        let mut mirror = row.to_vec();
        mirror[0] -= diagonal;
        let square: f64 = mirror.iter().map(|v| v * v).sum();
        row.fill(0.0);
        row[0] = diagonal;
        for other in below.chunks_exact_mut(columns) {
            let other = &mut other[pivot..];
            let along: f64 = other.iter().zip(&mirror).map(|(a, b)| a * b).sum();
            let scale = 2.0 * along / square;
            other.iter_mut().zip(&mirror).for_each(|(value, m)| *value -= scale * m);
        }
    }
    matrix.iter_mut().zip(exact).for_each(|(to, value)| *to = value as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stay_and_the_upper_triangle_is_zero() {
        for (rows, columns) in [(5, 5), (9, 4), (3, 8), (1, 1)] {
            let value = |i: usize| ((i * 37 + 11) % 23) as f32 / 7.0 - 1.5;
            let matrix: Vec<f32> = (0..rows * columns).map(value).collect();
            let mut lower = matrix.clone();
            to_lower_triangle(&mut lower, columns);
            let input: Vec<f32> = (0..rows).map(|i| value(i + 5)).collect();
            let length = |matrix: &[f32]| -> f64 {
                let product =
                    |c: usize| (0..rows).map(|k| f64::from(input[k]) * f64::from(matrix[k * columns + c])).sum();
                (0..columns).map(product).map(|v: f64| v * v).sum()
            };
            let (expected, got) = (length(&matrix), length(&lower));
            assert!((expected - got).abs() <= 1e-5 * expected, "{rows}×{columns}: {expected} and {got}");
            for (i, value) in lower.iter().enumerate() {
                assert!(i % columns <= i / columns || *value == 0.0, "{rows}×{columns}: {value} at {i}");
            }
        }
    }

    #[test]
    fn a_matrix_of_zeros_stays() {
        let mut zeros = vec![0.0; 12];
        to_lower_triangle(&mut zeros, 3);
        assert_eq!(zeros, vec![0.0; 12]);
    }
}
