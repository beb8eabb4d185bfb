//! A password that a client sends, and the hash that it is checked against: argon2id (RFC 9106).

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::keyring::{CryptoFailed, SecretKey};

/// The maximum characters of a password: PasswordType of the service's model.
pub const MAX_PASSWORD_CHARACTERS: usize = 256;

/// A character has at most four bytes, so a longer text is refused without counting its characters.
const MAX_BYTES: usize = 4 * MAX_PASSWORD_CHARACTERS;

/// argon2id with 19 MiB, two passes and no parallelism: the first choice of OWASP's "Password Storage Cheat Sheet". More memory would make guessing
/// dearer, and a storm of sign-ins as well.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const PARALLELISM: u32 = 1;

/// The memory that one hash needs while it is computed, in bytes.
pub const PASSWORD_HASH_MEMORY_BYTES: usize = MEMORY_KIB as usize * 1024;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The parameters above, on disk. Others get another number; a row never says how much memory it wants.
const SCHEME: u8 = 1;

/// A text that may be a password: 2 to 256 characters without a space at either end or a line break, which is what Amazon Cognito takes
/// whatever the policy of the pool. It does not print itself.
#[derive(Clone, Copy)]
pub struct Password<'a>(&'a str);

impl<'a> Password<'a> {
    /// A text of a megabyte is refused as quickly as a short one.
    pub fn parse(text: &'a str) -> Result<Password<'a>, PasswordFlaw> {
        if text.len() > MAX_BYTES || text.chars().count() > MAX_PASSWORD_CHARACTERS {
            return Err(PasswordFlaw::TooLong);
        }
        let has_space_around = text.starts_with(is_space) || text.ends_with(is_space);
        if text.chars().nth(1).is_none() || has_space_around || text.contains(['\n', '\r']) {
            return Err(PasswordFlaw::Form);
        }
        Ok(Password(text))
    }

    pub(super) fn as_str(self) -> &'a str {
        self.0
    }
}

/// What Java's `\s` matches, in which the service's patterns are written.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Why a text is no password. The words are those of the service's InvalidParameterException.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFlaw {
    TooLong,
    Form,
}

impl fmt::Display for PasswordFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1 validation error detected: Value at 'password' failed to satisfy constraint: ")?;
        match self {
            PasswordFlaw::TooLong => write!(f, "Member must have length less than or equal to {MAX_PASSWORD_CHARACTERS}"),
            PasswordFlaw::Form => f.write_str(r"Member must satisfy regular expression pattern: ^[\S]+.*[\S]+$"),
        }
    }
}

impl std::error::Error for PasswordFlaw {}

/// The hash of a password, with its salt. It stands sealed in a row, and does not print itself.
#[derive(Clone)]
pub struct PasswordHash {
    salt: [u8; SALT_BYTES],
    hash: Zeroizing<[u8; HASH_BYTES]>,
}

impl PasswordHash {
    /// The bytes of an encoded hash.
    pub const BYTES: usize = 1 + SALT_BYTES + HASH_BYTES;

    /// The hash of a password with this salt, which must be random. It takes some tens of milliseconds of a processor and
    /// [`PASSWORD_HASH_MEMORY_BYTES`] of memory.
    pub fn of(password: Password<'_>, salt: [u8; SALT_BYTES]) -> Result<PasswordHash, CryptoFailed> {
        let params = Params::new(MEMORY_KIB, PASSES, PARALLELISM, Some(HASH_BYTES)).map_err(|_| CryptoFailed)?;
        let mut memory = vec![Block::new(); params.block_count()];
        let mut hash = Zeroizing::new([0; HASH_BYTES]);
        let argon2id = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hashed = argon2id.hash_password_into_with_memory(password.as_str().as_bytes(), &salt, hash.as_mut_slice(), &mut memory);
        hashed.map_err(|_| CryptoFailed)?;
        Ok(PasswordHash { salt, hash })
    }

    /// What is checked for a user who is not there: it depends on the secret and the name alone, takes the same work, and no password fits.
    pub fn of_unknown_user(secret: &SecretKey, pool_name: &str, user_id: &str) -> Result<PasswordHash, CryptoFailed> {
        let mut bytes = Zeroizing::new([0; SALT_BYTES + HASH_BYTES]);
        // No pool's name has a colon.
        secret.expand(&[b"driftless unknown user hash 1:", pool_name.as_bytes(), b":", user_id.as_bytes()], bytes.as_mut_slice())?;
        PasswordHash::of_parts(&bytes[..]).ok_or(CryptoFailed)
    }

    /// Whether this is the password. It takes as long as [`of`](PasswordHash::of), whatever the password.
    pub fn accepts(&self, password: Password<'_>) -> Result<bool, CryptoFailed> {
        let other = PasswordHash::of(password, self.salt)?;
        Ok(verify_slices_are_equal(&self.hash[..], &other.hash[..]).is_ok())
    }

