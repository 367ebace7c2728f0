use mudenet_board::Micros;

/// Buckets of one microsecond; what is longer counts in the last one and by the maximum.
const BUCKETS: usize = 20_000;

/// A distribution of times, to the microsecond up to 20 ms.
#[derive(Clone)]
pub struct Latency {
    buckets: Vec<u32>,
    count: u64,
    max: Micros,
}

impl std::fmt::Debug for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latency").field("count", &self.count).field("max", &self.max).finish_non_exhaustive()
    }
}

impl Default for Latency {
    fn default() -> Self {
        // Every page of it is taken now, not when a time first falls into it: a box takes no more memory as it runs.
        let mut buckets = std::hint::black_box(vec![u32::MAX; BUCKETS]);
        buckets.fill(0);
        Self { buckets, count: 0, max: 0 }
    }
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, time: Micros) {
        let bucket = usize::try_from(time).unwrap_or(usize::MAX).min(BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, µs.
    pub fn max(&self) -> Micros {
        self.max
    }

    /// The time that the share `q` (0–1) of all did not exceed, µs; 0 where nothing was counted.
    pub fn quantile(&self, q: f64) -> Micros {
        let wanted = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (time, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return if time == BUCKETS - 1 { self.max } else { time as Micros };
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let mut latency = Latency::default();
        let mut times: Vec<Micros> = (0..1000).map(|i| i * 7919 % 9973).collect();
        times.push(50_000);
        times.iter().for_each(|time| latency.add(*time));
        times.sort_unstable();
        for q in [0.5, 0.9, 0.99, 1.0] {
            let rank = (q * times.len() as f64).ceil() as usize - 1;
            assert_eq!(latency.quantile(q), times[rank], "{q}");
        }
        assert_eq!((latency.count(), latency.max()), (1001, 50_000));
        assert_eq!(Latency::default().quantile(0.5), 0);
    }
}
