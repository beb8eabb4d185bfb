//! Reads the credentials of apps from files. A file that does not parse is refused by its name.
//!
//! No type here implements `Debug` or `Display`, so no secret can be logged.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::EncodingKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use super::config_error::PushConfigError;

/// The largest file that is read, in bytes. A certificate chain with its key has about 10 KiB.
const FILE_BYTES: usize = 256 * 1024;

/// Reads a file up to [`FILE_BYTES`], without the byte order mark that some editors write. Blocks on the disk: for start-up and reloads only.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, PushConfigError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| PushConfigError::file(path, error))?;
    match bytes.len() > FILE_BYTES {
        true => Err(PushConfigError::file(path, format!("more than {FILE_BYTES} bytes"))),
        false => Ok(bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes)),
    }
}

/// A P-256 key that signs tokens: Apple's .p8, or a Web Push application server's (`vapid_key` reads that in more forms).
pub(super) struct SigningKey {
    /// For ES256.
    pub(super) private: EncodingKey,
    /// The public key, uncompressed, 65 bytes.
    pub(super) public: Vec<u8>,
}

impl SigningKey {
    /// Reads PEM, as PKCS #8 (RFC 5208) or SEC 1 (RFC 5915).
    pub(super) fn read(path: &Path) -> Result<SigningKey, PushConfigError> {
        SigningKey::parse(&read(path)?).ok_or_else(|| PushConfigError::file(path, "not a P-256 private key in PEM form (PKCS #8 or SEC 1)"))
    }

    pub(super) fn parse(pem: &[u8]) -> Option<SigningKey> {
        let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
        SigningKey::of_pair(&EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der()).ok()?)
    }

    pub(super) fn of_pair(pair: &EcdsaKeyPair) -> Option<SigningKey> {
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
        Some(SigningKey { private, public: pair.public_key().as_ref().to_vec() })
    }
}

/// A TLS client certificate with its key.
pub(super) struct ClientCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    /// Reads one PEM file that has both.
    pub(super) fn read(path: &Path) -> Result<ClientCertificate, PushConfigError> {
        let pem = read(path)?;
        let chain = certificates(path, &pem)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| PushConfigError::file(path, "no private key in PEM form"))?;
        Ok(ClientCertificate { chain, key })
    }
}

/// Parses the certificates in a PEM file; none is an error.
pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PushConfigError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(PushConfigError::file(path, "no certificate in PEM form")),
    }
}

/// A Google service account.
pub(super) struct ServiceAccount {
    /// The id of the project that owns the account.
    pub(super) project: String,
    /// The issuer of the signed assertion.
    pub(super) email: String,
    pub(super) key_id: Option<String>,
    /// For RS256.
    pub(super) key: EncodingKey,
    /// The endpoint that exchanges a signed assertion for an access token.
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
    /// Reads the JSON file that the Google Cloud console issues.
    pub(super) fn read(path: &Path) -> Result<ServiceAccount, PushConfigError> {
        // The parser's own message is dropped because it could quote the key.
        let file: ServiceAccountFile = serde_json::from_slice(&read(path)?).map_err(|_| {
            PushConfigError::file(path, "not a service account: JSON with project_id, client_email, private_key and token_uri is needed")
        })?;
        let plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
        if !plain(&file.project_id) {
            return Err(PushConfigError::file(path, "project_id is not a project's id"));
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_| PushConfigError::file(path, "private_key is not an RSA key in PEM form"))?;
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
    fn a_p256_key_is_read_as_pkcs8_and_as_sec1() {
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
        let messages = [
            SigningKey::read(&path).err().map(|error| error.to_string()),
            ClientCertificate::read(&path).err().map(|error| error.to_string()),
            ServiceAccount::read(&path).err().map(|error| error.to_string()),
            SigningKey::read(&folder.path().join("secret.json.missing")).err().map(|error| error.to_string()),
        ];
        for message in messages {
            let message = message.expect("a refusal");
            assert!(message.contains("secret.json") && !message.contains("hush"), "{message}");
        }
    }
}
