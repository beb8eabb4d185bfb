//! The generations of sealing keys, and what they seal.
//!
//! A sealed token is a version, a kind, the number of a generation, and a box: an expiry and the content, sealed under the generation's key and
//! bound to all that stands before the box and to the owner. A sealed secret is the same without an expiry. Neither says what is in it, and no
//! byte of either can be changed.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::access_key_id::{AccessKeyId, AccessKeyKind, AccountNumber, GENERATION_LETTERS};
use super::access_key_secret::AccessKeySecret;
use super::aead;
use super::generations::{GenerationTimes, sealing_number};
use super::purpose::{MAX_SECRET_BYTES, Purpose, SecretKind, TokenKind};
use super::rows::GenerationRow;
use super::secret_key::{CryptoFailed, SecretKey};
use super::wrapping::{UnwrapError, WrappingKey};

/// The form of what is sealed. Another form gets another number, and both are opened.
const VERSION: u8 = 1;

/// The version, the kind, and the generation's number (32 bits, big-endian).
const HEADER_BYTES: usize = 6;

/// The expiry in front of a token's content: milliseconds since 1970 (UTC), 64 bits, big-endian.
const EXPIRY_BYTES: usize = 8;

/// The maximum bytes of an owner's name: an access key id, or the names of a pool, an identity and a dataset together.
const MAX_OWNER_BYTES: usize = 1024;

/// How far a generation's number may be ahead of the newest one that is known here. Another server makes one a week, and a server reads the
/// rows at least that often. What is further away is an old credential or a guess, and not worth reading the store.
const NUMBERS_AHEAD: u32 = 8;

/// All generations that are kept, by purpose and number.
#[derive(Default)]
pub struct Keyring {
    generations: BTreeMap<(Purpose, u32), KeptGeneration>,
}

struct KeptGeneration {
    made_ms: u64,
    key: SecretKey,
}

impl Keyring {
    /// The keyring of these rows.
    pub fn unwrapped(wrapping: &WrappingKey, rows: &[GenerationRow]) -> Result<Keyring, UnwrapError> {
        let mut generations = BTreeMap::new();
        for row in rows {
            let kept = KeptGeneration { made_ms: row.made_ms, key: wrapping.generation_key(row)? };
            generations.insert((row.purpose, row.number), kept);
        }
        Ok(Keyring { generations })
    }

    /// When the generations of a purpose were made, by number: what [`turn_plan`](super::turn_plan) decides on.
    pub fn times(&self, purpose: Purpose) -> Vec<GenerationTimes> {
        self.of(purpose).map(|(number, kept)| GenerationTimes { number, made_ms: kept.made_ms }).collect()
    }

    /// Seals what a client carries: it opens for this kind and owner, until `life_ms` have passed.
    pub fn seal_token(&self, kind: TokenKind, owner: &[u8], now_ms: u64, life_ms: u64, content: &[u8]) -> Result<Vec<u8>, SealError> {
        if content.len() > kind.max_content_bytes() {
            return Err(SealError::TooLarge);
        }
        if life_ms > kind.longest_life_ms() {
            return Err(SealError::LivesTooLong);
        }
        let mut inside = Zeroizing::new(Vec::with_capacity(EXPIRY_BYTES + content.len()));
        inside.extend_from_slice(&now_ms.saturating_add(life_ms).to_be_bytes());
        inside.extend_from_slice(content);
        self.seal(kind.purpose(), kind.byte(), owner, &inside)
    }

    /// [`seal_token`](Keyring::seal_token) as text: base64url without padding (RFC 4648 section 5).
    pub fn seal_text(&self, kind: TokenKind, owner: &[u8], now_ms: u64, life_ms: u64, content: &[u8]) -> Result<String, SealError> {
        self.seal_token(kind, owner, now_ms, life_ms, content).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`seal_token`](Keyring::seal_token) made for this kind and owner.
    pub fn open_token(&self, kind: TokenKind, owner: &[u8], now_ms: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.len() > max_sealed_bytes(kind) {
            return Err(OpenError::Malformed);
        }
        let inside = self.open(kind.purpose(), kind.byte(), owner, sealed)?;
        let (expiry, content) = inside.split_first_chunk::<EXPIRY_BYTES>().ok_or(OpenError::Malformed)?;
        if u64::from_be_bytes(*expiry) <= now_ms {
            return Err(OpenError::Expired);
        }
        Ok(Zeroizing::new(content.to_vec()))
    }

