//! Ranges of activations.

use super::error::scores_error;
use super::{Activation, Program};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use tch::{Kind, Tensor};

/// Cells of the histogram behind the entropy and squared-error rules.
const CELLS: usize = 2048;

/// How the range of a tensor is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observer {
    /// From the smallest to the largest value.
    MinMax,
    /// All but one value in 10⁵ on each side.
    Percentile,
    /// The least mean squared error of the values.
    Mse,
    /// The least Kullback–Leibler divergence between the values' histograms before and after.
    Entropy,
}

impl Observer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MinMax, Self::Percentile, Self::Mse, Self::Entropy];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Percentile => "percentile",
            Self::Mse => "mse",
            Self::Entropy => "entropy",
        }
    }
}

/// Equal cells from the smallest to the largest value.
struct Histogram {
    low: f64,
    width: f64,
    counts: Vec<f64>,
}

impl Histogram {
    fn new(values: &Tensor) -> Self {
        let (low, high) = (values.min().double_value(&[]), values.max().double_value(&[]));
        let (low, high) = (low.min(0.0), high.max(low.min(0.0) + f64::from(f32::MIN_POSITIVE)));
        let counts = values.to_kind(Kind::Float).histc_range(low, high);
        Self { low, width: (high - low) / CELLS as f64, counts }
    }

    fn high(&self) -> f64 {
        self.low + self.width * self.counts.len() as f64
    }

    /// The range that `observer` chooses.
    fn range(&self, observer: Observer) -> (f64, f64) {
        match observer {
            Observer::MinMax => (self.low, self.high()),
            Observer::Percentile => self.without(1e-5),
            Observer::Mse => self.best(|low, high| self.squared_error(low, high)),
            Observer::Entropy => self.best(|low, high| self.divergence(low, high)),
        }
    }

    /// The range without the share `share` of the values on each side.
    fn without(&self, share: f64) -> (f64, f64) {
        let limit = share * self.counts.iter().sum::<f64>();
        let skip = |counts: &mut dyn Iterator<Item = &f64>| {
            let mut sum = 0.0;
            counts.take_while(|count| (sum += **count, sum <= limit).1).count() as f64
        };
        let (below, above) = (skip(&mut self.counts.iter()), skip(&mut self.counts.iter().rev()));
        (self.low + below * self.width, self.high() - above * self.width)
    }

    /// The range with the least `cost` among those that shrink the whole one towards 0.
    fn best(&self, cost: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        let candidates = (0..48).map(|step| 1.0 - f64::from(step) / 64.0);
        let ranges = candidates.map(|part| (self.low * part, self.high() * part));
        let costs = ranges.map(|(low, high)| (cost(low, high), (low, high)));
        costs.min_by(|a, b| a.0.total_cmp(&b.0)).map_or((self.low, self.high()), |(_, range)| range)
    }

    fn cells(&self) -> impl Iterator<Item = (f64, f64)> {
        let centre = |index: usize| self.low + (index as f64 + 0.5) * self.width;
        self.counts.iter().enumerate().map(move |(index, count)| (centre(index), *count))
    }

    /// Σ count · (value − its code's value)², the rounding inside the range taken as uniform.
    fn squared_error(&self, low: f64, high: f64) -> f64 {
        let step = (high - low) / 255.0;
        let error = |value: f64| {
            let outside = (value - value.clamp(low, high)).abs();
            if outside > 0.0 { outside * outside } else { step * step / 12.0 }
        };
        self.cells().map(|(value, count)| count * error(value)).sum()
    }

    /// Σ p · ln(p / q), q being p spread evenly over the cells that share a code, with what lies outside in the last ones.
    fn divergence(&self, low: f64, high: f64) -> f64 {
        let step = (high - low) / 255.0;
        let code = |value: f64| ((value.clamp(low, high) - low) / step).round() as usize;
        let mut mass = vec![0.0; 256];
        let mut used = vec![0.0; 256];
        for (value, count) in self.cells() {
            let code = code(value).min(255);
            mass[code] += count;
            used[code] += f64::from(u8::from(count > 0.0 && (low..=high).contains(&value)));
        }
        let total: f64 = self.counts.iter().sum();
        let term = |(value, count): (f64, f64)| {
            if count == 0.0 {
                return 0.0;
            }
            let code = code(value).min(255);
            let inside = (low..=high).contains(&value) && used[code] > 0.0;
            let spread = if inside { mass[code] / used[code] } else { 1e-3 };
            count / total * (count / spread).ln()
        };
        self.cells().map(term).sum()
    }
}

