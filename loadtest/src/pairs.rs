//! Ratios of pairs: two things measured right after each other in one run, several times.

/// The two values of each pair, and their ratio.
#[derive(Clone, Debug, Default)]
pub struct PairRatios {
    own: Vec<f64>,
    other: Vec<f64>,
    ratios: Vec<f64>,
}

impl PairRatios {
    pub fn add(&mut self, own: f64, other: f64) {
        self.own.push(own);
        self.other.push(other);
        self.ratios.push(own / other);
    }

    /// The median of the ratios.
    pub fn median(&self) -> f64 {
        median(&self.ratios)
    }

    /// The median of the first values.
    pub fn own_median(&self) -> f64 {
        median(&self.own)
    }

    /// The median of the values that the first ones are compared with.
    pub fn other_median(&self) -> f64 {
        median(&self.other)
    }

    /// The smallest and the largest ratio, in words.
    pub fn spread(&self) -> String {
        let smallest = self.ratios.iter().copied().min_by(f64::total_cmp).unwrap_or(f64::NAN);
        let largest = self.ratios.iter().copied().max_by(f64::total_cmp).unwrap_or(f64::NAN);
        format!("{smallest:.2} to {largest:.2} in {} pairs", self.ratios.len())
    }
}

/// The middle value; the mean of the middle two if their number is even, and no number if there is none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    (at((sorted.len().max(1) - 1) / 2) + at(sorted.len() / 2)) / 2.0
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
        let three = of(&[6.0, 2.0, 40.0]);
        assert_eq!((three.median(), three.own_median(), three.other_median()), (3.0, 6.0, 2.0));
        assert_eq!(three.spread(), "1.00 to 20.00 in 3 pairs");
        assert_eq!(of(&[6.0, 2.0]).median(), 2.0);
        assert!(of(&[]).median().is_nan());
    }
}
