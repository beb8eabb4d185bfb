//! Test only: a push service that speaks HTTP/1.1 over TLS with a self-signed certificate, and answers every request with one text.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

pub(super) struct TlsPushServiceStandIn {
    pub(super) port: u16,
    /// Its root certificate, in PEM.
    pub(super) authority: String,
    /// The head and the body of each request.
    pub(super) requests: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
}

impl TlsPushServiceStandIn {
    /// Listens on this machine; `response` is a whole HTTP response.
    pub(super) async fn answering(response: String) -> TlsPushServiceStandIn {
        TlsPushServiceStandIn::with_tls(tls_acceptor(&[]), response).await
    }

    /// A push service whose certificate has expired.
    pub(super) async fn expired() -> TlsPushServiceStandIn {
        TlsPushServiceStandIn::with_tls(tls_acceptor_until(&[], 2020), String::new()).await
    }

    async fn with_tls((acceptor, authority): (TlsAcceptor, String), response: String) -> TlsPushServiceStandIn {
        // At every address of the loopback network, some of which the certificate does not name.
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (recorder, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, recorder, response) = (acceptor.clone(), recorder.clone(), response.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(socket).await.ok()?;
                    while let Some(request) = read_request(&mut stream).await {
                        recorder.send(request).ok()?;
                        stream.write_all(response.as_bytes()).await.ok()?;
                        stream.flush().await.ok()?;
                    }
                    Some(())
                });
            }
        });
        TlsPushServiceStandIn { port, authority, requests }
    }
}

/// TLS for `localhost` and 127.0.0.1 that negotiates these protocols, and its root certificate in PEM.
pub(super) fn tls_acceptor(protocols: &[&str]) -> (TlsAcceptor, String) {
    tls_acceptor_until(protocols, 4096)
}

/// The same with a certificate that expires at the beginning of this year.
pub(super) fn tls_acceptor_until(protocols: &[&str], year: i32) -> (TlsAcceptor, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(1975, 1, 1), rcgen::date_time_ymd(year, 1, 1));
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

/// TLS that trusts this root certificate alone.
pub(super) fn tls_with_root(authority: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("a root");
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
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