trait Counted {
    fn histc_range(&self, low: f64, high: f64) -> Vec<f64>;
}

impl Counted for Tensor {
    fn histc_range(&self, low: f64, high: f64) -> Vec<f64> {
        let cells = CELLS as f64;
        let index = ((self.view(-1) - low) * (cells / (high - low))).clamp(0.0, cells - 1.0).to_kind(Kind::Int64);
        let counts = index.bincount::<Tensor>(None, CELLS as i64).to_kind(Kind::Double);
        Vec::<f64>::try_from(counts).unwrap_or_default()
    }
}

/// The activations of a graph in 8 bits and how each range was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub activations: BTreeMap<String, Activation>,
    pub observers: BTreeMap<String, Observer>,
    /// Relative error of the scores where this tensor alone is in 8 bits.
    pub errors: BTreeMap<String, f64>,
}

/// For each tensor that a convolution reads the observer whose range changes the scores of `images` least; the
/// tensors of a run on `images` are in `known`.
pub(super) fn observe(program: &Program, known: &HashMap<String, Tensor>, expected: &[Tensor]) -> Observed {
    let mut observed = Observed::default();
    for name in program.convolved() {
        let Some(value) = known.get(&name) else { continue };
        let histogram = Histogram::new(value);
        let mut best: Option<(f64, Observer, Activation)> = None;
        let mut tried: Vec<Activation> = Vec::new();
        for observer in Observer::ALL {
            let (low, high) = histogram.range(observer);
            let activation = Activation::of_range(low as f32, high as f32);
            if tried.contains(&activation) {
                continue;
            }
            tried.push(activation);
            let changed = HashMap::from([(name.clone(), activation.rounded(value))]);
            let error = scores_error(&program.rerun(known, changed), expected);
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, observer, activation));
            }
        }
        if let Some((error, observer, activation)) = best {
            observed.activations.insert(name.clone(), activation);
            observed.observers.insert(name.clone(), observer);
            observed.errors.insert(name, error);
        }
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise;
    use tch::Device;

    #[test]
    fn rules_cut_outliers_where_that_helps_and_keep_even_values_whole() {
        let options = (Kind::Float, Device::Cpu);
        let even = Histogram::new(&Tensor::linspace(0.0, 1.0, 100_000, options));
        for observer in Observer::ALL {
            let (low, high) = even.range(observer);
            assert!(low == 0.0 && (0.98..=1.0).contains(&high), "{observer:?}: {low} {high}");
        }
        // The quantiles of a normal distribution.
        let normal = Tensor::linspace(-0.99999, 0.99999, 200_000, options).erfinv() * std::f64::consts::SQRT_2;
        let _ = normal.narrow(0, 0, 1).fill_(20.0);
        let tailed = Histogram::new(&normal);
        assert!(tailed.range(Observer::MinMax).1 > 19.9);
        // Cutting the one value of 20 at h costs (20 − h)², rounding all others n·((h + 4.3)/255)²/12: least at h = 15.
        for (observer, most) in [(Observer::Percentile, 5.0), (Observer::Mse, 17.0), (Observer::Entropy, 20.0)] {
            let (low, high) = tailed.range(observer);
            assert!(low < -2.0 && (2.0..=most).contains(&high), "{observer:?}: {low} {high}");
        }
    }

    #[test]
    fn the_squared_error_is_that_of_rounding() {
        let values = noise(&[200_000], 4);
        let histogram = Histogram::new(&values);
        for part in [0.3, 0.6, 1.0] {
            let (low, high) = (histogram.low * part, histogram.high() * part);
            let rounded = Activation::of_range(low as f32, high as f32).rounded(&values);
            let error = (rounded - &values).square().sum(Kind::Double).double_value(&[]);
            let estimate = histogram.squared_error(low, high);
            assert!((estimate / error - 1.0).abs() < 0.1, "{part}: {estimate} {error}");
        }
    }
}
