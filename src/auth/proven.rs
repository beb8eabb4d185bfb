//! Signatures that were checked before, by the hash of what was signed and of the signature.
//!
//! A device shows the same token at each of its arrivals, and an HTTP client with each of its requests. A signature of a public key takes 30 to
//! 90 microseconds to check, its hash less than one. Only that is remembered, with the key that made it: whether the key is still trusted, the
//! times and the audience are judged anew each time, so nothing is believed for longer than without it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

/// Signatures of a generation; of two generations the older one is dropped. About half a MiB for each key.
const GENERATION: usize = 7168;

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// What a key was found to have signed lately. Only what is genuine gets in, so no stranger can push it out.
#[derive(Default)]
pub(super) struct Proven(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
}

/// Of a message and its signature. The signature is base64url, which has no zero byte.
pub(super) fn hash(message: &[u8], signature: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(signature.as_bytes());
    context.update(&[0]);
    context.update(message);
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl Proven {
    /// Whether it was noted, and not many others since.
    pub(super) fn has(&self, hash: &Hash) -> bool {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.contains(hash) {
            return true;
        }
        let found = generations.old.contains(hash);
        if found {
            // It is in use.
            generations.note(*hash);
        }
        found
    }

    /// Notes a signature that was checked and is genuine.
    pub(super) fn note(&self, hash: Hash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(hash);
    }
}

impl Generations {
    fn note(&mut self, hash: Hash) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Hash {
        hash(&number.to_be_bytes(), "signature")
    }

    #[test]
    fn a_hash_is_of_both_parts_and_of_where_they_meet() {
        let all = [hash(b"ab", "c"), hash(b"b", "ca"), hash(b"", "abc"), hash(b"abc", ""), hash(b"c", "ab")];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn what_is_noted_is_bounded_and_what_is_in_use_stays() {
        let proven = Proven::default();
        for number in 0..5 * GENERATION {
            proven.note(numbered(number));
            assert!(proven.has(&numbered(0)), "it is asked for all the time");
        }
        assert!(proven.has(&numbered(5 * GENERATION - 1)) && proven.has(&numbered(4 * GENERATION)));
        assert!(!proven.has(&numbered(2 * GENERATION)), "it was not asked for");
        let generations = proven.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
    }
}
