//! Seals bytes with AES-256-GCM (NIST SP 800-38D) under a key of their own.
//!
//! One key with random nonces of 96 bits may seal 2^32 times (section 8.3), which a busy server reaches in a week. So key and nonce of each seal
//! are derived from a random seed of 128 bits, and there is no such bound.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::secret_key::{CryptoFailed, KEY_BYTES, SecretKey};

const SEED_BYTES: usize = 16;

const TAG_BYTES: usize = 16;

/// The bytes that sealing adds: the seed in front, and the tag at the end.
pub(super) const OVERHEAD_BYTES: usize = SEED_BYTES + TAG_BYTES;

/// Seals `content`. It opens only with the same key and the same `bound`.
pub(super) fn seal(key: &SecretKey, bound: &[u8], content: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
    let mut sealed = Vec::with_capacity(content.len() + OVERHEAD_BYTES);
    sealed.resize(SEED_BYTES, 0);
    rand::fill(&mut sealed).map_err(|_| CryptoFailed)?;
    let (key, nonce) = derived(key, &sealed)?;
    sealed.extend_from_slice(content);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(bound), &mut sealed[SEED_BYTES..]).map_err(|_| CryptoFailed)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// The content of what [`seal`] made with the same key and the same `bound`; `None` of anything else.
pub(super) fn open(key: &SecretKey, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (seed, rest) = sealed.split_at_checked(SEED_BYTES)?;
    let (key, nonce) = derived(key, seed).ok()?;
    let mut content = Zeroizing::new(rest.to_vec());
    let bytes = key.open_in_place(nonce, Aad::from(bound), &mut content).ok()?.len();
    content.truncate(bytes);
    Some(content)
}

fn derived(key: &SecretKey, seed: &[u8]) -> Result<(LessSafeKey, Nonce), CryptoFailed> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES + NONCE_LEN]);
    key.expand(&[b"driftless seal 1:", seed], bytes.as_mut_slice())?;
    let (key, nonce) = bytes.split_at(KEY_BYTES);
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoFailed)?;
    Ok((LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).map_err(|_| CryptoFailed)?))
}
