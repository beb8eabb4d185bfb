//! Test only: wakes, responses and TLS settings that several tests use.

use std::sync::Arc;

use bytes::Bytes;
use driftless_protocol::DatasetName;
use http::HeaderMap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;

use super::payload::{AlertText, Wake};
use super::response::GatewayResponse;

/// When the tests' wakes are sent, in Unix milliseconds.
pub(super) const NOW_MS: u64 = 1_790_000_000_000;

/// A silent wake that expires an hour later.
pub(super) fn wake() -> Wake {
    Wake {
        pool: "main".to_owned(),
        identity: "local:1".to_owned(),
        dataset: DatasetName::new("settings").expect("a name"),
        cognito_pool: None,
        version: 7,
        alert: None,
        expires_unix_s: NOW_MS / 1000 + 3600,
    }
}

/// The same wake with an alert.
pub(super) fn alert_wake() -> Wake {
    Wake { alert: Some(AlertText { title: "Notes".to_owned(), text: "Something is new".to_owned() }), ..wake() }
}

/// A response without headers.
pub(super) fn response(status: u16, body: &str) -> GatewayResponse {
    GatewayResponse { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// A response with one header.
pub(super) fn response_with(status: u16, header: (&'static str, &str), body: &str) -> GatewayResponse {
    let mut response = response(status, body);
    response.headers.insert(header.0, header.1.parse().expect("a header"));
    response
}

/// A port of this machine at which nothing listens.
pub(super) fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A port of this machine where a server answers in plain text whatever it is sent.
pub(super) async fn plain_text_server() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    port
}

/// TLS that trusts no certificate: for requests in plain text only.
pub(super) fn tls_without_roots() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
