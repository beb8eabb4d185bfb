//! The key pair of a Web Push application server (RFC 8292): made, and read in the forms in which the usual tools print it.
//!
//! - PEM, as PKCS #8 or SEC 1: what `driftless vapid` writes.
//! - The two keys in base64url or base64, as JSON with `publicKey` and `privateKey`, as the lines `Public Key:` and `Private Key:` with each
//!   key behind or below its title, or the private key alone.
//!
//! No type here implements `Debug`, so no private key can be logged.

use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use base64::{Engine, alphabet::Alphabet};
use serde::Deserialize;
use web_push_native::p256::SecretKey;

use super::config_error::PushConfigError;
use super::credentials::{self, SigningKey};

/// The bytes of a private key.
const PRIVATE_BYTES: usize = 32;

/// The fewest bytes of a private key whose leading zeros were left out. One key in four billion has fewer; any other text has too.
const MIN_PRIVATE_BYTES: usize = 28;

/// Digits of a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// A new key pair.
pub struct VapidKeyPair {
    /// The private key as PKCS #8 in PEM: a secret.
    pub private_pem: String,
    /// The public key as browsers take it for `applicationServerKey`.
    pub public_key: String,
}

/// Makes a key pair; `None` if the system has no randomness.
pub fn new_vapid_key_pair() -> Option<VapidKeyPair> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let text = BASE64_STANDARD.encode(pair.to_pkcs8v1().ok()?.as_ref());
    let mut private_pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for at in (0..text.len()).step_by(PEM_LINE) {
        private_pem.push_str(&text[at..text.len().min(at + PEM_LINE)]);
        private_pem.push('\n');
    }
    private_pem.push_str("-----END PRIVATE KEY-----\n");
    Some(VapidKeyPair { private_pem, public_key: application_server_key(pair.public_key().as_ref()) })
}

/// The public key of a file that holds a key pair, as browsers take it.
pub fn read_vapid_public_key(path: &Path) -> Result<String, PushConfigError> {
    Ok(application_server_key(&read(path)?.public))
}

/// A public key in the form that browsers take: the uncompressed point in base64url without padding (Push API, `applicationServerKey`).
pub(super) fn application_server_key(public: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(public)
}

