//! Names and values of a query string or a form, decoded once.

use super::percent::{self, PlusSign};

/// The decoded pairs of a query or form, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

/// Why a query or form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFault {
    /// It has more pairs than are read.
    TooMany,
    /// A `%` is followed by no two hexadecimal digits.
    BrokenEscape,
    /// A name or value is not UTF-8.
    NotUtf8,
    /// A name that may be there once is there more often.
    Repeated,
}

impl ParameterFault {
    /// The fault in words, for the sender.
    pub fn text(self) -> &'static str {
        match self {
            ParameterFault::TooMany => "it has too many parameters",
            ParameterFault::BrokenEscape => "its percent-encoding is broken",
            ParameterFault::NotUtf8 => "it is not UTF-8",
            ParameterFault::Repeated => "it names a parameter twice",
        }
    }
}

impl Parameters {
    /// Reads `a=b&c=d`. A name without `=` has an empty value; empty pairs are skipped; a `+` is a space.
    ///
    /// After `most` pairs the rest is not looked at.
    pub fn parse(text: &[u8], most: usize) -> Result<Parameters, ParameterFault> {
        let mut pairs = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == most {
                return Err(ParameterFault::TooMany);
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(Parameters(pairs))
    }

    /// The value of a name that is there at most once.
    pub fn single(&self, name: &str) -> Result<Option<&str>, ParameterFault> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(ParameterFault::Repeated),
            (found, None) => Ok(found.map(|(_, value)| value.as_str())),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn into_pairs(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }
}

fn decoded(text: &[u8]) -> Result<String, ParameterFault> {
    let bytes = percent::decode(text, PlusSign::Space).map_err(|_| ParameterFault::BrokenEscape)?;
    String::from_utf8(bytes).map_err(|_| ParameterFault::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_once_and_bounded() {
        let read = Parameters::parse(b"a=1&&b&=x&c=d=e&f=%2525+%E2%82%AC", 9).unwrap();
        let pairs: Vec<_> = read.iter().collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("", "x"), ("c", "d=e"), ("f", "%25 \u{20ac}")]);
        assert_eq!(Parameters::parse(b"a&b&c", 2), Err(ParameterFault::TooMany));
        assert_eq!(Parameters::parse(b"a=%FF", 2), Err(ParameterFault::NotUtf8));
        assert_eq!(Parameters::parse(b"a=%F", 2), Err(ParameterFault::BrokenEscape));
        let twice = Parameters::parse(b"a=1&%61=2", 2).unwrap();
        assert_eq!((twice.single("a"), twice.single("b")), (Err(ParameterFault::Repeated), Ok(None)));
    }
}
