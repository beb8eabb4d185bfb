//! TLS towards gateways: the trusted roots, and the client certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::config_error::PushConfigError;
use super::credentials::{self, ClientCertificate};

/// The operating system's root certificates, read once.
pub(super) struct RootCertificates {
    roots: RootCertStore,
}

impl RootCertificates {
    /// Reads them. Certificates that cannot be read are skipped; there may be none, if every gateway has its own `authority_file`.
    pub(super) fn native() -> RootCertificates {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        RootCertificates { roots }
    }

    /// The TLS configuration for one gateway, with an additional root and a client certificate where they are given.
    pub(super) fn client_config(
        &self,
        authority: Option<&Path>,
        certificate: Option<ClientCertificate>,
    ) -> Result<ClientConfig, PushConfigError> {
        let mut roots = self.roots.clone();
        if let Some(path) = authority {
            let read = credentials::read(path).and_then(|pem| credentials::certificates(path, &pem));
            for root in read.map_err(|why| why.of("authority_file"))? {
                roots.add(root).map_err(|error| PushConfigError::file(path, error).of("authority_file"))?;
            }
        }
        if roots.is_empty() {
            return Err(PushConfigError::setting("this machine has no root certificates: install them, or set authority_file"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| PushConfigError::setting(error.to_string()))?
            .with_root_certificates(roots);
        match certificate {
            None => Ok(config.with_no_client_auth()),
            Some(ClientCertificate { chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(|error| PushConfigError::setting(error.to_string()).of("certificate_file"))
            }
        }
    }
}
