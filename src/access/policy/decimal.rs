//! Decimal numbers of any length, compared digit by digit: doubles would make 9007199254740993 equal to 9007199254740992.

use std::cmp::Ordering;

/// A decimal number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Reads an optional sign, digits, and an optional fraction; `None` for anything else, exponents included.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0').to_owned(), fraction.trim_end_matches('0').to_owned());
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Decimal { is_negative: is_negative && !is_zero, whole, fraction })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let size = |number: &Decimal| (number.whole.len(), number.whole.clone(), number.fraction.clone());
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order() {
        let ordered = ["-10", "-2.5", "-2", "-0.01", "0", "0.05", "0.5", "1", "9", "10", "10.01", "9007199254740992", "9007199254740993"];
        let numbers: Vec<_> = ordered.iter().map(|text| Decimal::parse(text).expect(text)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        for (one, other) in [("-0", "0"), ("007", "7"), ("1.50", "1.5"), ("+3", "3.0")] {
            assert_eq!(Decimal::parse(one), Decimal::parse(other));
        }
        for wrong in ["", "-", ".5", "5.", "1e3", "0x1", "1,5", " 1", "NaN", "1.2.3", "--1", "١"] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
    }
}
