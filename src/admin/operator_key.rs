//! The operator key. A request with this key has all rights of an operator.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// The key of `driftless dev`. It is public: **never use it in production**.
pub const DEVELOPMENT_KEY: &str = "driftless-development-operator-key-not-for-production";

/// The least length of a key, in bytes: the length of the hash by which keys are compared, so that it cannot be guessed.
const MIN_BYTES: usize = 32;

/// The greatest length of a key, in bytes: it is sent in a header.
const MAX_BYTES: usize = 1024;

/// Compares keys in constant time. Holds only the key's hash.
#[derive(Clone)]
pub struct OperatorKey(Digest);

/// The key has a wrong length or characters that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOperatorKey;

impl fmt::Display for InvalidOperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be {MIN_BYTES} to {MAX_BYTES} printable ASCII characters without spaces; make one with: openssl rand -hex 32")
    }
}

impl std::error::Error for InvalidOperatorKey {}

impl OperatorKey {
    /// A key has 32 to 1,024 printable ASCII characters without spaces.
    pub fn new(key: &str) -> Result<OperatorKey, InvalidOperatorKey> {
        let is_valid = (MIN_BYTES..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if is_valid { Ok(OperatorKey(hash(key))) } else { Err(InvalidOperatorKey) }
    }

    pub fn matches(&self, given: &str) -> bool {
        verify_slices_are_equal(self.0.as_ref(), hash(given).as_ref()).is_ok()
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey")
    }
}

fn hash(key: &str) -> Digest {
    digest(&SHA256, key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_matches() {
        let key = OperatorKey::new(DEVELOPMENT_KEY).expect("a key");
        assert!(key.matches(DEVELOPMENT_KEY));
        let longer = format!("{DEVELOPMENT_KEY} ");
        for given in ["", "driftless", &DEVELOPMENT_KEY[1..], &longer, &DEVELOPMENT_KEY.to_uppercase()] {
            assert!(!key.matches(given), "{given}");
        }
        assert!(!format!("{key:?}").contains("driftless"));
    }

    #[test]
    fn keys_that_are_short_long_or_not_printable_are_rejected() {
        for bad in ["", &"k".repeat(31), &"k".repeat(1025), &format!("{} ", "k".repeat(40)), &"ä".repeat(40)] {
            assert_eq!(OperatorKey::new(bad).map(|_| ()), Err(InvalidOperatorKey), "{bad}");
        }
        assert!(OperatorKey::new(&"k".repeat(32)).is_ok() && OperatorKey::new(&"k".repeat(1024)).is_ok());
    }
}