    /// Opens what [`seal_text`](Keyring::seal_text) made for this kind and owner. A text that is too long is refused before it is read.
    pub fn open_text(&self, kind: TokenKind, owner: &[u8], now_ms: u64, text: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if text.len() > max_text_bytes(kind) {
            return Err(OpenError::Malformed);
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| OpenError::Malformed)?;
        self.open_token(kind, owner, now_ms, &sealed)
    }

    /// Seals a secret for a row, of at most 16 KiB. It opens for this kind and owner, for ever.
    pub fn seal_secret(&self, kind: SecretKind, owner: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        if secret.len() > MAX_SECRET_BYTES {
            return Err(SealError::TooLarge);
        }
        self.seal(Purpose::Secret, kind.byte(), owner, secret)
    }

    /// Opens what [`seal_secret`](Keyring::seal_secret) made for this kind and owner.
    pub fn open_secret(&self, kind: SecretKind, owner: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.len() > HEADER_BYTES + MAX_SECRET_BYTES + aead::OVERHEAD_BYTES {
            return Err(OpenError::Malformed);
        }
        self.open(Purpose::Secret, kind.byte(), owner, sealed)
    }

    /// A new temporary access key of an account, whose id differs from others by `chance`, of which the low 55 bits count.
    pub fn new_temporary_key(&self, account: AccountNumber, chance: u64) -> Result<(AccessKeyId, AccessKeySecret), SealError> {
        let (number, kept) = self.sealing(Purpose::Sts).ok_or(SealError::NoGeneration)?;
        let id = AccessKeyId::temporary(number, account, chance);
        let secret = AccessKeySecret::derived(&kept.key, &id)?;
        Ok((id, secret))
    }

    /// The secret of a temporary access key. That it can be derived is no proof that the key was ever given out: a signature with it is.
    pub fn temporary_secret(&self, id: &AccessKeyId) -> Result<AccessKeySecret, OpenError> {
        let AccessKeyKind::Temporary { generation_letter } = id.kind() else { return Err(OpenError::Malformed) };
        let letter_of = |number: u32| number % GENERATION_LETTERS;
        let found = self.of(Purpose::Sts).rev().find(|(number, _)| letter_of(*number) == generation_letter);
        if let Some((_, kept)) = found {
            return AccessKeySecret::derived(&kept.key, id).map_err(|_| OpenError::Refused);
        }
        let Some((newest, _)) = self.sealing(Purpose::Sts) else { return Err(OpenError::UnknownGeneration) };
        let ahead = (generation_letter + GENERATION_LETTERS - letter_of(newest)) % GENERATION_LETTERS;
        Err(if ahead <= NUMBERS_AHEAD { OpenError::UnknownGeneration } else { OpenError::Expired })
    }

    /// A key that stays the same as long as the keyring does, for what has to look the same for ever: it is derived from the oldest generation
    /// that seals secrets. `None` if there is none. `label` names the use, and no other use has the same.
    pub fn lasting_key(&self, label: &'static str) -> Option<SecretKey> {
        let (_, oldest) = self.of(Purpose::Secret).next()?;
        oldest.key.derive(&[b"driftless lasting key 1:", label.as_bytes()]).ok()
    }

