//! The certificates that a command trusts instead of this machine's: those of a file (`--ca`).
//!
//! The file may also hold the server's own certificate, as `openssl req -x509` makes it: one that is marked as an authority's. The verifier
//! refuses to take an authority's certificate for a server's. Here it is taken if the file holds this very certificate; its name and its time
//! are checked all the same, and the server proves in the handshake that it has the key.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// TLS that trusts the certificates of a PEM file and no others. An error is text for people.
pub fn trust_file(path: &Path) -> Result<ClientConfig, String> {
    let failed = |why: &dyn std::fmt::Display| format!("--ca {}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|why| failed(&why))?;
    if certificates.is_empty() {
        return Err(failed(&"contains no certificate in PEM form"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|why| failed(&why))?;
    }
    let provider = Arc::new(default_provider());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().map_err(|why| failed(&why))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|why| failed(&why))?;
    let verifier = Arc::new(TrustedCertificates { certificates, chains });
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct TrustedCertificates {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for TrustedCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its time was checked before this was found.
            Err(error) if is_authority_as_server(&error) && self.certificates.iter().any(|one| one.as_ref() == end_entity.as_ref()) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn is_authority_as_server(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn authority() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + DAY).into();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signs").der().clone()
    }

    /// Whether a server with this certificate is trusted, some days from now.
    fn is_trusted(trusted: &CertificateDer<'static>, shown: &CertificateDer<'static>, name: &str, days: u64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a root");
        let chains =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build().expect("a verifier");
        let verifier = TrustedCertificates { certificates: vec![trusted.clone()], chains };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970") + DAY * days as u32;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::since_unix_epoch(now)).is_ok()
    }

    #[test]
    fn an_authority_is_taken_for_a_server_only_if_it_is_the_very_one_with_its_name_and_in_its_time() {
        let (own, other) = (authority(), authority());
        assert!(is_trusted(&own, &own, "localhost", 0));
        assert!(!is_trusted(&own, &other, "localhost", 0), "another with the same name");
        assert!(!is_trusted(&own, &own, "example.com", 0), "another name");
        assert!(!is_trusted(&own, &own, "localhost", 3), "expired");
    }
}