/// Reads a key pair from a file.
pub(super) fn read(path: &Path) -> Result<SigningKey, PushConfigError> {
    let bytes = credentials::read(path)?;
    parse(&bytes).map_err(|fault| PushConfigError::file(path, fault.message()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VapidKeyFault {
    NoKey,
    /// The public key that stands beside the private one belongs to another.
    OtherPublicKey,
}

impl VapidKeyFault {
    fn message(self) -> &'static str {
        match self {
            VapidKeyFault::NoKey => {
                "not a P-256 private key: PEM (PKCS #8 or SEC 1), or a VAPID key pair in base64url; driftless vapid FILE makes one"
            }
            VapidKeyFault::OtherPublicKey => "the public key does not belong to the private key",
        }
    }
}

fn parse(bytes: &[u8]) -> Result<SigningKey, VapidKeyFault> {
    if let Some(key) = SigningKey::parse(bytes) {
        return Ok(key);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| VapidKeyFault::NoKey)?.trim_start_matches('\u{feff}').trim();
    let PrintedPair { public, private } = PrintedPair::find(text).ok_or(VapidKeyFault::NoKey)?;
    let key = decode(&private).and_then(|scalar| SigningKey::of_scalar(&scalar)).ok_or(VapidKeyFault::NoKey)?;
    match public.map(|public| decode(&public)) {
        None => Ok(key),
        Some(Some(public)) if public == key.public => Ok(key),
        Some(_) => Err(VapidKeyFault::OtherPublicKey),
    }
}

/// The two keys as texts, not decoded yet.
#[derive(Deserialize)]
struct PrintedPair {
    #[serde(rename = "publicKey")]
    public: Option<String>,
    #[serde(rename = "privateKey")]
    private: String,
}

impl PrintedPair {
    fn find(text: &str) -> Option<PrintedPair> {
        if text.starts_with('{') {
            return serde_json::from_str(text).ok();
        }
        if !text.contains(char::is_whitespace) {
            return Some(PrintedPair { public: None, private: text.to_owned() });
        }
        Some(PrintedPair { public: below_title(text, "public key"), private: below_title(text, "private key")? })
    }
}

/// The word behind a title, or in the next line that is not empty.
fn below_title(text: &str, title: &str) -> Option<String> {
    let at = text.to_ascii_lowercase().find(title)? + title.len();
    let word = text[at..].trim_start_matches([':', '=', ' ', '\t', '\r', '\n']).split_whitespace().next()?;
    Some(word.to_owned())
}

/// base64url or base64, with or without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let engine = |alphabet: &Alphabet| {
        GeneralPurpose::new(alphabet, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
    };
    let text = text.trim();
    engine(&URL_SAFE).decode(text).or_else(|_| engine(&STANDARD).decode(text)).ok()
}

impl SigningKey {
    /// The key with this private number, big-endian; leading zeros may be missing.
    fn of_scalar(scalar: &[u8]) -> Option<SigningKey> {
        let zeros = PRIVATE_BYTES.checked_sub(scalar.len()).filter(|_| scalar.len() >= MIN_PRIVATE_BYTES)?;
        let private = [vec![0; zeros].as_slice(), scalar].concat();
        let public = SecretKey::from_slice(&private).ok()?.public_key().to_sec1_bytes();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public).ok()?;
        SigningKey::of_pair(&pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key pair of RFC 8291 section 5.
    const PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
    const PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";

    fn public_of(text: &str) -> Result<String, VapidKeyFault> {
        parse(text.as_bytes()).map(|key| application_server_key(&key.public))
    }

    #[test]
    fn a_new_pair_is_read_back_and_signs() {
        let made = new_vapid_key_pair().expect("a pair");
        assert_eq!(made.public_key.len(), 87);
        assert!(made.public_key.starts_with('B') && made.private_pem.lines().all(|line| line.len() <= PEM_LINE));
        assert_eq!(public_of(&made.private_pem), Ok(made.public_key.clone()));
        let other = new_vapid_key_pair().expect("a pair");
        assert_ne!(made.public_key, other.public_key);
    }

    #[test]
    fn a_pair_is_read_in_every_form_in_which_tools_print_it() {
        let standard = |text: &str| text.replace('-', "+").replace('_', "/");
        for text in [
            PRIVATE.to_owned(),
            format!("{PRIVATE}=\n"),
            standard(PRIVATE),
            format!("\u{feff}{}=", standard(PRIVATE)),
            format!(r#"{{"publicKey":"{PUBLIC}","privateKey":"{PRIVATE}"}}"#),
            format!(
                "{{\n \"privateKey\": \"{}=\",\n \"publicKey\": \"{}=\", \"subject\": \"mailto:a@b.example\" }}",
                standard(PRIVATE),
                standard(PUBLIC)
            ),
            format!(
                "\n=======================================\n\nPublic Key:\n{PUBLIC}\n\nPrivate Key:\n{PRIVATE}\n\n=======================================\n"
            ),
            format!("Private Key: {PRIVATE}\r\nPublic Key: {PUBLIC}\r\n"),
        ] {
            assert_eq!(public_of(&text).as_deref(), Ok(PUBLIC), "{text}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_with_the_reason() {
        let other = new_vapid_key_pair().expect("a pair").public_key;
        for text in [
            format!(r#"{{"publicKey":"{other}","privateKey":"{PRIVATE}"}}"#),
            format!("Public Key:\n{other}\nPrivate Key:\n{PRIVATE}\n"),
            format!("Public Key:\nshort\nPrivate Key:\n{PRIVATE}\n"),
        ] {
            assert_eq!(public_of(&text), Err(VapidKeyFault::OtherPublicKey), "{text}");
        }
        for text in ["", "{}", "short", "Private Key:", PUBLIC, &format!("{PRIVATE}{PRIVATE}"), &"A".repeat(43), "\u{fffd}"] {
            assert_eq!(public_of(text), Err(VapidKeyFault::NoKey), "{text}");
        }
        assert_eq!(parse(b"\xff\xfe").err(), Some(VapidKeyFault::NoKey));
    }

    #[test]
    fn a_private_key_whose_leading_zeros_are_missing_is_the_same_key() {
        let mut scalar = [0; PRIVATE_BYTES];
        scalar[2..].fill(9);
        let whole = SigningKey::of_scalar(&scalar).expect("a key");
        assert_eq!(SigningKey::of_scalar(&scalar[2..]).expect("a key").public, whole.public);
        assert!(SigningKey::of_scalar(&scalar[5..]).is_none(), "too short to be a key");
        assert!(SigningKey::of_scalar(&[0; PRIVATE_BYTES]).is_none() && SigningKey::of_scalar(&[1; PRIVATE_BYTES + 1]).is_none());
    }
}
