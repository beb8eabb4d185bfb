//! A push service for tests: HTTP/1.1 over TLS, with a certificate of its own authority, answering every request with one text.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A push service.
pub(super) struct PushService {
    /// Where it listens.
    pub(super) port: u16,
    /// PEM: whom to trust.
    pub(super) authority: String,
    /// What it was asked: the head of each request, and its body.
    pub(super) asked: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
}

impl PushService {
    /// On this machine, for `localhost` and 127.0.0.1; answers with this text.
    pub(super) async fn answering(answer: String) -> PushService {
        let (acceptor, authority) = acceptor(&[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (told, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, told, answer) = (acceptor.clone(), told.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(socket).await.ok()?;
                    while let Some(request) = read(&mut stream).await {
                        told.send(request).ok()?;
                        stream.write_all(answer.as_bytes()).await.ok()?;
                        stream.flush().await.ok()?;
                    }
                    Some(())
                });
            }
        });
        PushService { port, authority, asked }
    }
}

/// TLS for `localhost` and 127.0.0.1 that agrees to these protocols, and in PEM whom to trust for it.
pub(super) fn acceptor(protocols: &[&str]) -> (TlsAcceptor, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .expect("a certificate");
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(tls)), certificate.pem())
}

/// Trusts this authority alone.
pub(super) fn trusting(authority: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("a root");
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?.to_ascii_lowercase();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    while bytes.len() < head + length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    Some((text, bytes[head..].to_vec()))
}
