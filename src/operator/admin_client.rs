//! The running server, as the commands speak to it: HTTP or HTTPS, with the operator key.

use std::env;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Failure;

/// Where `driftless dev` listens.
const URL: &str = "http://127.0.0.1:7400";

/// How long the server may say nothing. Longer than it takes for an erasure or a merge before it answers that the rest goes on by itself.
const SILENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read as a whole: a dataset at its bounds in JSON, several times over.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Which server, and with which key.
#[derive(clap::Args)]
pub struct Target {
    /// Where the server is, http or https [env: DRIFTLESS_URL] [default: http://127.0.0.1:7400]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The server's admin.key; better kept in the environment, where other users cannot see it [env: DRIFTLESS_ADMIN_KEY] [default: that of driftless dev]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Target {
    /// The server that is meant.
    pub(super) fn server(self, development_key: &str) -> Result<Server, Failure> {
        let url = self.url.or_else(|| variable("DRIFTLESS_URL")).unwrap_or_else(|| URL.to_owned());
        let key = self.key.or_else(|| variable("DRIFTLESS_ADMIN_KEY")).unwrap_or_else(|| development_key.to_owned());
        let url = url.trim_end_matches('/').to_owned();
        let scheme = url.parse::<Uri>().ok().filter(|uri| uri.path() == "/" && uri.query().is_none());
        match scheme.as_ref().and_then(Uri::scheme_str) {
            Some("https") => Ok(Server { client: client(roots()?), url, key }),
            Some("http") => Ok(Server { client: client(trusting_nobody()?), url, key }),
            _ => Err(Failure::Input(format!("--url {url}: it must be like http://127.0.0.1:7400 or https://sync.example.com"))),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server.
pub(super) struct Server {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    key: String,
}

/// An answer that is read as it comes.
pub(super) struct Stream(Incoming);

/// Part of a path or a query, as it travels.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Server {
    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.send(Method::GET, path, None).await?).await
    }

    /// Asks for something to be done.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.read(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Asks for something to go.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.send(Method::DELETE, path, None).await?).await
    }

    /// Asks for something that may be larger than memory.
    pub(super) async fn stream(&self, path: &str) -> Result<Stream, Failure> {
        Ok(Stream(self.send(Method::GET, path, None).await?.into_body()))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, Failure> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/admin/api/{path}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Full::new(body))
            .map_err(|_| Failure::Input("the key must be printable ASCII without spaces: give the server's admin.key".to_owned()))?;
        let response = tokio::time::timeout(SILENCE, self.client.request(request)).await;
        let response = response.map_err(|_| self.gone("no answer within a minute"))?.map_err(|error| self.gone(&with_causes(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let why = self.whole(response).await?;
        Err(Failure::Refused { status: status.as_u16(), why: said(&why) })
    }

    async fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Failure> {
        let body = self.whole(response).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.gone(&format!("its answer is not understood, is it of another version? ({error})")))
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let whole = tokio::time::timeout(SILENCE, Limited::new(response.into_body(), ANSWER_BYTES).collect()).await;
        let whole = whole.map_err(|_| self.gone("its answer did not come within a minute"))?;
        Ok(whole.map_err(|error| self.gone(&with_causes(&*error)))?.to_bytes())
    }

    fn gone(&self, why: &str) -> Failure {
        Failure::NoServer { url: self.url.clone(), why: why.to_owned() }
    }
}

impl Stream {
    /// The next part; `None` at the end; an error, in words, if it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = tokio::time::timeout(SILENCE, self.0.frame()).await.map_err(|_| "nothing more came for a minute".to_owned())?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(with_causes(&error)),
                // Trailers say nothing here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// A refusal in words: plain text, or a message of the protocol.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<Value>(body).ok().and_then(|refused| Some(refused.get("message")?.as_str()?.to_owned()));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

fn client(tls: ClientConfig) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// TLS that trusts the roots of this machine, or those of the file in `SSL_CERT_FILE`.
fn roots() -> Result<ClientConfig, Failure> {
    use hyper_rustls::ConfigBuilderExt;
    let unusable = |why: String| Failure::File(format!("this machine's root certificates cannot be used: {why}"));
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_native_roots().map_err(|error| unusable(error.to_string()))?.with_no_client_auth())
}

/// For plain HTTP: the machine's roots are not read.
fn trusting_nobody() -> Result<ClientConfig, Failure> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::File(error.to_string()))?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// An error with what caused it: the client's own text says only in which step it failed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
