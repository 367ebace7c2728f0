//! The transforms of inputs and outputs along one side of a tile.

use crate::infer::kernels::vector::Vector;

/// How I inputs become A values, and those outputs.
pub(super) trait Points<const I: usize, const A: usize> {
    /// Outputs an input.
    const SCALE: usize = 1;
    /// Whether outputs may be squared and summed.
    const SQUARES: bool = false;

    /// Which of the packed weights a position takes.
    fn weights(position: usize) -> usize {
        position
    }

    /// Bᵀ·d.
    ///
    /// # Safety
    /// As for [`Vector`].
    unsafe fn input<V: Vector>(d: &[V; I]) -> [V; A];

    /// Aᵀ·t, M outputs.
    ///
    /// # Safety
    /// As for [`Vector`].
    unsafe fn output<V: Vector, const M: usize>(t: &[V; A]) -> [V; M];
}

/// 0, ±1, ±2, ∞.
pub(super) struct Six;

impl Points<6, 6> for Six {
    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 6]) -> [V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, five) = (V::splat(2.0), V::splat(-4.0), V::splat(-5.0));
            let zero = d[2].mul_add(five, d[0].mul_add(V::splat(4.0), d[4]));
            let infinity = d[3].mul_add(five, d[1].mul_add(V::splat(4.0), d[5]));
            let (even, odd) = (d[2].mul_add(four, d[4]), d[1].mul_add(four, d[3]));
            let (far_even, far_odd) = (d[4].sub(d[2]), d[3].sub(d[1]));
            [
                zero,
                even.add(odd),
                even.sub(odd),
                far_odd.mul_add(two, far_even),
                far_odd.mul_add(V::splat(-2.0), far_even),
                infinity,
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector, const M: usize>(t: &[V; 6]) -> [V; M] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (t[1].add(t[2]), t[1].sub(t[2]));
            let (far_even, far_odd) = (t[3].add(t[4]), t[3].sub(t[4]));
            let mut y = [t[0].add(even).add(far_even); M];
            for (j, value) in y.iter_mut().enumerate().skip(1) {
                let (near, far) = if j % 2 == 0 { (even, far_even) } else { (odd, far_odd) };
                *value = far.mul_add(power(j), near);
            }
            y[M - 1] = y[M - 1].add(t[5]);
            y
        }
    }
}

/// 0, ±1, ±2, ±½, ∞.
pub(super) struct Eight;

impl Points<8, 8> for Eight {
    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 8]) -> [V; 8] {
        // SAFETY: the caller's.
        unsafe {
            let zero = d[4].sub(d[2]).mul_add(V::splat(5.25), d[0].sub(d[6]));
            let infinity = d[3].sub(d[5]).mul_add(V::splat(5.25), d[7].sub(d[1]));
            let even = d[4].mul_add(V::splat(-4.25), d[2].add(d[6]));
            let odd = d[3].mul_add(V::splat(-4.25), d[1].add(d[5]));
            let far_even = d[4].mul_add(V::splat(-1.25), d[2].mul_add(V::splat(0.25), d[6]));
            let far_odd = d[3].mul_add(V::splat(-2.5), d[1].mul_add(V::splat(0.5), d[5].add(d[5])));
            let near_even = d[4].mul_add(V::splat(-5.0), d[2].mul_add(V::splat(4.0), d[6]));
            let near_odd = d[3].mul_add(V::splat(-2.5), d[5].mul_add(V::splat(0.5), d[1].add(d[1])));
            [
                zero,
                even.add(odd),
                even.sub(odd),
                far_even.add(far_odd),
                far_even.sub(far_odd),
                near_even.add(near_odd),
                near_even.sub(near_odd),
                infinity,
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector, const M: usize>(t: &[V; 8]) -> [V; M] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (t[1].add(t[2]), t[1].sub(t[2]));
            let (far_even, far_odd) = (t[3].add(t[4]), t[3].sub(t[4]));
            let (near_even, near_odd) = (t[5].add(t[6]), t[5].sub(t[6]));
            let mut y = [t[0].add(even).add(far_even.add(near_even)); M];
            for (j, value) in y.iter_mut().enumerate().skip(1) {
                let (one, two, half) = if j % 2 == 0 { (even, far_even, near_even) } else { (odd, far_odd, near_odd) };
                *value = two.mul_add(power(j), half.mul_add(V::splat(1.0 / (1u32 << j) as f32), one));
            }
            y[M - 1] = y[M - 1].add(t[7]);
            y
        }
    }
}

/// 0, ±1, ±2, ±½, ±5/4, ∞.
pub(super) struct Ten;

impl Ten {
    const PAIRS: [f32; 4] = [1.0, 2.0, 0.5, 1.25];
    /// Coefficients of x⁶, x⁴, x² and 1 in the product of (x² − p²) over all pairs, below that of x⁸.
    const ALL: [f32; 4] = Self::product(Self::PAIRS.len());

