//! What a sender needs, in files, and the public halves that the gateway keeps.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::authority;

/// What a sender needs. Made once in a folder and read from it again, so that a gateway can be started anew.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Where the files are.
    pub folder: PathBuf,
    /// PEM: the authority that signed the gateway's certificate.
    pub authority: PathBuf,
    /// PKCS #8 in PEM: Apple's signing key.
    pub apns_key: PathBuf,
    /// The key's id.
    pub apns_key_id: &'static str,
    /// The team that it belongs to.
    pub apns_team_id: &'static str,
    /// PEM: a certificate and its key, which Apple takes instead of a provider token.
    pub certificate: PathBuf,
    /// JSON: Google's service account.
    pub service_account: PathBuf,
    /// Google's project.
    pub project: &'static str,
    /// PKCS #8 in PEM: the key that subscriptions are bound to (RFC 8292).
    pub vapid_key: PathBuf,
    /// Its public half, uncompressed, in base64url without padding: `applicationServerKey` in a browser.
    pub vapid_public: String,
}

/// What the gateway checks senders with.
pub(super) struct Checks {
    pub(super) acceptor: TlsAcceptor,
    /// An uncompressed point on P-256.
    pub(super) apns_public: Vec<u8>,
    /// The same, of the key that subscriptions are bound to.
    pub(super) vapid_public: Vec<u8>,
    /// An RSA public key in DER (RFC 8017 appendix A.1.1).
    pub(super) google_public: Vec<u8>,
    /// The service account's name.
    pub(super) google_account: &'static str,
}

const KEY_ID: &str = "STANDIN001";
const TEAM_ID: &str = "DRIFTLESS1";
const PROJECT: &str = "driftless-stand-in";
const ACCOUNT: &str = "sender@driftless-stand-in.iam.gserviceaccount.com";

/// Makes what is not there yet, and reads it.
pub(super) fn open(folder: &Path, token_uri: &str) -> io::Result<(Credentials, Checks)> {
    std::fs::create_dir_all(folder)?;
    let [authority, server, certificate] = ["authority.pem", "server.pem", "certificate.pem"].map(|name| folder.join(name));
    if !(authority.exists() && server.exists() && certificate.exists()) {
        let made = authority::make().map_err(io::Error::other)?;
        write(&authority, &made.authority)?;
        write(&server, &made.server)?;
        write(&certificate, &made.client)?;
    }
    let acceptor = authority::acceptor(&std::fs::read_to_string(&authority)?, &std::fs::read_to_string(&server)?)?;

    let (apns_key, vapid_key) = (folder.join("apns.p8"), folder.join("vapid.pem"));
    let apns = key(&apns_key)?;
    let vapid = key(&vapid_key)?;

    let service_account = folder.join("service_account.json");
    let google = google(&service_account, token_uri)?;

    let credentials = Credentials {
        folder: folder.to_owned(),
        authority,
        apns_key,
        apns_key_id: KEY_ID,
        apns_team_id: TEAM_ID,
        certificate,
        service_account,
        project: PROJECT,
        vapid_key,
        vapid_public: URL_SAFE_NO_PAD.encode(vapid.der_bytes()),
    };
    let [apns_public, vapid_public, google_public] = [apns, vapid, google].map(|key| key.der_bytes().to_vec());
    Ok((credentials, Checks { acceptor, apns_public, vapid_public, google_public, google_account: ACCOUNT }))
}

/// A key on P-256.
pub(super) fn key(file: &Path) -> io::Result<KeyPair> {
    if file.exists() {
        return KeyPair::from_pem(&std::fs::read_to_string(file)?).map_err(io::Error::other);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    write(file, &key.serialize_pem())?;
    Ok(key)
}

/// The service account's key. Its file is written anew each time: the token endpoint may have moved.
fn google(file: &Path, token_uri: &str) -> io::Result<KeyPair> {
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
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": token_uri,
    });
    write(file, &format!("{account:#}\n"))?;
    Ok(key)
}

/// Writes a file that only its owner reads: most of them are keys.
fn write(file: &Path, content: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(content.as_bytes())
}
