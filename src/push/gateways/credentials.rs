//! The secrets by which gateways know an app, read from files at the start. One that does not parse is refused with its file's name.
//!
//! None of these types shows its secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::EncodingKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use super::config_error::PushConfigError;

/// The largest file that is read, in bytes. A chain of certificates and its key have about 10 KiB.
const FILE_BYTES: usize = 256 * 1024;

/// Reads a file. Blocks on the disk: for the start only.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, PushConfigError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| PushConfigError::file(path, error))?;
    match bytes.len() > FILE_BYTES {
        true => Err(PushConfigError::file(path, format!("more than {FILE_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// A key on P-256 that signs tokens: Apple's .p8, or a Web Push application server's.
pub(super) struct SigningKey {
    /// Signs ES256.
    pub(super) private: EncodingKey,
    /// Its public half, uncompressed, in 65 bytes.
    pub(super) public: Vec<u8>,
}

impl SigningKey {
    /// From PEM, as PKCS #8 (RFC 5208) or SEC 1 (RFC 5915).
    pub(super) fn read(path: &Path) -> Result<SigningKey, PushConfigError> {
        SigningKey::parse(&read(path)?).ok_or_else(|| PushConfigError::file(path, "no private key on P-256 in PEM form (PKCS #8 or SEC 1)"))
    }

    fn parse(pem: &[u8]) -> Option<SigningKey> {
        let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der()).ok()?;
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
        Some(SigningKey { private, public: pair.public_key().as_ref().to_vec() })
    }
}

/// A certificate that says who we are, with its key.
pub(super) struct Certificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// From one PEM file with both.
    pub(super) fn read(path: &Path) -> Result<Certificate, PushConfigError> {
        let pem = read(path)?;
        let chain = certificates(path, &pem)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| PushConfigError::file(path, "no private key in PEM form"))?;
        Ok(Certificate { chain, key })
    }
}

/// The certificates in a PEM file, at least one.
pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PushConfigError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(PushConfigError::file(path, "no certificate in PEM form")),
    }
}

/// A service account of Google's.
pub(super) struct ServiceAccount {
    /// The project that messages are sent from.
    pub(super) project: String,
    /// Who signs.
    pub(super) email: String,
    /// The key's id, if the file gives one.
    pub(super) key_id: Option<String>,
    /// Signs RS256.
    pub(super) key: EncodingKey,
    /// Where a signature is exchanged for an access token.
    pub(super) token_uri: String,
}

#[derive(Deserialize)]
struct ServiceAccountFile {
    project_id: String,
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

impl ServiceAccount {
    /// From the JSON file that the Google Cloud console gives out.
    pub(super) fn read(path: &Path) -> Result<ServiceAccount, PushConfigError> {
        // The parser's own message could quote the key.
        let file: ServiceAccountFile = serde_json::from_slice(&read(path)?).map_err(|_| {
            PushConfigError::file(path, "no service account: JSON with project_id, client_email, private_key and token_uri is needed")
        })?;
        let plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
        if !plain(&file.project_id) {
            return Err(PushConfigError::file(path, "project_id is no name of a project"));
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| PushConfigError::file(path, "private_key is no RSA key in PEM form"))?;
        Ok(ServiceAccount {
            project: file.project_id,
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri: file.token_uri,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_forms_and_on_p256_only() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let pkcs8 = SigningKey::parse(pair.serialize_pem().as_bytes()).expect("PKCS #8");
        let aws = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der()).expect("a key");
        use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
        let sec1: EcPrivateKeyRfc5915Der<'_> = aws.private_key().as_der().expect("SEC 1");
        let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, sec1.as_ref());
        let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
        let sec1 = SigningKey::parse(pem.as_bytes()).expect("SEC 1");
        assert_eq!(pkcs8.public, sec1.public);
        assert_eq!(pkcs8.public.len(), 65);
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        assert!(SigningKey::parse(other.serialize_pem().as_bytes()).is_none());
        assert!(SigningKey::parse(b"").is_none());
    }

    #[test]
    fn a_file_that_does_not_parse_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.json");
        std::fs::write(&path, r#"{"private_key": "hush", "project_id": 5}"#).expect("a file");
        let said = [
            SigningKey::read(&path).err().map(|error| error.to_string()),
            Certificate::read(&path).err().map(|error| error.to_string()),
            ServiceAccount::read(&path).err().map(|error| error.to_string()),
            SigningKey::read(&folder.path().join("secret.json.missing")).err().map(|error| error.to_string()),
        ];
        for said in said {
            let said = said.expect("a refusal");
            assert!(said.contains("secret.json") && !said.contains("hush"), "{said}");
        }
    }
}
