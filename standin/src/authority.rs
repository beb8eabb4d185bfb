//! Creates the gateway's certificate authority, and the certificates that it signs.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Certificates in PEM, with their private keys. The authority's key is discarded: it signs nothing else.
pub(crate) struct GeneratedCertificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) client: String,
}

/// Creates an authority, a certificate for `localhost` and one for a sender.
pub(crate) fn generate() -> Result<GeneratedCertificates, rcgen::Error> {
    let mut params = named("stand-in authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut server = named("localhost");
    server.subject_alt_names = vec![SanType::DnsName("localhost".try_into()?), SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

    let mut client = named("stand-in sender");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

    let signed = |params: CertificateParams| {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok::<_, rcgen::Error>(certificate.pem() + &key.serialize_pem())
    };
    Ok(GeneratedCertificates { server: signed(server)?, client: signed(client)?, authority: authority.pem() })
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A TLS acceptor with the server's certificate. A sender's certificate is optional, but the authority must have signed it.
pub(crate) fn acceptor(authority: &str, server: &str) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).allow_unauthenticated();
    let clients = clients.build().map_err(io::Error::other)?;
    let certificate = CertificateDer::from_pem_slice(server.as_bytes()).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(server.as_bytes()).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = config.with_client_cert_verifier(clients).with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