    fn seal(&self, purpose: Purpose, kind: u8, owner: &[u8], inside: &[u8]) -> Result<Vec<u8>, SealError> {
        if owner.len() > MAX_OWNER_BYTES {
            return Err(SealError::TooLarge);
        }
        let (number, kept) = self.sealing(purpose).ok_or(SealError::NoGeneration)?;
        let mut sealed = header(kind, number).to_vec();
        let boxed = aead::seal(&kept.key, &[&sealed, owner].concat(), inside)?;
        sealed.extend_from_slice(&boxed);
        Ok(sealed)
    }

    fn open(&self, purpose: Purpose, kind: u8, owner: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (head, boxed) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(OpenError::Malformed)?;
        let [version, kind_there, number @ ..] = *head;
        if version != VERSION || kind_there != kind || owner.len() > MAX_OWNER_BYTES {
            return Err(OpenError::Malformed);
        }
        let number = u32::from_be_bytes(number);
        let Some(kept) = self.generations.get(&(purpose, number)) else { return Err(self.missing(purpose, number)) };
        aead::open(&kept.key, &[head, owner].concat(), boxed).ok_or(OpenError::Refused)
    }

    /// Why there is no generation with this number.
    fn missing(&self, purpose: Purpose, number: u32) -> OpenError {
        let Some((newest, _)) = self.sealing(purpose) else { return OpenError::UnknownGeneration };
        match number.checked_sub(newest) {
            Some(ahead) if ahead <= NUMBERS_AHEAD => OpenError::UnknownGeneration,
            Some(_) => OpenError::Refused,
            None if purpose.longest_life_ms().is_some() => OpenError::Expired,
            None => OpenError::UnknownGeneration,
        }
    }

    fn of(&self, purpose: Purpose) -> impl DoubleEndedIterator<Item = (u32, &KeptGeneration)> {
        self.generations.range((purpose, 0)..=(purpose, u32::MAX)).map(|((_, number), kept)| (*number, kept))
    }

    fn sealing(&self, purpose: Purpose) -> Option<(u32, &KeptGeneration)> {
        let number = sealing_number(&self.times(purpose))?;
        self.generations.get(&(purpose, number)).map(|kept| (number, kept))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("generations", &self.generations.len()).finish_non_exhaustive()
    }
}

fn header(kind: u8, number: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = number.to_be_bytes();
    [VERSION, kind, a, b, c, d]
}

const fn max_sealed_bytes(kind: TokenKind) -> usize {
    HEADER_BYTES + EXPIRY_BYTES + kind.max_content_bytes() + aead::OVERHEAD_BYTES
}

/// The maximum bytes of a token of a kind as text.
pub(super) const fn max_text_bytes(kind: TokenKind) -> usize {
    (max_sealed_bytes(kind) * 4).div_ceil(3)
}

/// Why something was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The content is over the bound of its kind, or the owner over 1 KiB.
    TooLarge,
    /// It would be valid for longer than its kind may be.
    LivesTooLong,
    /// The keyring has no generation for the purpose: the first one was not made yet.
    NoGeneration,
    /// The cryptographic library failed.
    Failed,
}

impl From<CryptoFailed> for SealError {
    fn from(_: CryptoFailed) -> SealError {
        SealError::Failed
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::TooLarge => "too much to seal",
            SealError::LivesTooLong => "a sealed token would be valid for too long",
            SealError::NoGeneration => "the keyring has no key for this purpose",
            SealError::Failed => "the cryptographic library failed",
        })
    }
}

impl std::error::Error for SealError {}

/// Why something did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It is nothing that the keyring makes for this kind.
    Malformed,
    /// It was sealed by a generation that is not known here. Another server may have made it: the caller reads the store once more, at a bounded
    /// rate because anybody can write such a number, and tries again.
    UnknownGeneration,
    /// It is not what was sealed, or not for this owner, or not by this keyring.
    Refused,
    /// Its time is over.
    Expired,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::Malformed => "not a sealed token of this kind",
            OpenError::UnknownGeneration => "sealed by an unknown generation",
            OpenError::Refused => "sealed for another owner, or altered",
            OpenError::Expired => "sealed token expired",
        })
    }
}

impl std::error::Error for OpenError {}
