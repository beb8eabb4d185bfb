//! Names as types: a value of such a type is always a valid name.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits;

/// Why a text is not a valid name; its `Display` is the rule that the text breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.what, self.rule)
    }
}

impl std::error::Error for NameError {}

/// A kind of name that stands on the wire.
pub(crate) trait WireName: Sized {
    /// What the name is, for people.
    const WHAT: &'static str;

    fn of_text(text: &str) -> Result<Self, NameError>;
}

/// A text that should be a name. An invalid one is a value here and no decoder's error, so that the caller decides what it means.
#[derive(Clone)]
pub(crate) struct CheckedName<N>(pub(crate) Result<N, Box<InvalidName>>);

/// A text that is no name of its kind.
#[derive(Clone)]
pub(crate) struct InvalidName {
    pub(crate) text: String,
    pub(crate) why: NameError,
}

impl<N> CheckedName<N> {
    /// What was sent.
    pub(crate) fn into_text(self) -> String
    where
        N: fmt::Display,
    {
        match self.0 {
            Ok(name) => name.to_string(),
            Err(invalid) => invalid.text,
        }
    }
}

impl<'de, N: WireName> Deserialize<'de> for CheckedName<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CheckedName<N>, D::Error> {
        struct NameVisitor<N>(PhantomData<N>);
        impl<N: WireName> Visitor<'_> for NameVisitor<N> {
            type Value = CheckedName<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(N::WHAT)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<CheckedName<N>, E> {
                Ok(CheckedName(N::of_text(text).map_err(|why| Box::new(InvalidName { text: text.to_owned(), why }))))
            }
        }
        deserializer.deserialize_str(NameVisitor(PhantomData))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks a text against the rule of this kind of name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl WireName for $type {
            const WHAT: &'static str = $what;

            fn of_text(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                CheckedName::deserialize(deserializer)?.0.map_err(|invalid| D::Error::custom(invalid.why))
            }
        }
    };
}

name!(
    /// The name of a dataset, unique within its identity: 1 to 128 of `a-z A-Z 0-9 _ . : -`, as Cognito's `DatasetName`, but not `.` or `..`.
    DatasetName,
    "a dataset's name",
    "1 to 128 of a-z A-Z 0-9 _ . : -, but not . or ..",
    |text| (1..=limits::DATASET_NAME_BYTES).contains(&text.len())
        && !has_dot_segment(text)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
);

name!(
    /// The key of a record: any text of 1 to 1,024 bytes, compared byte by byte.
    Key,
    "a key",
    "1 to 1024 bytes of UTF-8",
    |text| (1..=limits::KEY_BYTES).contains(&text.len())
);

name!(
    /// The id of one installation of the app, which the client chooses once and keeps: 1 to 256 printable ASCII characters without spaces, with no
    /// `.` or `..` between slashes.
    DeviceId,
    "a device's id",
    "1 to 256 printable ASCII characters without spaces, and no . or .. between slashes",
    |text| (1..=limits::DEVICE_ID_BYTES).contains(&text.len()) && !has_dot_segment(text) && text.bytes().all(|b| b.is_ascii_graphic())
);

name!(
    /// The random id of a store's history: 1 to 64 printable ASCII characters without spaces. Positions of different epochs cannot be compared.
    Epoch,
    "an epoch",
    "1 to 64 printable ASCII characters without spaces",
    |text| (1..=limits::EPOCH_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

/// Whether a part of the name between slashes is `.` or `..`. Clients and proxies remove such segments from a URL's path (RFC 3986 section 5.2.4), also
/// percent-encoded ones: a request for one device would reach another one.
fn has_dot_segment(text: &str) -> bool {
    text.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_of_their_bounds_are_rejected() {
        for good in ["a", "settings", "Az09_.:-", "...", ".a", "a..", &"x".repeat(128)] {
            assert!(DatasetName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "../up", "ümlaut", "a\0", &"x".repeat(129)] {
            assert!(DatasetName::new(bad).is_err(), "{bad:?}");
        }
        assert!(Key::new(&"ü".repeat(512)).is_ok());
        assert!(Key::new(&"ü".repeat(513)).is_err());
        assert!(Key::new("").is_err());
        for good in ["com.example/a..b", "...", "a/.b/..c", &"d".repeat(256)] {
            assert!(DeviceId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../../other/devices/phone", "a/./b", "a\\..", "a b", "tab\t", "ü", &"d".repeat(257)] {
            assert!(DeviceId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_the_rule() {
        let said = DatasetName::new("a b").expect_err("a space").to_string();
        assert_eq!(said, "a dataset's name must be 1 to 128 of a-z A-Z 0-9 _ . : -, but not . or ..");
    }
}
