//! The operator key: who has it may ask everything that an operator may ask.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// The key of `driftless dev`. Everyone knows it: **never use it in production**.
pub const DEVELOPMENT_KEY: &str = "driftless-development-operator-key-not-for-production";

/// The shortest key, in bytes: as long as the hash by which it is compared, so that guessing it is out of reach.
const SHORTEST: usize = 32;

/// The longest, in bytes: it travels in a header.
const LONGEST: usize = 1024;

/// Compares keys. It holds only a hash, and comparing takes as long whatever was given.
#[derive(Clone)]
pub struct OperatorKey(Digest);

/// A key that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be {SHORTEST} to {LONGEST} printable ASCII characters without spaces; make one with: openssl rand -hex 32")
    }
}

impl std::error::Error for BadKey {}

impl OperatorKey {
    /// Of a key of 32 to 1,024 printable ASCII characters without spaces.
    pub fn new(key: &str) -> Result<OperatorKey, BadKey> {
        let is_fit = (SHORTEST..=LONGEST).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if is_fit { Ok(OperatorKey(hashed(key))) } else { Err(BadKey) }
    }

    /// Whether what was given is the key.
    pub fn opens(&self, given: &str) -> bool {
        verify_slices_are_equal(self.0.as_ref(), hashed(given).as_ref()).is_ok()
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey")
    }
}

fn hashed(key: &str) -> Digest {
    digest(&SHA256, key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let key = OperatorKey::new(DEVELOPMENT_KEY).expect("a key");
        assert!(key.opens(DEVELOPMENT_KEY));
        let longer = format!("{DEVELOPMENT_KEY} ");
        for given in ["", "driftless", &DEVELOPMENT_KEY[1..], &longer, &DEVELOPMENT_KEY.to_uppercase()] {
            assert!(!key.opens(given), "{given}");
        }
        assert!(!format!("{key:?}").contains("driftless"));
    }

    #[test]
    fn what_cannot_travel_or_is_short_is_no_key() {
        for bad in ["", &"k".repeat(31), &"k".repeat(1025), &format!("{} ", "k".repeat(40)), &"ä".repeat(40)] {
            assert_eq!(OperatorKey::new(bad).map(|_| ()), Err(BadKey), "{bad}");
        }
        assert!(OperatorKey::new(&"k".repeat(32)).is_ok() && OperatorKey::new(&"k".repeat(1024)).is_ok());
    }
}
