//! Latencies in a histogram (HdrHistogram): microseconds, three significant digits, from 1 us to an hour.
//!
//! The latency of a scheduled operation is counted from the time at which it was due, not from when a busy load generator started it.
//! So a server that delays the generator is charged for the whole delay (coordinated omission).

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer latencies are recorded as this one, in microseconds.
const MAX_US: u64 = 3_600_000_000;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 3).unwrap_or_else(|_| unreachable!("these bounds are allowed"));
        Latencies { histogram }
    }
}

impl Latencies {
    pub fn record(&mut self, time: Duration) {
        self.histogram.saturating_record((time.as_nanos() as u64).div_ceil(1000));
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, others: &Latencies) {
        // It cannot fail: both have the same bounds.
        let _ = self.histogram.add(&others.histogram);
    }

    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// A percentile, in microseconds.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        self.histogram.value_at_percentile(percent) as f64
    }

    /// The longest latency, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.histogram.max() as f64
    }

    /// Percentages and latencies in microseconds, from the shortest to the longest, for a chart.
    pub fn percentile_curve(&self) -> Vec<(f64, f64)> {
        let at = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];
        at.iter().map(|percent| (*percent, self.percentile_us(*percent))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_cover_all_latencies() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        assert_eq!(latencies.count(), 1000);
        let near = |percent: f64, us: f64| {
            assert!((latencies.percentile_us(percent) / us - 1.0).abs() < 0.01, "{percent}: {}", latencies.percentile_us(percent))
        };
        near(50.0, 500_000.0);
        near(99.0, 990_000.0);
        assert!(latencies.max_us() >= 1_000_000.0);
    }
}
