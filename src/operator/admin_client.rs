//! A client of the server's `/admin/api`, over HTTP or HTTPS, with the operator key.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use driftless_protocol::{Codec, RefusalCode, ServerMessage};
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

use super::error::OperatorError;
use super::output::{ResultFormat, line};
use crate::client::{printable, trust_file};
use crate::secret_file;

/// Where `driftless serve` answers operators by default, and where `driftless dev` does.
const DEFAULT_ADDRESSES: [&str; 2] = ["127.0.0.1:7401", "127.0.0.1:7400"];

/// The path of devices' WebSockets, which an address for `driftless client` may end with.
const SYNC_PATH: &str = "/v1/sync";

/// How long a port of this machine may take to accept a connection.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server may send nothing. Longer than the time after which it answers an erasure or a merge that continues in the background.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest response that is read into memory: several times a dataset of the maximal size in JSON.
const MAX_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

#[derive(clap::Args)]
pub struct ServerArgs {
    /// The server's admin.listen as a URL, http or https [env: DRIFTLESS_ADMIN_URL, DRIFTLESS_URL] [default: http://127.0.0.1:7401, or :7400 for driftless dev]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A PEM file: the certificates to trust instead of this machine's, such as the server's own [env: DRIFTLESS_CA]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The server's admin.key; in the environment other users cannot see it [env: DRIFTLESS_ADMIN_KEY] [default: that of driftless dev]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A file that has the key, such as a mounted secret [env: DRIFTLESS_ADMIN_KEY_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Print the result as one JSON document, as docs/commands.md describes it
    #[arg(long)]
    json: bool,
}

impl ServerArgs {
    pub(super) fn client(self, development_key: &str) -> Result<AdminClient, OperatorError> {
        let url_argument = self.url.as_ref().map_or(String::new(), |url| format!(" --url {url}"));
        let url = self.url.or_else(|| variable("DRIFTLESS_ADMIN_URL")).or_else(|| variable("DRIFTLESS_URL"));
        let url = url.unwrap_or_else(default_url);
        let format = ResultFormat::of(self.json);
        let key = match (self.key, self.key_file) {
            (Some(key), _) => key,
            (None, Some(file)) => key_in(&file)?,
            (None, None) => match (variable("DRIFTLESS_ADMIN_KEY"), variable("DRIFTLESS_ADMIN_KEY_FILE")) {
                (Some(_), Some(_)) => {
                    return Err(OperatorError::Input("set only one of DRIFTLESS_ADMIN_KEY and DRIFTLESS_ADMIN_KEY_FILE".to_owned()));
                }
                (Some(key), None) => key,
                (None, Some(file)) => key_in(Path::new(&file))?,
                (None, None) => development_key.to_owned(),
            },
        };
        // It may have the path that a proxy serves the server under.
        let url = url.trim_end_matches('/').to_owned();
        let url = http_url(&url);
        let trusted = self.ca.or_else(|| variable("DRIFTLESS_CA").map(PathBuf::from));
        // A file that cannot be used is an error over plain HTTP, too.
        let trusted = trusted.map(|file| trust_file(&file).map_err(OperatorError::File)).transpose()?;
        let scheme = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && !url.contains(['@', '?', '#']));
        let tls = match scheme.as_ref().and_then(Uri::scheme_str) {
            Some("https") => trusted.map_or_else(native_roots, Ok)?,
            Some("http") => no_roots()?,
            _ => {
                return Err(OperatorError::Input(format!(
                    "--url {url}: it must be like http://127.0.0.1:7400 or https://www.example.com/sync"
                )));
            }
        };
        Ok(AdminClient { http: http_client(tls), url, url_argument, key, format })
    }
}

/// An address as devices and `driftless client` take it, which may be that of the WebSocket, as that of the same server over HTTP.
fn http_url(url: &str) -> String {
    let url = url.strip_suffix(SYNC_PATH).unwrap_or(url);
    let socket = [("wss", "https"), ("ws", "http")];
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    match socket.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)) {
        Some((_, scheme)) => format!("{scheme}://{rest}"),
        None => url.to_owned(),
    }
}

fn key_in(file: &Path) -> Result<String, OperatorError> {
    secret_file::read(file).map_err(OperatorError::File)
}

/// The default address at which a server listens on this machine.
fn default_url() -> String {
    let listens =
        |address: &&str| address.parse().is_ok_and(|address| std::net::TcpStream::connect_timeout(&address, LOOKUP_TIMEOUT).is_ok());
    format!("http://{}", DEFAULT_ADDRESSES.into_iter().find(listens).unwrap_or(DEFAULT_ADDRESSES[0]))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

pub(super) struct AdminClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    /// What a further command for the same server needs in its line.
    url_argument: String,
    key: String,
    pub(super) format: ResultFormat,
}

/// The body of a response that may be larger than memory.
pub(super) struct BodyStream {
    body: Incoming,
    /// A part that was read already.
    first: Option<Bytes>,
}

