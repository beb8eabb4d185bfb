//! A sender's credentials in files, and the public keys with which the gateway checks them.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::authority;

/// The credentials of a sender. They are created once in a folder and read from it afterwards, so that another gateway can take over.
#[derive(Clone, Debug)]
pub struct SenderCredentials {
    /// The folder of the files.
    pub folder: PathBuf,
    /// PEM: the authority that signed the gateway's certificate.
    pub authority: PathBuf,
    /// PKCS #8 in PEM: the signing key for Apple's provider tokens.
    pub apns_key: PathBuf,
    /// The signing key's id.
    pub apns_key_id: &'static str,
    /// The id of the team that owns the key.
    pub apns_team_id: &'static str,
    /// PEM: a client certificate and its key, which Apple accepts instead of a provider token.
    pub certificate: PathBuf,
    /// JSON: Google's service account.
    pub service_account: PathBuf,
    /// The id of Google's project.
    pub project: &'static str,
    /// PKCS #8 in PEM: the VAPID key that subscriptions are bound to (RFC 8292).
    pub vapid_key: PathBuf,
    /// The VAPID key's public half, uncompressed, in base64url without padding: a browser's `applicationServerKey`.
    pub vapid_public: String,
}

/// What the gateway needs for TLS and for checking senders.
pub(crate) struct GatewayKeys {
    pub(crate) tls_acceptor: TlsAcceptor,
    /// An uncompressed point on P-256.
    pub(crate) apns_public: Vec<u8>,
    /// An uncompressed point on P-256: the key that subscriptions are bound to.
    pub(crate) vapid_public: Vec<u8>,
    /// An RSA public key in DER (RFC 8017 appendix A.1.1).
    pub(crate) google_public: Vec<u8>,
    /// The service account's e-mail address.
    pub(crate) google_account: &'static str,
}

const APNS_KEY_ID: &str = "STANDIN001";
const APNS_TEAM_ID: &str = "DRIFTLESS1";
const PROJECT: &str = "driftless-stand-in";
const SERVICE_ACCOUNT: &str = "sender@driftless-stand-in.iam.gserviceaccount.com";

/// Reads the credentials in a folder, and creates those that are missing.
pub(crate) fn open(folder: &Path, token_uri: &str) -> io::Result<(SenderCredentials, GatewayKeys)> {
    std::fs::create_dir_all(folder)?;
    let [authority, server, certificate] = ["authority.pem", "server.pem", "certificate.pem"].map(|name| folder.join(name));
    if !(authority.exists() && server.exists() && certificate.exists()) {
        let made = authority::generate().map_err(io::Error::other)?;
        write_private(&authority, &made.authority)?;
        write_private(&server, &made.server)?;
        write_private(&certificate, &made.client)?;
    }
    let tls_acceptor = authority::acceptor(&std::fs::read_to_string(&authority)?, &std::fs::read_to_string(&server)?)?;

    let (apns_key, vapid_key) = (folder.join("apns.p8"), folder.join("vapid.pem"));
    let apns = open_p256_key(&apns_key)?;
    let vapid = open_p256_key(&vapid_key)?;

    let service_account = folder.join("service_account.json");
    let google = open_service_account(&service_account, token_uri)?;

    let credentials = SenderCredentials {
        folder: folder.to_owned(),
        authority,
        apns_key,
        apns_key_id: APNS_KEY_ID,
        apns_team_id: APNS_TEAM_ID,
        certificate,
        service_account,
        project: PROJECT,
        vapid_key,
        vapid_public: URL_SAFE_NO_PAD.encode(vapid.der_bytes()),
    };
    let [apns_public, vapid_public, google_public] = [apns, vapid, google].map(|key| key.der_bytes().to_vec());
    Ok((credentials, GatewayKeys { tls_acceptor, apns_public, vapid_public, google_public, google_account: SERVICE_ACCOUNT }))
}

/// Reads a key on P-256, or creates it.
pub(crate) fn open_p256_key(file: &Path) -> io::Result<KeyPair> {
    if file.exists() {
        return KeyPair::from_pem(&std::fs::read_to_string(file)?).map_err(io::Error::other);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    write_private(file, &key.serialize_pem())?;
    Ok(key)
}

/// Reads or creates the service account's key. The file is written each time, because the token endpoint's port may have changed.
fn open_service_account(file: &Path, token_uri: &str) -> io::Result<KeyPair> {
    let known = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let key = match known.as_ref().and_then(|account| account["private_key"].as_str()) {
        Some(pem) => KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256),
        None => KeyPair::generate_for(&PKCS_RSA_SHA256),
    };
    let key = key.map_err(io::Error::other)?;
    let account = json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "stand-in",
        "private_key": key.serialize_pem(),
        "client_email": SERVICE_ACCOUNT,
        "client_id": "1",
        "token_uri": token_uri,
    });
    write_private(file, &format!("{account:#}\n"))?;
    Ok(key)
}

/// Writes a file that only its owner can read: most of the files hold private keys.
fn write_private(file: &Path, content: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(content.as_bytes())
}
