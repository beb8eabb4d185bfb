//! A cache of verified signatures, keyed by the hash of the signed message and the signature.
//!
//! A device presents the same token whenever it connects, and an HTTP client with every request. Verifying a public-key signature takes 30
//! to 90 microseconds, hashing it less than one. The cache belongs to a key and remembers only that this key made
//! the signature: trust in the key, times and audience are checked every time, so no token is accepted for longer than without the cache.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

/// The number of signatures in a generation. Two generations are kept, which take about half a MiB per key.
const GENERATION: usize = 7168;

/// SHA-256 of a message and its signature.
pub(super) type SignatureHash = [u8; 32];

/// The signatures that a key was recently found to have made. Only genuine ones are inserted, so forged tokens cannot evict an entry.
#[derive(Default)]
pub(super) struct SignatureCache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    current: HashSet<SignatureHash>,
    previous: HashSet<SignatureHash>,
}

/// Hashes a message and its signature. The signature is base64url, which contains no zero byte, so a zero byte can separate the two.
pub(super) fn hash(message: &[u8], signature: &str) -> SignatureHash {
    let mut context = Context::new(&SHA256);
    context.update(signature.as_bytes());
    context.update(&[0]);
    context.update(message);
    let mut hash = SignatureHash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl SignatureCache {
    /// Whether the signature was inserted and has not been evicted.
    pub(super) fn contains(&self, hash: &SignatureHash) -> bool {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.current.contains(hash) {
            return true;
        }
        let found = generations.previous.contains(hash);
        if found {
            // An entry in use must not be evicted together with its generation.
            generations.insert(*hash);
        }
        found
    }

    /// Inserts a signature that was verified.
    pub(super) fn insert(&self, hash: SignatureHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
    }
}

impl Generations {
    fn insert(&mut self, hash: SignatureHash) {
        if self.current.len() >= GENERATION {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> SignatureHash {
        hash(&number.to_be_bytes(), "signature")
    }

    #[test]
    fn a_hash_covers_both_parts_and_the_border_between_them() {
        let all = [hash(b"ab", "c"), hash(b"b", "ca"), hash(b"", "abc"), hash(b"abc", ""), hash(b"c", "ab")];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_entries_in_use() {
        let cache = SignatureCache::default();
        for number in 0..5 * GENERATION {
            cache.insert(numbered(number));
            assert!(cache.contains(&numbered(0)), "it is looked up all the time");
        }
        assert!(cache.contains(&numbered(5 * GENERATION - 1)) && cache.contains(&numbered(4 * GENERATION)));
        assert!(!cache.contains(&numbered(2 * GENERATION)), "it was never looked up");
        let generations = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.current.len() <= GENERATION && generations.previous.len() <= GENERATION);
    }
}
