//! A secret key of 256 bits, and what is derived from it.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// The bytes of a [`SecretKey`].
pub(super) const KEY_BYTES: usize = 32;

/// A key of 256 random bits. It does not print itself, and its bytes are overwritten when it is dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_BYTES]>);

impl SecretKey {
    /// A new key, from the system's random bytes.
    pub fn random() -> Result<SecretKey, CryptoFailed> {
        let mut key = SecretKey(Zeroizing::new([0; KEY_BYTES]));
        rand::fill(key.0.as_mut_slice()).map_err(|_| CryptoFailed)?;
        Ok(key)
    }

    /// The key with these bytes, which must be random; `None` if there are not 32 of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<SecretKey> {
        let mut key = SecretKey(Zeroizing::new([0; KEY_BYTES]));
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// Fills `out` with bytes that depend on the key and on `info`, by HKDF-Expand of RFC 5869 section 2.3 with SHA-256. The key is random, so
    /// the step that extracts is left out (section 3.3). The pieces of `info` are put one after the other: the first one is a label that no
    /// other use has, and of the rest all but the last have a fixed length.
    ///
    /// An error if `out` is over 8,160 bytes.
    pub fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoFailed> {
        let key = Prk::new_less_safe(HKDF_SHA256, self.0.as_slice());
        key.expand(info, OutputBytes(out.len())).and_then(|derived| derived.fill(out)).map_err(|_| CryptoFailed)
    }

    /// Another key, derived as [`expand`](SecretKey::expand) does.
    pub fn derive(&self, info: &[&[u8]]) -> Result<SecretKey, CryptoFailed> {
        let mut key = SecretKey(Zeroizing::new([0; KEY_BYTES]));
        self.expand(info, key.0.as_mut_slice())?;
        Ok(key)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

struct OutputBytes(usize);

impl KeyType for OutputBytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The cryptographic library failed: the system has no random bytes or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoFailed;

impl fmt::Display for CryptoFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cryptographic library failed")
    }
}

impl std::error::Error for CryptoFailed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_do_not_print_themselves() {
        let (one, two) = (SecretKey::random().expect("a key"), SecretKey::random().expect("a key"));
        assert_ne!(one.bytes(), two.bytes());
        assert_eq!(format!("{one:?} {one:#?}"), "SecretKey SecretKey");
        assert!(SecretKey::from_bytes(&[1; 31]).is_none() && SecretKey::from_bytes(&[1; 33]).is_none());
    }

    #[test]
    fn expansion_is_that_of_rfc_5869() {
        // Appendix A.1: the key is what its step that extracts gives.
        let key = SecretKey::from_bytes(&hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")).expect("32 bytes");
        let mut out = [0; 42];
        key.expand(&[&hex("f0f1f2f3f4"), &hex("f5f6f7f8f9")], &mut out).expect("expands");
        assert_eq!(out.to_vec(), hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"));
        assert_eq!(key.expand(&[b"x"], &mut vec![0; 8161]), Err(CryptoFailed));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
    }
}
