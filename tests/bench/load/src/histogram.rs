//! Latencies in buckets of less than one percent, so that a run of any length takes 57 KiB.

/// Values below this have a bucket each; above, every power of two is cut into this many halves.
const EXACT: u64 = 256;
const HALF: u64 = EXACT / 2;
/// `u64::MAX` falls into the last bucket.
const BUCKETS: usize = bucket_of(u64::MAX) + 1;

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

const fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let shift = EXACT.leading_zeros() - value.leading_zeros() + 1;
    ((value >> shift) + HALF * shift as u64) as usize
}

/// The highest value of a bucket.
fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let shift = bucket / HALF - 1;
    let mantissa = bucket - HALF * shift;
    (mantissa << shift) + ((1 << shift) - 1)
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    pub fn record(&mut self, value: u64) {
        self.counts[bucket_of(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The value that `share` of all (0 to 1) do not exceed; 0 while there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return top_of(bucket).min(self.max);
            }
        }
        self.max
    }

    pub fn max(&self) -> u64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_within_a_percent_of_its_top() {
        let values =
            (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + (1 << bit) / 3]);
        for value in values.chain([u64::MAX]) {
            let top = top_of(bucket_of(value));
            assert!(top >= value, "{value}");
            assert!((top - value) as f64 <= value as f64 / 100.0, "{value}");
            assert_eq!(bucket_of(top), bucket_of(value));
            assert!(top == u64::MAX || bucket_of(top + 1) == bucket_of(top) + 1, "{value}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        (1..=1000).rev().for_each(|micros| histogram.record(micros * 1000));
        for (share, exact) in [(0.0, 1e3), (0.5, 500e3), (0.99, 990e3), (0.999, 999e3), (1.0, 1e6)]
        {
            let found = histogram.quantile(share) as f64;
            assert!((exact..=exact * 1.01).contains(&found), "{share}: {found}");
        }
        assert_eq!(histogram.max(), 1_000_000);
    }

    #[test]
    fn an_empty_histogram_has_only_zeros() {
        assert_eq!(Histogram::new().quantile(0.99), 0);
    }
}
