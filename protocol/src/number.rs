//! The numbers of values, each in its canonical form: numbers are equal exactly when their encodings are.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 2^63, the first number above the range of `i64`. Doubles represent powers of two exactly.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// 2^64, the first number above the range of `u64`.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// A finite number: a whole number from -2^63 to 2^64 - 1, or any other IEEE 754 double, kept bit by bit.
///
/// A double that is such a whole number becomes that integer when it is decoded, and -0 becomes 0, because JavaScript writes `1.0` as `1` and `-0` as `0`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number(CanonicalForm);

/// Each number has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CanonicalForm {
    /// A whole number from -2^63 to 2^63 - 1.
    Int(i64),
    /// A whole number from 2^63 to 2^64 - 1.
    Big(u64),
    /// The bits of any other finite double.
    Double(u64),
}

impl Number {
    /// The nearest number to a double, which is the double itself; `None` if it is not finite.
    pub fn from_f64(double: f64) -> Option<Number> {
        if !double.is_finite() {
            return None;
        }
        if double.fract() == 0.0 {
            if (-TWO_TO_63..TWO_TO_63).contains(&double) {
                return Some(Number::from(double as i64));
            }
            if (TWO_TO_63..TWO_TO_64).contains(&double) {
                return Some(Number::from(double as u64));
            }
        }
        Some(Number(CanonicalForm::Double(double.to_bits())))
    }

    /// The number as a double; a whole number of more than 53 bits is rounded to the nearest.
    pub fn as_f64(self) -> f64 {
        match self.0 {
            CanonicalForm::Int(n) => n as f64,
            CanonicalForm::Big(n) => n as f64,
            CanonicalForm::Double(bits) => f64::from_bits(bits),
        }
    }

    /// The number if it is a whole one from -2^63 to 2^63 - 1.
    pub fn as_i64(self) -> Option<i64> {
        if let CanonicalForm::Int(n) = self.0 { Some(n) } else { None }
    }

    /// The number if it is a whole one that is not negative.
    pub(crate) fn as_u64(self) -> Option<u64> {
        self.whole().and_then(|whole| u64::try_from(whole).ok())
    }

    /// The sum of two numbers. Two whole numbers are added exactly, any others as doubles.
    /// `None` if the sum of whole numbers is not from -2^63 to 2^64 - 1, or if the sum of doubles is not finite.
    pub fn sum(self, other: Number) -> Option<Number> {
        match (self.whole(), other.whole()) {
            (Some(a), Some(b)) => {
                let sum = a + b;
                i64::try_from(sum).map(Number::from).or_else(|_| u64::try_from(sum).map(Number::from)).ok()
            }
            _ => Number::from_f64(self.as_f64() + other.as_f64()),
        }
    }

    /// Whether the number may stand for a whole number outside of the range: a JSON decoder rounds those to the nearest double.
    pub(crate) fn may_be_rounded(self) -> bool {
        match self.0 {
            CanonicalForm::Int(n) => n == i64::MIN,
            CanonicalForm::Big(_) => false,
            CanonicalForm::Double(bits) => f64::from_bits(bits).abs() >= TWO_TO_63,
        }
    }

    fn whole(self) -> Option<i128> {
        match self.0 {
            CanonicalForm::Int(n) => Some(n.into()),
            CanonicalForm::Big(n) => Some(n.into()),
            CanonicalForm::Double(_) => None,
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Number {
        Number(CanonicalForm::Int(number))
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Number {
        Number(i64::try_from(number).map_or(CanonicalForm::Big(number), CanonicalForm::Int))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CanonicalForm::Int(n) => n.fmt(f),
            CanonicalForm::Big(n) => n.fmt(f),
            CanonicalForm::Double(bits) => write!(f, "{:?}", f64::from_bits(bits)),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            CanonicalForm::Int(n) => serializer.serialize_i64(n),
            CanonicalForm::Big(n) => serializer.serialize_u64(n),
            CanonicalForm::Double(bits) => serializer.serialize_f64(f64::from_bits(bits)),
        }
    }
}

/// A whole number in a message, such as a patch number. It may be written as a double: encoders for JavaScript do so with numbers of more than 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct WholeNumber(pub u64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WholeNumber, D::Error> {
        struct WholeNumberVisitor;
        impl Visitor<'_> for WholeNumberVisitor {
            type Value = WholeNumber;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number that is not negative")
            }
            fn visit_u64<E>(self, number: u64) -> Result<WholeNumber, E> {
                Ok(WholeNumber(number))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<WholeNumber, E> {
                u64::try_from(number).map(WholeNumber).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<WholeNumber, E> {
                let whole = Number::from_f64(number).and_then(Number::as_u64);
                whole.map(WholeNumber).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }
        }
        // A codec that is asked for its own type names that in its error.
        deserializer.deserialize_any(WholeNumberVisitor)
    }
}

/// Decodes a field that is a whole number.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    WholeNumber::deserialize(deserializer).map(|WholeNumber(number)| number)
}

/// Decodes an optional field that is a whole number.
pub(crate) fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<WholeNumber>::deserialize(deserializer)?.map(|WholeNumber(number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: f64) -> Number {
        Number::from_f64(number).expect("finite")
    }

    #[test]
    fn a_double_that_is_a_whole_number_of_64_bits_is_that_integer() {
        assert_eq!(double(-0.0), Number::from(0_i64));
        assert_eq!(double(1e15), Number::from(1_000_000_000_000_000_i64));
        assert_eq!(double(-TWO_TO_63), Number::from(i64::MIN));
        assert_eq!(double(TWO_TO_63), Number::from(1_u64 << 63));
        assert_eq!(double(TWO_TO_64.next_down()), Number::from(u64::MAX - 2047));
        for kept in [TWO_TO_64, -TWO_TO_63.next_up(), 1e300, 0.5, -0.1, f64::MIN_POSITIVE, 5e-324] {
            assert_eq!(double(kept).0, CanonicalForm::Double(kept.to_bits()), "{kept}");
        }
        assert!(Number::from_f64(f64::NAN).is_none() && Number::from_f64(f64::INFINITY).is_none());
    }

    #[test]
    fn sums_of_whole_numbers_are_exact() {
        let (max, one) = (Number::from(u64::MAX), Number::from(1_i64));
        assert_eq!(Number::from(i64::MAX).sum(one), Some(Number::from(1_u64 << 63)));
        assert_eq!(max.sum(Number::from(i64::MIN)), Some(Number::from(i64::MAX)));
        assert_eq!(max.sum(one), None, "not rounded");
        assert_eq!(Number::from(i64::MIN).sum(Number::from(-1_i64)), None);
        assert_eq!(one.sum(double(0.5)), Some(double(1.5)));
        assert_eq!(double(0.5).sum(double(0.5)), Some(one));
        assert_eq!(double(1e300).sum(one), Some(double(1e300)));
        assert_eq!(double(f64::MAX).sum(double(f64::MAX)), None);
    }
}