    /// The same over all pairs but one, without the last.
    const OTHERS: [[f32; 4]; 4] = [Self::product(0), Self::product(1), Self::product(2), Self::product(3)];

    /// (5/4)ʲ.
    const FAR: [f32; 8] = {
        let mut powers = [1.0; 8];
        let mut j = 1;
        while j < powers.len() {
            powers[j] = powers[j - 1] * Self::PAIRS[3];
            j += 1;
        }
        powers
    };

    const fn product(without: usize) -> [f32; 4] {
        // Of x⁸ downwards; exact in f32.
        let mut all = [1.0_f32, 0.0, 0.0, 0.0, 0.0];
        let mut pair = 0;
        while pair < Self::PAIRS.len() {
            if pair != without {
                let square = Self::PAIRS[pair] * Self::PAIRS[pair];
                let mut power = 4;
                while power > 0 {
                    all[power] -= square * all[power - 1];
                    power -= 1;
                }
            }
            pair += 1;
        }
        [all[1], all[2], all[3], all[4]]
    }
}

impl Points<10, 10> for Ten {
    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 10]) -> [V; 10] {
        // SAFETY: the caller's.
        unsafe {
            // x⁸ + a·x⁶ + b·x⁴ + c·x², of every second input from `last` down, in one chain: there are ten to work on at a time.
            let half = |[a, b, c, _]: [f32; 4], last: usize| {
                let high = d[last - 2].mul_add(V::splat(a), d[last]);
                d[last - 6].mul_add(V::splat(c), d[last - 4].mul_add(V::splat(b), high))
            };
            let mut to = [V::splat(0.0); 10];
            to[0] = d[0].mul_add(V::splat(Self::ALL[3]), half(Self::ALL, 8));
            to[9] = d[1].mul_add(V::splat(Self::ALL[3]), half(Self::ALL, 9));
            for (pair, others) in Self::OTHERS.into_iter().enumerate() {
                let (even, odd) = (half(others, 8), half(others, 7));
                let point = Self::PAIRS[pair];
                to[1 + 2 * pair] = odd.mul_add(V::splat(point), even);
                to[2 + 2 * pair] = odd.mul_add(V::splat(-point), even);
            }
            to
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector, const M: usize>(t: &[V; 10]) -> [V; M] {
        // SAFETY: the caller's.
        unsafe {
            let [mut even, mut odd] = [[V::splat(0.0); 4]; 2];
            for pair in 0..4 {
                let (plus, minus) = (t[1 + 2 * pair], t[2 + 2 * pair]);
                (even[pair], odd[pair]) = (plus.add(minus), plus.sub(minus));
            }
            let mut y = [t[0].add(even[0].add(even[1])).add(even[2].add(even[3])); M];
            for (j, value) in y.iter_mut().enumerate().skip(1) {
                let [one, two, half, far] = if j % 2 == 0 { even } else { odd };
                let near = half.mul_add(V::splat(1.0 / (1u32 << j) as f32), one);
                *value = two.mul_add(power(j), far.mul_add(V::splat(Self::FAR[j]), near));
            }
            y[M - 1] = y[M - 1].add(t[9]);
            y
        }
    }
}

/// Four inputs as they are, for the outputs of one tap between which lie those of two taps: points 0, ±1, 2, ∞ of five inputs.
pub(super) struct Nine;

impl Points<5, 9> for Nine {
    const SCALE: usize = 2;
    const SQUARES: bool = true;

    fn weights(position: usize) -> usize {
        let along = |place: usize| (place + 1).saturating_sub(4);
        along(position / 9) * 6 + along(position % 9)
    }

    #[inline(always)]
    unsafe fn input<V: Vector>(d: &[V; 5]) -> [V; 9] {
        // SAFETY: the caller's.
        unsafe {
            let (odd, even) = (d[3].sub(d[1]), d[0].sub(d[2]));
            let zero = even.mul_add(V::splat(2.0), odd);
            let minus = d[1].mul_add(V::splat(2.0), d[2].mul_add(V::splat(-3.0), d[3]));
            let infinity = odd.mul_add(V::splat(-2.0), d[4].sub(d[2]));
            [d[0], d[1], d[2], d[3], zero, odd.sub(d[1].add(d[2])), minus, odd, infinity]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector, const M: usize>(t: &[V; 9]) -> [V; M] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (t[5].add(t[6]), t[5].sub(t[6]));
            let mut y = [t[4].add(even).add(t[7]); M];
            for (j, value) in y.iter_mut().enumerate() {
                match j {
                    1 => {}
                    _ if j % 2 == 0 => *value = t[j / 2],
                    _ => *value = t[7].mul_add(power(j / 2), if j % 4 == 1 { even } else { odd }),
                }
            }
            y[M - 1] = y[M - 1].add(t[8]);
            y
        }
    }
}

/// 2ʲ.
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn power<V: Vector>(j: usize) -> V {
    // SAFETY: the caller's.
    unsafe { V::splat((1u32 << j) as f32) }
}
