//! Times as HdrHistogram keeps them: microseconds, three digits, from 1 µs to an hour.
//!
//! Those of a schedule are counted from the moment when the thing should have begun, not from when a busy generator came to it: so a server
//! that holds everybody up is charged for all that it held up (coordinated omission).

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told apart from longer ones, in microseconds.
const MOST_US: u64 = 3_600_000_000;

/// Many times.
#[derive(Clone, Debug)]
pub struct Times {
    histogram: Histogram<u64>,
}

impl Default for Times {
    fn default() -> Times {
        let histogram = Histogram::new_with_bounds(1, MOST_US, 3).unwrap_or_else(|_| unreachable!("these bounds are allowed"));
        Times { histogram }
    }
}

impl Times {
    /// Another one.
    pub fn add(&mut self, time: Duration) {
        self.histogram.saturating_record((time.as_nanos() as u64).div_ceil(1000));
    }

    /// All of others, too.
    pub fn add_all(&mut self, others: &Times) {
        // Both have the same bounds.
        let _ = self.histogram.add(&others.histogram);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that this percentage stays within, in microseconds.
    pub fn at(&self, percent: f64) -> f64 {
        self.histogram.value_at_percentile(percent) as f64
    }

    /// The longest, in microseconds.
    pub fn most(&self) -> f64 {
        self.histogram.max() as f64
    }

    /// Percentages and times, from the shortest to the longest, for a plot.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let at = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];
        at.iter().map(|percent| (*percent, self.at(*percent))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_of_all_times() {
        let mut times = Times::default();
        (1..=1000).for_each(|ms| times.add(Duration::from_millis(ms)));
        assert_eq!(times.count(), 1000);
        let near = |percent: f64, us: f64| assert!((times.at(percent) / us - 1.0).abs() < 0.01, "{percent}: {}", times.at(percent));
        near(50.0, 500_000.0);
        near(99.0, 990_000.0);
        assert!(times.most() >= 1_000_000.0);
    }
}