    /// The bytes to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&[SCHEME], &self.salt[..], &self.hash[..]].concat())
    }

    /// What [`to_bytes`](PasswordHash::to_bytes) made; `None` of anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<PasswordHash> {
        match bytes.split_first() {
            Some((&SCHEME, parts)) => PasswordHash::of_parts(parts),
            _ => None,
        }
    }

    fn of_parts(bytes: &[u8]) -> Option<PasswordHash> {
        let (salt, hash) = bytes.split_first_chunk::<SALT_BYTES>()?;
        let hash: &[u8; HASH_BYTES] = hash.try_into().ok()?;
        Some(PasswordHash { salt: *salt, hash: Zeroizing::new(*hash) })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password<'_> {
        Password::parse(text).expect("a password")
    }

    #[test]
    fn what_is_too_long_is_no_password_and_is_never_hashed() {
        let longest = "\u{1f600}".repeat(MAX_PASSWORD_CHARACTERS);
        assert!(Password::parse(&longest).is_ok());
        // `PasswordHash::of` takes a `Password`, so none of these reaches it.
        for text in [format!("{longest}x"), "x".repeat(257), "x".repeat(1024 * 1024), "\u{1f600}".repeat(1024 * 256)] {
            assert_eq!(Password::parse(&text).expect_err("too long"), PasswordFlaw::TooLong);
        }
        let words = PasswordFlaw::TooLong.to_string();
        assert!(words.ends_with("failed to satisfy constraint: Member must have length less than or equal to 256"), "{words}");
    }

    #[test]
    fn spaces_stand_inside_a_password_and_not_around_it() {
        for text in ["correct horse", "a\tb", "zw\u{f6}lf Boxk\u{e4}mpfer", "\u{a0}nbsp\u{a0}", "a\0b"] {
            assert!(Password::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "x", "\u{1f600}", " ", " lead", "trail ", "\ttab", "line\n", "li\nne", "li\rne", "feed\x0c"] {
            assert_eq!(Password::parse(text).expect_err("no password"), PasswordFlaw::Form, "{text:?}");
        }
    }

    #[test]
    fn a_hash_accepts_its_password_and_no_other() {
        let hash = PasswordHash::of(password("Passw0rd!"), [7; SALT_BYTES]).expect("hashes");
        let hash = PasswordHash::from_bytes(&hash.to_bytes()).expect("decodes");
        assert_eq!(hash.accepts(password("Passw0rd!")), Ok(true));
        for wrong in ["passw0rd!", "Passw0rd!!", "Passw0rd\u{ff01}"] {
            assert_eq!(hash.accepts(password(wrong)), Ok(false), "{wrong}");
        }
        assert_eq!(hash.to_bytes().len(), PasswordHash::BYTES);
        assert_eq!(format!("{hash:?} {:?}", password("Passw0rd!")), "PasswordHash Password");
    }

    #[test]
    fn the_hash_is_the_one_that_other_implementations_compute() {
        // argon2-cffi: hash_secret_raw(b"Passw0rd!", b"\x07" * 16, 2, 19456, 1, 32, Type.ID)
        let hash = PasswordHash::of(password("Passw0rd!"), [7; SALT_BYTES]).expect("hashes");
        let expected = "412ad5620e00729a3067ea77301e6b7b5946de7852e1a10d9ba9836dd1a00b94";
        assert_eq!(hash.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }

    #[test]
    fn other_bytes_are_no_hash() {
        let bytes = PasswordHash { salt: [1; SALT_BYTES], hash: Zeroizing::new([2; HASH_BYTES]) }.to_bytes();
        for end in 0..bytes.len() {
            assert!(PasswordHash::from_bytes(&bytes[..end]).is_none());
        }
        assert!(PasswordHash::from_bytes(&[&bytes[..], &[0]].concat()).is_none());
        assert!(PasswordHash::from_bytes(&[&[2], &bytes[1..]].concat()).is_none(), "another scheme");
    }

    #[test]
    fn an_unknown_user_has_the_same_hash_at_every_attempt_and_no_password() {
        let secret = SecretKey::random().expect("a key");
        let of = |pool: &str, user: &str| PasswordHash::of_unknown_user(&secret, pool, user).expect("derives");
        assert_eq!(of("pool", "nobody").to_bytes(), of("pool", "nobody").to_bytes());
        assert_ne!(of("pool", "nobody").to_bytes(), of("pool", "someone").to_bytes());
        assert_ne!(of("pool", "nobody").to_bytes(), of("loop", "nobody").to_bytes());
        assert_eq!(of("pool", "nobody").accepts(password("Passw0rd!")), Ok(false));
    }
}
