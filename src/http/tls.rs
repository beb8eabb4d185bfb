//! TLS with rustls, if a certificate is configured.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

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
    pub(super) fn bind(address: SocketAddr, error: &std::io::Error) -> ListenError {
        ListenError(format!("cannot listen on {address}: {error}; choose another address with --listen"))
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ListenError {}

impl TlsConfig {
    /// Checks that the files can be used. Blocks.
    pub fn check(&self) -> Result<(), ListenError> {
        self.acceptor().map(|_| ())
    }

    /// Reads the files. Blocks.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ListenError> {
        let file_error = |file: &PathBuf, error: &dyn fmt::Display| ListenError(format!("{}: {error}", file.display()));
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| file_error(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(file_error(&self.certificate, &"contains no certificate in PEM form"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| file_error(&self.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| ListenError(format!("{} and its key: {error}", self.certificate.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
