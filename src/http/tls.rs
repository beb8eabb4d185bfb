//! TLS with rustls, if a certificate is configured. The certificate can be exchanged while the server runs: open connections keep the one
//! that they began with, and a pair that cannot be used changes nothing.
//!
//! The files are looked at every few seconds, through links: Kubernetes exchanges a link to the folder, certbot one link after the other.
//! So a change that cannot be used is looked at a second time before it is reported.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use crate::metrics::Metrics;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// From when on the log says every day that the certificate expires, in seconds before that.
const EXPIRY_WARNING_S: i64 = 14 * 24 * 3600;

/// How many checks make a day.
const CHECKS_PER_DAY: u64 = 24 * 3600 / CHECK_INTERVAL.as_secs();

/// The files of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM: the certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Why the port cannot be served: the address, the certificate or its key. The text names the address or the file.
#[derive(Debug)]
pub struct ListenError(String);

impl ListenError {
    pub(super) fn bind(address: SocketAddr, flag: &str, error: &std::io::Error) -> ListenError {
        ListenError(format!("cannot listen on {address}: {error}; choose another address with {flag}"))
    }

    fn file(path: &Path, error: impl fmt::Display) -> ListenError {
        ListenError(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ListenError {}

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub struct ServerCertificate(Arc<CertificateInUse>);

struct CertificateInUse {
    files: TlsConfig,
    pair: RwLock<CertificatePair>,
    seen: Mutex<SeenFiles>,
}

/// A certificate chain with its key.
#[derive(Clone)]
struct CertificatePair {
    acceptor: TlsAcceptor,
    /// When the first certificate of the chain expires, in Unix seconds.
    expires_s: Option<u64>,
}

/// Which file a path leads to, and in which state: device, inode, size, and the times of its change.
type FileStamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// The states of both files; `None`: there is no such file.
type FileStamps = [Option<FileStamp>; 2];

/// What is known of the files.
struct SeenFiles {
    /// As they were when the pair in use was read.
    loaded: FileStamps,
    /// As they were at the last check.
    last: FileStamps,
    /// As they were when they were reported as not usable.
    refused: Option<FileStamps>,
}

/// What a check found.
#[derive(Debug)]
enum CertificateCheck {
    Unchanged,
    Replaced,
    /// Another check decides: the files may be on their way.
    Unsettled,
    Refused(ListenError),
}

impl ServerCertificate {
    /// Reads the files. Blocks.
    pub fn open(files: &TlsConfig) -> Result<ServerCertificate, ListenError> {
        // Before the files are read: what changes meanwhile is seen at the first check.
        let stamps = files.stamps();
        let pair = RwLock::new(files.read()?);
        let seen = Mutex::new(SeenFiles { loaded: stamps, last: stamps, refused: None });
        Ok(ServerCertificate(Arc::new(CertificateInUse { files: files.clone(), pair, seen })))
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.pair().acceptor
    }

    /// Reads the files again and uses them for new connections; on an error the current pair stays in use. Blocks.
    pub fn reload(&self) -> Result<(), ListenError> {
        let stamps = self.0.files.stamps();
        self.0.files.check_regular()?;
        let pair = self.0.files.read()?;
        *self.0.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
        self.seen().loaded = stamps;
        Ok(())
    }

    /// Exchanges the certificate when its files change, and counts the time until it expires. Runs for ever.
    pub async fn watch(self, metrics: Metrics) {
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        let mut number = 0_u64;
        loop {
            checks.tick().await;
            let certificate = self.clone();
            match tokio::task::spawn_blocking(move || certificate.check()).await {
                Ok(CertificateCheck::Replaced) => info!(expires_in_s = self.expires_in_s(), "certificate reloaded: its files have changed"),
                Ok(CertificateCheck::Refused(error)) => error!(%error, "certificate reload failed; the current certificate stays in use"),
                Ok(CertificateCheck::Unchanged | CertificateCheck::Unsettled) | Err(_) => {}
            }
            if let Some(expires_in_s) = self.expires_in_s() {
                metrics.certificate_expires(expires_in_s);
                if number.is_multiple_of(CHECKS_PER_DAY) && expires_in_s < EXPIRY_WARNING_S {
                    warn!(expires_in_s, certificate = %self.0.files.certificate.display(), "certificate expires soon, or has expired");
                }
            }
            number += 1;
        }
    }

    fn check(&self) -> CertificateCheck {
        let stamps = self.0.files.stamps();
        let mut seen = self.seen();
        if stamps == seen.loaded {
            seen.last = stamps;
            return CertificateCheck::Unchanged;
        }
        let is_settled = std::mem::replace(&mut seen.last, stamps) == stamps;
        drop(seen);
        match self.reload() {
            Ok(()) => CertificateCheck::Replaced,
            Err(_) if !is_settled => CertificateCheck::Unsettled,
            // It is tried again at each check, as the fault can be passing (no file descriptor left), and said once.
            Err(error) => match self.seen().refused.replace(stamps) {
                Some(refused) if refused == stamps => CertificateCheck::Unchanged,
                _ => CertificateCheck::Refused(error),
            },
        }
    }

    /// Seconds until the certificate expires; negative: since then. `None` if it does not say.
    fn expires_in_s(&self) -> Option<i64> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Some(i64::try_from(self.pair().expires_s?).unwrap_or(i64::MAX) - now_s as i64)
    }

    fn pair(&self) -> CertificatePair {
        self.0.pair.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen(&self) -> MutexGuard<'_, SeenFiles> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsConfig {
    /// What is wrong with the files, each with the setting that it is about: `certificate` or `key`. Blocks.
    pub fn faults(&self) -> Vec<(&'static str, ListenError)> {
        let (chain, key) = (self.read_chain().err(), self.read_key().err());
        let mut faults: Vec<_> = chain.map(|why| ("certificate", why)).into_iter().chain(key.map(|why| ("key", why))).collect();
        if faults.is_empty() {
            // Each can be read, so the fault is of the pair: of the key that was exchanged without its certificate, or the other way round.
            faults.extend(self.read().err().map(|why| ("key", why)));
        }
        faults
    }

    fn read_chain(&self) -> Result<Vec<CertificateDer<'static>>, ListenError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| ListenError::file(&self.certificate, error))?;
        if chain.is_empty() {
            return Err(ListenError::file(&self.certificate, "contains no certificate in PEM form"));
        }
        Ok(chain)
    }

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, ListenError> {
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| ListenError::file(&self.key, error))
    }

    fn read(&self) -> Result<CertificatePair, ListenError> {
        let (chain, key) = (self.read_chain()?, self.read_key()?);
        let expires_s = chain.iter().filter_map(expires_s).min();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| ListenError(format!("{} and its key: {error}", self.certificate.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(CertificatePair { acceptor: TlsAcceptor::from(Arc::new(config)), expires_s })
    }

    /// A pipe would block a thread until somebody writes to it.
    fn check_regular(&self) -> Result<(), ListenError> {
        let irregular = [&self.certificate, &self.key].into_iter().find(|path| path.metadata().is_ok_and(|about| !about.is_file()));
        irregular.map_or(Ok(()), |path| Err(ListenError::file(path, "is not a regular file, so it cannot be read again")))
    }

    fn stamps(&self) -> FileStamps {
        [&self.certificate, &self.key].map(|path| {
            let about = path.metadata().ok()?;
            Some((about.dev(), about.ino(), about.size(), (about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec())))
        })
    }
}

/// The end of a certificate's validity, in Unix seconds. Its verifier checks the time before anything else, and says what the end is.
fn expires_s(certificate: &CertificateDer<'_>) -> Option<u64> {
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    match parsed.verify_for_usage(&[], &[], &[], end_of_time, webpki::KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// Writes a certificate that expires at the end of a year, and its key.
    fn write_pair(files: &TlsConfig, year: i32, is_ca: bool) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 12, 31);
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        let key = KeyPair::generate().expect("a key");
        std::fs::write(&files.certificate, params.self_signed(&key).expect("signs").pem()).expect("writes");
        std::fs::write(&files.key, key.serialize_pem()).expect("writes");
    }

    fn files(folder: &Path) -> TlsConfig {
        TlsConfig { certificate: folder.join("c.pem"), key: folder.join("k.pem") }
    }

    #[test]
    fn the_end_of_validity_is_read_whatever_the_certificate_is_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = files(folder.path());
        for (year, is_ca, end_s) in [(2030, false, 1_924_905_600), (2030, true, 1_924_905_600), (2001, false, 1_009_756_800)] {
            write_pair(&files, year, is_ca);
            assert_eq!(ServerCertificate::open(&files).expect("opens").pair().expires_s, Some(end_s), "{year} {is_ca}");
        }
    }

    #[test]
    fn a_broken_pair_is_reported_once_when_it_has_settled_and_a_good_one_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = files(folder.path());
        write_pair(&files, 2030, false);
        let certificate = ServerCertificate::open(&files).expect("opens");
        assert!(matches!(certificate.check(), CertificateCheck::Unchanged));
        let good = std::fs::read(&files.key).expect("reads");
        std::fs::write(&files.key, "half a k").expect("writes");
        assert!(matches!(certificate.check(), CertificateCheck::Unsettled));
        assert!(matches!(certificate.check(), CertificateCheck::Refused(why) if why.to_string().contains("k.pem")));
        assert!(matches!(certificate.check(), CertificateCheck::Unchanged));
        std::fs::write(&files.key, good).expect("writes");
        assert!(matches!(certificate.check(), CertificateCheck::Replaced));
        // The key of another certificate.
        write_pair(&TlsConfig { certificate: folder.path().join("other.pem"), ..files.clone() }, 2031, false);
        assert!(matches!(certificate.check(), CertificateCheck::Unsettled));
        assert!(certificate.reload().expect_err("does not fit").to_string().contains("c.pem and its key"));
        std::fs::rename(folder.path().join("other.pem"), &files.certificate).expect("renames");
        assert!(matches!(certificate.check(), CertificateCheck::Replaced));
        std::fs::remove_file(&files.key).expect("removes");
        assert!(matches!((certificate.check(), certificate.check()), (CertificateCheck::Unsettled, CertificateCheck::Refused(_))));
        assert_eq!(certificate.pair().expires_s, Some(1_956_441_600), "the last good one stays");
    }
}
