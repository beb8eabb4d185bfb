//! Ratios of pairs: two things measured right after each other in one run, several times.

/// The ratio of each pair.
#[derive(Clone, Debug, Default)]
pub struct PairRatios {
    ratios: Vec<f64>,
}

impl PairRatios {
    pub fn add(&mut self, value: f64, relative_to: f64) {
        self.ratios.push(value / relative_to);
        self.ratios.sort_by(f64::total_cmp);
    }

    /// The median; the mean of the middle two if their number is even.
    pub fn median(&self) -> f64 {
        let (low, high) = ((self.ratios.len().max(1) - 1) / 2, self.ratios.len() / 2);
        let at = |place: usize| self.ratios.get(place).copied().unwrap_or(f64::NAN);
        (at(low) + at(high)) / 2.0
    }

    /// The smallest and the largest ratio, in words.
    pub fn spread(&self) -> String {
        let at = |ratio: Option<&f64>| ratio.copied().unwrap_or(f64::NAN);
        format!("{:.2} to {:.2} in {} pairs", at(self.ratios.first()), at(self.ratios.last()), self.ratios.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_pairs_is_their_middle() {
        let of = |values: &[f64]| {
            let mut ratios = PairRatios::default();
            values.iter().for_each(|value| ratios.add(*value, 2.0));
            ratios
        };
        assert_eq!(of(&[6.0, 2.0, 40.0]).median(), 3.0);
        assert_eq!(of(&[6.0, 2.0]).median(), 2.0);
        assert!(of(&[]).median().is_nan());
        assert_eq!(of(&[6.0, 2.0, 40.0]).spread(), "1.00 to 20.00 in 3 pairs");
    }
}
