//! A key pair that signs an issuer's tokens with RS256 (RFC 7518 section 3.3), and the JWKS of public halves (RFC 7517).
//!
//! The `kid` is the thumbprint of the public key (RFC 7638): two pairs never share one, and it is known from the key alone.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::secret_key::CryptoFailed;

/// The size that Amazon Cognito's keys have. RFC 7518 demands no less.
const KEY_SIZE: KeySize = KeySize::Rsa2048;

/// A key pair of an issuer. It does not print its private half.
pub struct SigningKeyPair {
    pair: KeyPair,
    key_id: String,
    /// The modulus and the exponent of the public half, as a JWK has them.
    modulus: String,
    exponent: String,
}

impl SigningKeyPair {
    /// A new key pair of 2,048 bits. It takes a tenth of a second of a processor, more or less: never on a thread that serves.
    pub fn generate() -> Result<SigningKeyPair, CryptoFailed> {
        Ok(SigningKeyPair::of(KeyPair::generate(KEY_SIZE).map_err(|_| CryptoFailed)?))
    }

    /// The pair of a private key in PKCS #8 (RFC 5958). An error if it is no sound RSA key of 2,048 bits or more.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKeyPair, CryptoFailed> {
        Ok(SigningKeyPair::of(KeyPair::from_pkcs8(der).map_err(|_| CryptoFailed)?))
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CryptoFailed> {
        let der: Pkcs8V1Der<'static> = self.pair.as_der().map_err(|_| CryptoFailed)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    fn of(pair: KeyPair) -> SigningKeyPair {
        let public = pair.public_key();
        let modulus = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let key_id = thumbprint(&modulus, &exponent);
        SigningKeyPair { pair, key_id, modulus, exponent }
    }

    /// The `kid` of the tokens that it signs: 43 characters.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// A signed token with these claims, which are a JSON object: a JWS in its compact form (RFC 7515 section 7.1), with the header that Amazon
    /// Cognito's tokens have. It takes a millisecond of a processor.
    pub fn sign(&self, claims: &[u8]) -> Result<String, CryptoFailed> {
        let header = format!(r#"{{"kid":"{}","alg":"RS256"}}"#, self.key_id);
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature);
        signed.map_err(|_| CryptoFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }

    /// The claims of a token that this pair has signed; `None` of any other text. The header has to be the one that [`sign`](Self::sign) writes, so
    /// nothing of it is chosen by the sender.
    pub fn verified_claims(&self, token: &str) -> Option<Vec<u8>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        if header != URL_SAFE_NO_PAD.encode(format!(r#"{{"kid":"{}","alg":"RS256"}}"#, self.key_id)) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref());
        key.verify(message.as_bytes(), &signature).ok()?;
        URL_SAFE_NO_PAD.decode(claims).ok()
    }

    fn public_half(&self) -> Value {
        json!({ "alg": "RS256", "e": self.exponent, "kid": self.key_id, "kty": "RSA", "n": self.modulus, "use": "sig" })
    }
}

/// The thumbprint of a public key (RFC 7638 section 3.1): the hash of the members that it needs, in the order of their names, without spaces.
pub(super) fn thumbprint(modulus: &str, exponent: &str) -> String {
    let members = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// The JWKS document of these pairs' public halves.
pub fn jwks<'a>(pairs: impl IntoIterator<Item = &'a SigningKeyPair>) -> String {
    let keys: Vec<Value> = pairs.into_iter().map(SigningKeyPair::public_half).collect();
    json!({ "keys": keys }).to_string()
}

impl fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyPair").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
