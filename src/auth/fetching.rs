//! Tests of where keys are fetched from: discovered by an issuer's metadata, over TLS with a root of its own, through a proxy.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::config::{CACHE_LIFETIME_S, RETRY_AFTER_S};
use super::fetcher::Fetchers;
use super::jwks_server::{JwksResponse, JwksServer, document, response};
use super::support::*;
use super::{IssuerConfig, IssuerProblem, OutboundProxy, TokenRefusal, Verifier};

const PATIENT: Duration = Duration::from_secs(60);

fn verifier_with(config: IssuerConfig, proxy: OutboundProxy) -> Verifier {
    Verifier::with_fetchers([(POOL.into(), vec![config])], Fetchers::new(PATIENT, proxy)).unwrap()
}

fn token_from(issuer: &str) -> String {
    token(json!({"alg": "ES256", "kid": "k"}), claims_with(json!({"iss": issuer, "exp": NOW_S + 10 * CACHE_LIFETIME_S})), &P256)
}

/// The responses of an issuer whose metadata name `issuer`, and keys at `jwks_uri`.
fn metadata(issuer: &str, jwks_uri: &str) -> JwksResponse {
    let metadata = json!({"issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["code"]}).to_string();
    JwksResponse::Paths(vec![
        ("/.well-known/openid-configuration".to_owned(), response("200 OK", &format!("\u{feff}{metadata}"))),
        ("/keys".to_owned(), document(&[P256.jwk("k")])),
    ])
}

#[tokio::test]
async fn the_issuer_alone_is_enough() {
    let issuer = JwksServer::start().await;
    let name = issuer.origin();
    issuer.respond_with(metadata(&name, &format!("{name}/keys")));
    let verifier = verifier_with(IssuerConfig { issuer: name.clone(), secret: None, ..shared_config() }, OutboundProxy::default());
    accepted(&verifier, &token_from(&name)).await;
    assert_eq!(issuer.fetches(), 2, "the metadata and the keys");
    // A provider may move its keys: the metadata are read again with them.
    assert!(verifier.verify(&token_from(&name), NOW_S + CACHE_LIFETIME_S).await.is_ok());
    assert_eq!(issuer.fetches(), 4);
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_keys_elsewhere_give_no_keys() {
    let issuer = JwksServer::start().await;
    let name = issuer.origin();
    for (named, jwks_uri) in [
        (format!("{name}/"), format!("{name}/keys")),
        ("https://other.example".to_owned(), format!("{name}/keys")),
        (name.clone(), "http://192.0.2.1/keys".to_owned()),
        (name.clone(), "/keys".to_owned()),
    ] {
        issuer.respond_with(metadata(&named, &jwks_uri));
        let verifier = verifier_with(IssuerConfig { issuer: name.clone(), secret: None, ..shared_config() }, OutboundProxy::default());
        assert_eq!(refused(&verifier, &token_from(&name)).await, TokenRefusal::KeysUnavailable, "{named} {jwks_uri}");
        let [without] = &verifier.issuers_without_keys()[..] else { panic!("one issuer") };
        assert!(without.reason.contains("the metadata name"), "{}", without.reason);
    }
}

#[tokio::test]
async fn first_keys_are_fetched_in_the_background_until_each_issuer_has_some() {
    let issuer = JwksServer::start().await;
    let config = IssuerConfig { jwks_url: Some(issuer.url()), secret: None, ..shared_config() };
    let verifier = verifier_with(config, OutboundProxy::default());
    let attempts = Arc::new(AtomicU64::new(0));
    let fetching = tokio::spawn({
        let verifier = verifier.clone();
        let clock = move || NOW_S + attempts.fetch_add(RETRY_AFTER_S, Ordering::SeqCst);
        async move { verifier.fetch_first_keys_every(Duration::from_millis(1), clock).await }
    });
    issuer.requested().await;
    issuer.requested().await;
    let [without] = &verifier.issuers_without_keys()[..] else { panic!("one issuer") };
    assert!(&*without.pool == POOL && &*without.issuer == ISSUER && without.reason.contains("unexpected status 404"), "{without:?}");
    issuer.publish(&[P256.jwk("k")]);
    fetching.await.unwrap();
    assert_eq!(verifier.issuers_without_keys(), []);
    let fetches = issuer.fetches();
    accepted(&verifier, &token_of(&P256, "k")).await;
    assert_eq!(issuer.fetches(), fetches, "no login waits for the first keys");
}

/// An issuer over TLS, with a certificate of its own root.
struct TlsIssuer {
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl TlsIssuer {
    async fn start() -> Self {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    read_head(&mut stream).await;
                    let _ = stream.write_all(document(&[P256.jwk("k")]).as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, folder }
    }

    fn config(&self) -> IssuerConfig {
        let url = Some(format!("https://localhost:{}/keys", self.address.port()));
        IssuerConfig { jwks_url: url, authority_file: Some(self.folder.path().join("authority.pem")), secret: None, ..shared_config() }
    }
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn an_issuer_with_a_root_of_its_own_is_trusted_by_its_authority_file_only() {
    let issuer = TlsIssuer::start().await;
    accepted(&verifier_with(issuer.config(), OutboundProxy::default()), &token_of(&P256, "k")).await;
    let without = IssuerConfig { authority_file: None, ..issuer.config() };
    match Verifier::with_fetchers([(POOL.into(), vec![without])], Fetchers::new(PATIENT, OutboundProxy::default())) {
        Ok(verifier) => assert_eq!(refused(&verifier, &token_of(&P256, "k")).await, TokenRefusal::KeysUnavailable),
        Err(error) => assert!(matches!(error.problem, IssuerProblem::NoRootCertificates(_)), "{error}"),
    }
}

/// A proxy that opens tunnels, and counts those that carry its password.
async fn start_proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = tunnels.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let head = read_head(&mut client).await;
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
                if head.to_lowercase().contains("proxy-authorization: basic ") {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                let mut server = TcpStream::connect(target.replace("localhost", "127.0.0.1")).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tunnels)
}

#[tokio::test]
async fn keys_are_fetched_through_the_proxy_unless_their_host_is_excepted() {
    let issuer = TlsIssuer::start().await;
    let (address, tunnels) = start_proxy().await;
    let url = format!("http://user:word@{address}");
    accepted(&verifier_with(issuer.config(), OutboundProxy::new(&url, "")), &token_of(&P256, "k")).await;
    assert_eq!(tunnels.load(Ordering::SeqCst), 1);
    accepted(&verifier_with(issuer.config(), OutboundProxy::new(&url, "other.example,localhost")), &token_of(&P256, "k")).await;
    assert_eq!(tunnels.load(Ordering::SeqCst), 1, "excepted by NO_PROXY");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let verifier = verifier_with(issuer.config(), OutboundProxy::new(&format!("http://{nobody}"), ""));
    assert_eq!(refused(&verifier, &token_of(&P256, "k")).await, TokenRefusal::KeysUnavailable);
    let reason = verifier.issuers_without_keys()[0].reason.to_string();
    assert!(reason.contains("proxy") && !reason.contains("word"), "{reason}");
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_private() {
    let issuer = JwksServer::start().await;
    issuer.publish(&[P256.jwk("k")]);
    let url = issuer.url().replace("127.0.0.1", "localhost");
    for allow_private_http in [false, true] {
        let config = IssuerConfig { jwks_url: Some(url.clone()), allow_private_http, secret: None, ..shared_config() };
        accepted(&verifier_with(config, OutboundProxy::default()), &token_of(&P256, "k")).await;
    }
}

#[tokio::test]
async fn a_proxy_of_a_kind_that_is_not_supported_is_an_error_only_of_an_issuer_that_needs_it() {
    let socks = |no_proxy: &str| OutboundProxy::new("socks5://127.0.0.1:1080", no_proxy);
    let verifier = |config: IssuerConfig, no_proxy: &str| {
        Verifier::with_fetchers([(POOL.into(), vec![config])], Fetchers::new(PATIENT, socks(no_proxy))).map(drop)
    };
    assert_eq!(verifier(shared_config(), ""), Ok(()), "a secret needs no proxy");
    let issuer = TlsIssuer::start().await;
    let error = verifier(issuer.config(), "").unwrap_err();
    assert!(matches!(error.problem, IssuerProblem::BadProxy(_)) && error.to_string().contains("HTTPS_PROXY"), "{error}");
    assert_eq!(verifier(issuer.config(), "localhost"), Ok(()));
    accepted(&verifier_with(issuer.config(), socks("localhost")), &token_of(&P256, "k")).await;
    // Metadata may name keys on a host that only the proxy reaches: that is found when they are fetched.
    let plain = JwksServer::start().await;
    assert_eq!(verifier(IssuerConfig { jwks_url: Some(plain.url()), secret: None, ..shared_config() }, ""), Ok(()));
}
