//! The secret of an access key, as long as Amazon's: 40 characters.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::access_key_id::AccessKeyId;
use super::secret_key::{CryptoFailed, SecretKey};

/// 240 bits, which are 40 characters of base64.
const SECRET_BYTES: usize = 30;

/// The bytes of a secret's text: one that the server made has 40. Others may have been brought in.
const TEXT_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// The secret of an access key. It does not print itself, and its bytes are overwritten when it is dropped.
#[derive(Clone)]
pub struct AccessKeySecret(Zeroizing<String>);

impl AccessKeySecret {
    /// A new secret of a key that lasts.
    pub fn random() -> Result<AccessKeySecret, CryptoFailed> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| CryptoFailed)?;
        Ok(AccessKeySecret(Zeroizing::new(STANDARD.encode(bytes.as_slice()))))
    }

    /// The secret of a temporary key: who has the generation's key knows it from the id alone.
    pub(super) fn derived(generation: &SecretKey, id: &AccessKeyId) -> Result<AccessKeySecret, CryptoFailed> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        generation.expand(&[b"driftless access key 1:", id.to_string().as_bytes()], bytes.as_mut_slice())?;
        Ok(AccessKeySecret(Zeroizing::new(STANDARD.encode(bytes.as_slice()))))
    }

    /// A secret that was written down, such as one in a row; `None` unless it is 16 to 128 visible characters of ASCII.
    pub fn from_text(text: &str) -> Option<AccessKeySecret> {
        let is_secret = TEXT_BYTES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_secret.then(|| AccessKeySecret(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself: for signatures, for sealing it, and for showing it once to whom it is given.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKeySecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_forty_characters_and_does_not_print_itself() {
        let (one, two) = (AccessKeySecret::random().expect("a secret"), AccessKeySecret::random().expect("a secret"));
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), 40);
        assert_eq!(format!("{one:?}"), "AccessKeySecret");
        assert!(AccessKeySecret::from_text(one.expose()).is_some_and(|read| read.expose() == one.expose()));
        for text in ["", "short", "has a space in it, so no", "Ümläute sind keine Zeichen", &"x".repeat(129)] {
            assert!(AccessKeySecret::from_text(text).is_none(), "{text}");
        }
    }
}
