//! TLS towards gateways: whom we trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::config_error::PushConfigError;
use super::credentials::{self, Certificate};

/// The roots of this machine, read once.
pub(super) struct Trust {
    roots: RootCertStore,
}

impl Trust {
    /// Reads them. What the machine has and cannot be read is passed over; it may have none, when every gateway has an authority of its own.
    pub(super) fn of_this_machine() -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Trust { roots }
    }

    /// For one gateway: with one more authority, and with a certificate of ours if it knows us by one.
    pub(super) fn config(&self, authority: Option<&Path>, certificate: Option<Certificate>) -> Result<ClientConfig, PushConfigError> {
        let mut roots = self.roots.clone();
        if let Some(path) = authority {
            for root in credentials::certificates(path, &credentials::read(path)?)? {
                roots.add(root).map_err(|error| PushConfigError::file(path, error))?;
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
            Some(Certificate { chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(|error| PushConfigError::setting(format!("certificate_file: {error}")))
            }
        }
    }
}
