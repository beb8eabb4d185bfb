//! A sender over real TLS. A test sets every header itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{ApnsEnvironment, StandInGateway};

pub(super) const APP: &str = "org.example.app";

/// A request that a test can modify.
#[derive(Clone)]
pub(super) struct TestRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl TestRequest {
    pub(super) fn post(path: &str, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> TestRequest {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        TestRequest { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    /// The same request with this header, or without it if the value is empty.
    pub(super) fn with(&self, name: &'static str, value: &str) -> TestRequest {
        let mut request = self.clone();
        request.headers.retain(|(one, _)| *one != name);
        if !value.is_empty() {
            request.headers.push((name, value.to_owned()));
        }
        request
    }

    pub(super) fn body(&self, body: impl Into<Vec<u8>>) -> TestRequest {
        TestRequest { body: body.into(), ..self.clone() }
    }

    pub(super) fn path(&self, path: &str) -> TestRequest {
        TestRequest { path: path.to_owned(), ..self.clone() }
    }

    pub(super) fn method(&self, method: Method) -> TestRequest {
        TestRequest { method, ..self.clone() }
    }
}

pub(super) struct TestResponse {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl TestResponse {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The reason in Apple's error body.
    pub(super) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap().to_owned()
    }
}

/// A client over HTTP/2.
pub(super) struct TestClient {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) connection: JoinHandle<Result<(), h2::Error>>,
    origin: String,
}

impl TestClient {
    pub(super) async fn connect(gateway: &StandInGateway, origin: &str) -> TestClient {
        TestClient::over(tls(gateway, origin, b"h2", false).await, origin).await
    }

    pub(super) async fn with_certificate(gateway: &StandInGateway, origin: &str) -> TestClient {
        TestClient::over(tls(gateway, origin, b"h2", true).await, origin).await
    }

    async fn over(stream: TlsStream<TcpStream>, origin: &str) -> TestClient {
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        TestClient { requests, connection: tokio::spawn(connection), origin: origin.to_owned() }
    }

    /// Sends a request as soon as the server allows another stream.
    pub(super) async fn send(&mut self, request: &TestRequest) -> Result<ResponseFuture, h2::Error> {
        let mut builder = Request::builder().method(request.method.clone()).uri(format!("{}{}", self.origin, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        self.wait_for_stream().await?;
        let (response, mut body) = self.requests.send_request(builder.body(()).unwrap(), request.body.is_empty())?;
        if !request.body.is_empty() {
            body.send_data(request.body.clone().into(), true)?;
        }
        Ok(response)
    }

    /// Waits until the server allows another stream.
    pub(super) async fn wait_for_stream(&mut self) -> Result<(), h2::Error> {
        std::future::poll_fn(|cx| self.requests.poll_ready(cx)).await
    }

    pub(super) async fn exchange(&mut self, request: &TestRequest) -> TestResponse {
        let response = self.send(request).await.unwrap();
        read_response(response).await.unwrap()
    }
}

pub(super) async fn read_response(response: ResponseFuture) -> Result<TestResponse, h2::Error> {
    let (parts, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(TestResponse { status: parts.status.as_u16(), headers: parts.headers, body: body.into() })
}

/// One request over HTTP/1.1, which ends the connection.
pub(super) async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &TestRequest) -> Option<TestResponse> {
    let mut header = format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        header += &format!("{name}: {value}\r\n");
    }
    header += &format!("content-length: {}\r\n\r\n", request.body.len());
    stream.write_all(&[header.as_bytes(), &request.body].concat()).await.unwrap();
    let mut bytes = Vec::new();
    // A server that closes without a TLS close_notify causes an error here; the bytes read before it are complete.
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect();
    Some(TestResponse { status, headers, body: bytes[end + 4..].to_vec().into() })
}

/// Connects with TLS and trusts only the gateway's authority.
pub(super) async fn tls(gateway: &StandInGateway, origin: &str, protocol: &[u8], certificate: bool) -> TlsStream<TcpStream> {
    let credentials = gateway.credentials();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&credentials.authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match certificate {
        true => {
            let chain = vec![CertificateDer::from_pem_file(&credentials.certificate).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&credentials.certificate).unwrap()).unwrap()
        }
        false => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let port = origin.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signs claims with a P-256 key from a file.
pub(super) fn es256(file: &std::path::Path, key_id: Option<&str>, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(&std::fs::read(file).unwrap()).unwrap();
    encode(&Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::ES256) }, claims, &key).unwrap()
}

/// An authorization header with an Apple provider token that was issued at this time.
pub(super) fn provider_token(gateway: &StandInGateway, issued_s: u64) -> String {
    let credentials = gateway.credentials();
    let claims = json!({ "iss": credentials.apns_team_id, "iat": issued_s });
    format!("bearer {}", es256(&credentials.apns_key, Some(credentials.apns_key_id), &claims))
}

/// A valid background push to an Apple token.
pub(super) fn background_push(gateway: &StandInGateway, token: &str) -> TestRequest {
    let headers = [
        ("authorization", provider_token(gateway, now_s())),
        ("apns-topic", APP.to_owned()),
        ("apns-push-type", "background".to_owned()),
        ("apns-priority", "5".to_owned()),
    ];
    TestRequest { headers: headers.into(), ..TestRequest::post(&format!("/3/device/{token}"), &[], r#"{"aps":{"content-available":1}}"#) }
}

/// A gateway, a connection to it, a valid background push, and its token.
pub(super) async fn start() -> (StandInGateway, TestClient, TestRequest, String) {
    let gateway = StandInGateway::start().await.unwrap();
    let client = TestClient::connect(&gateway, &gateway.url()).await;
    let token = gateway.new_apns_token(APP, ApnsEnvironment::Production);
    let push = background_push(&gateway, &token);
    (gateway, client, push, token)
}
