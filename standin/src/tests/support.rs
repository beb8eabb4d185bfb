//! A sender over real TLS, whose every header is the test's own.

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

use crate::{Environment, Gateway};

pub(super) const APP: &str = "org.example.app";

/// A request that a test may spoil: method, path, headers and body.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Sent {
    pub(super) fn post(path: &str, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Sent {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Sent { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    /// The same with this header; an empty one is left out.
    pub(super) fn with(&self, name: &'static str, value: &str) -> Sent {
        let mut sent = self.clone();
        sent.headers.retain(|(one, _)| *one != name);
        if !value.is_empty() {
            sent.headers.push((name, value.to_owned()));
        }
        sent
    }

    pub(super) fn body(&self, body: impl Into<Vec<u8>>) -> Sent {
        Sent { body: body.into(), ..self.clone() }
    }

    pub(super) fn path(&self, path: &str) -> Sent {
        Sent { path: path.to_owned(), ..self.clone() }
    }

    pub(super) fn method(&self, method: Method) -> Sent {
        Sent { method, ..self.clone() }
    }
}

pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Apple's reason.
    pub(super) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap().to_owned()
    }
}

/// A client over HTTP/2.
pub(super) struct Client {
    pub(super) requests: SendRequest<Bytes>,
    pub(super) connection: JoinHandle<Result<(), h2::Error>>,
    origin: String,
}

impl Client {
    pub(super) async fn connect(gateway: &Gateway, origin: &str) -> Client {
        Client::over(tls(gateway, origin, b"h2", false).await, origin).await
    }

    pub(super) async fn with_certificate(gateway: &Gateway, origin: &str) -> Client {
        Client::over(tls(gateway, origin, b"h2", true).await, origin).await
    }

    async fn over(stream: TlsStream<TcpStream>, origin: &str) -> Client {
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Client { requests, connection: tokio::spawn(connection), origin: origin.to_owned() }
    }

    /// Sends, as soon as the server allows another stream.
    pub(super) async fn send(&mut self, sent: &Sent) -> Result<ResponseFuture, h2::Error> {
        let mut request = Request::builder().method(sent.method.clone()).uri(format!("{}{}", self.origin, sent.path));
        for (name, value) in &sent.headers {
            request = request.header(*name, value);
        }
        self.ready().await?;
        let (answer, mut body) = self.requests.send_request(request.body(()).unwrap(), sent.body.is_empty())?;
        if !sent.body.is_empty() {
            body.send_data(sent.body.clone().into(), true)?;
        }
        Ok(answer)
    }

    /// Waits until the stream before is one that the server allows.
    pub(super) async fn ready(&mut self) -> Result<(), h2::Error> {
        std::future::poll_fn(|cx| self.requests.poll_ready(cx)).await
    }

    pub(super) async fn ask(&mut self, sent: &Sent) -> Answered {
        let answer = self.send(sent).await.unwrap();
        answered(answer).await.unwrap()
    }
}

pub(super) async fn answered(answer: ResponseFuture) -> Result<Answered, h2::Error> {
    let (parts, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(Answered { status: parts.status.as_u16(), headers: parts.headers, body: body.into() })
}

/// One request over HTTP/1.1, which ends the connection.
pub(super) async fn http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, sent: &Sent) -> Option<Answered> {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", sent.method, sent.path);
    for (name, value) in &sent.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", sent.body.len());
    stream.write_all(&[head.as_bytes(), &sent.body].concat()).await.unwrap();
    let mut bytes = Vec::new();
    // A server that ends without a word of TLS is an error to the reader, and said all that it had to say.
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect();
    Some(Answered { status, headers, body: bytes[end + 4..].to_vec().into() })
}

/// A connection whose server is believed because its authority is.
pub(super) async fn tls(gateway: &Gateway, origin: &str, protocol: &[u8], certificate: bool) -> TlsStream<TcpStream> {
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

/// Signs on P-256 with a key from a file.
pub(super) fn es256(file: &std::path::Path, key_id: Option<&str>, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(&std::fs::read(file).unwrap()).unwrap();
    encode(&Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::ES256) }, claims, &key).unwrap()
}

/// A provider token of Apple's, issued then.
pub(super) fn provider_token(gateway: &Gateway, issued_s: u64) -> String {
    let credentials = gateway.credentials();
    let claims = json!({ "iss": credentials.apns_team_id, "iat": issued_s });
    format!("bearer {}", es256(&credentials.apns_key, Some(credentials.apns_key_id), &claims))
}

/// A silent push to a token of Apple's, in order.
pub(super) fn silent(gateway: &Gateway, token: &str) -> Sent {
    let headers = [
        ("authorization", provider_token(gateway, now_s())),
        ("apns-topic", APP.to_owned()),
        ("apns-push-type", "background".to_owned()),
        ("apns-priority", "5".to_owned()),
    ];
    Sent { headers: headers.into(), ..Sent::post(&format!("/3/device/{token}"), &[], r#"{"aps":{"content-available":1}}"#) }
}

/// A gateway, a connection to it, and a silent push to a token that it knows.
pub(super) async fn start() -> (Gateway, Client, Sent, String) {
    let gateway = Gateway::start().await.unwrap();
    let client = Client::connect(&gateway, &gateway.url()).await;
    let token = gateway.apns_token(APP, Environment::Production);
    let push = silent(&gateway, &token);
    (gateway, client, push, token)
}