/// A segment of a path, or a value of a query.
pub(super) fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl AdminClient {
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, OperatorError> {
        self.read(self.send(Method::GET, path, None).await?).await
    }

    /// Gets a result and prints it: in JSON as the server sends it, to the last bit of each number, or as `print` does.
    pub(super) async fn show<T: DeserializeOwned>(
        &self,
        path: &str,
        print: impl FnOnce(T) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        self.print(self.send(Method::GET, path, None).await?, print).await
    }

    /// The same for a request that changes something.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        print: impl FnOnce(T) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        self.print(self.send(method, path, Some(body)).await?, print).await
    }

    async fn print<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        print: impl FnOnce(T) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        let body = self.read_body(response).await?;
        // Decoded in either case: what another server answers is no result.
        let result = self.decode(&body)?;
        match self.format {
            ResultFormat::Json => line(String::from_utf8_lossy(&body).trim_end()),
            ResultFormat::Text => print(result),
        }
    }

    /// The answer to a request that changes something.
    pub(super) async fn answer(&self, method: Method, path: &str, body: &Value) -> Result<Value, OperatorError> {
        self.read(self.send(method, path, Some(body)).await?).await
    }

    /// An answer as a type.
    pub(super) fn typed<T: DeserializeOwned>(&self, answer: &Value) -> Result<T, OperatorError> {
        self.decode(answer.to_string().as_bytes())
    }

    /// Gets a response that may be larger than memory. `begins` is what it begins with.
    pub(super) async fn stream(&self, path: &str, begins: &'static [u8]) -> Result<BodyStream, OperatorError> {
        let response = self.send(Method::GET, path, None).await?;
        let mut stream = BodyStream { body: response.into_body(), first: None };
        let mut first = Vec::new();
        while first.len() < begins.len() {
            let Some(part) = stream.next().await.map_err(|why| self.no_server(&why))? else { break };
            first.extend_from_slice(&part);
        }
        match first.starts_with(begins) {
            true => Ok(BodyStream { first: Some(first.into()), ..stream }),
            false => Err(self.not_driftless("its answer is none of the admin API")),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, OperatorError> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/admin/api/{path}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Full::new(body))
            .map_err(|_| OperatorError::Input("the key must be printable ASCII without spaces: give the server's admin.key".to_owned()))?;
        let response = tokio::time::timeout(RESPONSE_TIMEOUT, self.http.request(request)).await;
        let response =
            response.map_err(|_| self.no_server("no answer within a minute"))?.map_err(|error| self.no_server(&with_causes(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.read_body(response).await?;
        Err(match Codec::Json.decode_server(&body) {
            Ok(ServerMessage::Refused { code: RefusalCode::DoesNotExist, message, .. }) => OperatorError::Failed(message),
            Ok(ServerMessage::Refused { code: RefusalCode::BadRequest | RefusalCode::BadName, message, .. }) => {
                OperatorError::Input(printable(&message))
            }
            Ok(ServerMessage::Refused { message, .. }) => OperatorError::Refused { status: status.as_u16(), why: message },
            // Every refusal of a server is such a message, so this comes from elsewhere: from a proxy that does not reach the server, or
            // from another server.
            Ok(_) | Err(_) if matches!(status.as_u16(), 502..=504) => {
                self.no_server(&format!("a proxy answered with the HTTP status {status}"))
            }
            Ok(_) | Err(_) if matches!(status.as_u16(), 401 | 403 | 407 | 413 | 429) => {
                OperatorError::RefusedByProxy { url: self.url.clone(), status: status.to_string() }
            }
            Ok(_) | Err(_) => self.not_driftless(&format!("it answered with the HTTP status {status}")),
        })
    }

    /// The argument, with a space before it, that leads another command to this server; empty if this one was given none.
    pub(super) fn url_argument(&self) -> &str {
        &self.url_argument
    }

    async fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, OperatorError> {
        let body = self.read_body(response).await?;
        self.decode(&body)
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, OperatorError> {
        serde_json::from_slice(body)
            .map_err(|error| self.not_driftless(&format!("its answer is none of the admin API, or one of another version ({error})")))
    }

    async fn read_body(&self, response: Response<Incoming>) -> Result<Bytes, OperatorError> {
        let whole = tokio::time::timeout(RESPONSE_TIMEOUT, Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect()).await;
        let whole = whole.map_err(|_| self.no_server("the answer was not complete within a minute"))?;
        Ok(whole.map_err(|error| self.no_server(&with_causes(&*error)))?.to_bytes())
    }

    fn not_driftless(&self, what: &str) -> OperatorError {
        OperatorError::NotDriftless { url: self.url.clone(), what: what.to_owned() }
    }

    fn no_server(&self, why: &str) -> OperatorError {
        OperatorError::NoServer { url: self.url.clone(), why: why.to_owned() }
    }
}

impl BodyStream {
    /// The next part; `None` at the end; an error as text for people if the connection fails.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            let frame = tokio::time::timeout(RESPONSE_TIMEOUT, self.body.frame()).await.map_err(|_| "no data for a minute".to_owned())?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(with_causes(&error)),
                // Trailers are ignored.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn http_client(tls: ClientConfig) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// TLS that trusts this machine's root certificates, or those of the file in `SSL_CERT_FILE`.
fn native_roots() -> Result<ClientConfig, OperatorError> {
    use hyper_rustls::ConfigBuilderExt;
    let unusable = |why: String| OperatorError::File(format!("cannot use this machine's root certificates: {why}"));
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_native_roots().map_err(|error| unusable(error.to_string()))?.with_no_client_auth())
}

/// TLS without root certificates, for plain HTTP: the machine's are not read.
fn no_roots() -> Result<ClientConfig, OperatorError> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| OperatorError::File(error.to_string()))?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// An error with its causes: the HTTP client's own text names only the step that failed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::http_url;

    #[test]
    fn the_address_of_a_socket_is_that_of_its_server() {
        for (url, of_http) in [
            ("wss://www.example.com/sync/v1/sync", "https://www.example.com/sync"),
            ("WS://127.0.0.1:7400", "http://127.0.0.1:7400"),
            ("https://www.example.com/sync", "https://www.example.com/sync"),
            ("https://www.example.com/v1/sync", "https://www.example.com"),
            ("ftp://x", "ftp://x"),
            ("wss", "wss"),
        ] {
            assert_eq!(http_url(url), of_http);
        }
    }
}
