//! Refresh tokens: which user, which family, the how many-th of it, and a code that only the keyring can make. Pure.
//!
//! Nothing of a token stands in a row: the row of the family says which token is the current one.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::keyring::{CryptoFailed, SecretKey};
use crate::store::{Family, FamilyState, UserPoolId};

const CODE_BYTES: usize = 32;
const BYTES: usize = 16 + 16 + 4 + CODE_BYTES;

/// What a refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    pub sub: Uuid,
    pub family: Uuid,
    /// How often it was exchanged before.
    pub exchange: u32,
}

impl RefreshToken {
    /// The token of a client of a pool.
    pub fn text(&self, key: &SecretKey, pool: &UserPoolId, client: &str) -> Result<String, CryptoFailed> {
        let mut bytes = self.head().to_vec();
        bytes.extend_from_slice(&self.code(key, pool, client)?);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token; `None` if the keyring did not make it for this client. A text of another length is not looked at.
    pub fn read(key: &SecretKey, pool: &UserPoolId, client: &str, text: &str) -> Option<RefreshToken> {
        if text.len() != (BYTES * 4).div_ceil(3) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sub, rest) = bytes.split_first_chunk::<16>()?;
        let (family, rest) = rest.split_first_chunk::<16>()?;
        let (exchange, code) = rest.split_first_chunk::<4>()?;
        let token =
            RefreshToken { sub: Uuid::from_bytes(*sub), family: Uuid::from_bytes(*family), exchange: u32::from_be_bytes(*exchange) };
        let expected = token.code(key, pool, client).ok()?;
        verify_slices_are_equal(&expected, code).ok().map(|()| token)
    }

    fn head(&self) -> [u8; BYTES - CODE_BYTES] {
        let mut head = [0; BYTES - CODE_BYTES];
        head[..16].copy_from_slice(self.sub.as_bytes());
        head[16..32].copy_from_slice(self.family.as_bytes());
        head[32..].copy_from_slice(&self.exchange.to_be_bytes());
        head
    }

    fn code(&self, key: &SecretKey, pool: &UserPoolId, client: &str) -> Result<[u8; CODE_BYTES], CryptoFailed> {
        let mut code = [0; CODE_BYTES];
        // The head has one length, and no pool's id has a colon.
        key.expand(&[b"driftless refresh token 1:", &self.head(), pool.as_str().as_bytes(), b":", client.as_bytes()], &mut code)?;
        Ok(code)
    }
}

/// What comes of a refresh token that is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// New tokens; the family afterwards, and whether it changed.
    Good(Family),
    Revoked,
    Expired,
    /// It was exchanged before: somebody else has it. The family ends.
    Reused(Family),
}

/// Judges a token by its family. `rotation_grace_s` is set if tokens are exchanged at each use: the one that was exchanged last is good that long.
pub fn refreshed(family: Option<Family>, token: &RefreshToken, client: &str, rotation_grace_s: Option<u8>, now_ms: u64) -> RefreshOutcome {
    let Some(family) = family.filter(|family| family.client == client && family.state == FamilyState::Live) else {
        return RefreshOutcome::Revoked;
    };
    if family.expires_ms <= now_ms {
        return RefreshOutcome::Expired;
    }
    let behind = family.exchanges.checked_sub(token.exchange);
    let grace_ms = u64::from(rotation_grace_s.unwrap_or(0)) * 1000;
    match (behind, rotation_grace_s) {
        (Some(0), None) => RefreshOutcome::Good(family),
        (Some(0), Some(_)) => {
            RefreshOutcome::Good(Family { exchanges: family.exchanges.saturating_add(1), exchanged_ms: now_ms, ..family })
        }
        (Some(1), _) if now_ms < family.exchanged_ms.saturating_add(grace_ms) => RefreshOutcome::Good(family),
        _ => RefreshOutcome::Reused(Family { state: FamilyState::Revoked, ..family }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> UserPoolId {
        UserPoolId::parse("local_abc").expect("an id")
    }

    fn family() -> Family {
        Family { client: "c".to_owned(), state: FamilyState::Live, made_ms: 0, expires_ms: 100_000, exchanges: 0, exchanged_ms: 0 }
    }

    const TOKEN: RefreshToken = RefreshToken { sub: Uuid::from_u128(1), family: Uuid::from_u128(2), exchange: 0 };

    #[test]
    fn a_token_is_of_one_client_and_no_bit_of_it_changes() {
        let key = SecretKey::random().expect("a key");
        let text = TOKEN.text(&key, &pool(), "c").expect("makes");
        let read = |text: &str, client: &str| RefreshToken::read(&key, &pool(), client, text);
        assert_eq!(read(&text, "c"), Some(TOKEN));
        assert_eq!(read(&text, "d"), None);
        assert_eq!(RefreshToken::read(&key, &UserPoolId::parse("local_abd").expect("an id"), "c", &text), None);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(std::str::from_utf8(&other).expect("text"), "c"), None, "{at}");
        }
        for other in ["", "x", &text[1..], &format!("{text}A"), &"A".repeat(1 << 20)] {
            assert_eq!(read(other, "c"), None);
        }
    }

    #[test]
    fn without_rotation_a_token_is_good_until_the_family_ends() {
        let judged = |family, now_ms| refreshed(family, &TOKEN, "c", None, now_ms);
        assert_eq!(judged(Some(family()), 5), RefreshOutcome::Good(family()));
        assert_eq!(judged(Some(family()), 100_000), RefreshOutcome::Expired);
        assert_eq!(judged(None, 5), RefreshOutcome::Revoked);
        for state in [FamilyState::Pending, FamilyState::Revoked] {
            assert_eq!(judged(Some(Family { state, ..family() }), 5), RefreshOutcome::Revoked);
        }
        assert_eq!(refreshed(Some(family()), &TOKEN, "d", None, 5), RefreshOutcome::Revoked);
    }

    #[test]
    fn with_rotation_a_token_that_comes_back_late_ends_the_family() {
        let judged = |family, exchange, now_ms| refreshed(Some(family), &RefreshToken { exchange, ..TOKEN }, "c", Some(10), now_ms);
        let RefreshOutcome::Good(first) = judged(family(), 0, 5_000) else { panic!("is good") };
        assert_eq!((first.exchanges, first.exchanged_ms), (1, 5_000));
        assert_eq!(judged(first.clone(), 0, 14_999), RefreshOutcome::Good(first.clone()), "the answer may have been lost");
        let RefreshOutcome::Reused(ended) = judged(first.clone(), 0, 15_000) else { panic!("is reused") };
        assert_eq!(judged(ended, 1, 15_001), RefreshOutcome::Revoked);
        let RefreshOutcome::Good(second) = judged(first, 1, 6_000) else { panic!("is good") };
        assert!(matches!(judged(second.clone(), 0, 6_001), RefreshOutcome::Reused(_)), "two exchanges ago");
        assert!(matches!(judged(second, 3, 6_001), RefreshOutcome::Reused(_)), "never given out");
    }
}
