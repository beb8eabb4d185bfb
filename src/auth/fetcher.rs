//! Fetches a JWKS document over HTTP: one GET, bounded in time and size, no redirect followed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::config::MAX_JWKS_BYTES;
use super::config_error::Problem;
use super::jwks_url::Scheme;

/// A client for fetching keys; cheap to clone.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

/// Makes fetchers, one for each scheme that is used, so that the machine's root certificates are read at most once.
pub(super) struct Fetchers {
    timeout: Duration,
    https: Option<Fetcher>,
    loopback: Option<Fetcher>,
}

impl Fetchers {
    /// None made yet; each will give up after `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, https: None, loopback: None }
    }

    /// The fetcher for a scheme.
    pub(super) fn of(&mut self, scheme: Scheme) -> Result<Fetcher, Problem> {
        let slot = match scheme {
            Scheme::Https => &mut self.https,
            Scheme::LoopbackHttp => &mut self.loopback,
        };
        match slot {
            Some(fetcher) => Ok(fetcher.clone()),
            None => Ok(slot.insert(Fetcher::new(scheme, self.timeout)?).clone()),
        }
    }
}

/// Why a document was not fetched.
#[derive(Debug)]
pub(super) enum NotFetched {
    /// The whole was not there in time.
    TooSlow,
    /// No answer: name, connection, certificate or protocol.
    NoAnswer(String),
    /// Another status than 200; redirects too.
    Status(StatusCode),
    /// Over [`MAX_JWKS_BYTES`].
    TooLarge,
}

impl Fetcher {
    /// A client that gives up after `timeout`. For `https` it trusts the roots of this machine.
    fn new(scheme: Scheme, timeout: Duration) -> Result<Self, Problem> {
        let connector = HttpsConnectorBuilder::new();
        let connector = match scheme {
            Scheme::Https => connector
                .with_provider_and_native_roots(aws_lc_rs::default_provider())
                .map_err(|error| Problem::NoRootCertificates(error.to_string()))?
                .https_only(),
            Scheme::LoopbackHttp => connector.with_tls_config(trusting_nobody()?).https_or_http(),
        };
        // Fetches are minutes apart: a connection is not kept for the next.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.enable_http1().build());
        Ok(Self { client, timeout })
    }

    /// Gets a document: all of it within the timeout and [`MAX_JWKS_BYTES`].
    pub(super) async fn get(&self, url: &Uri) -> Result<Bytes, NotFetched> {
        tokio::time::timeout(self.timeout, self.get_without_timeout(url)).await.unwrap_or(Err(NotFetched::TooSlow))
    }

    async fn get_without_timeout(&self, url: &Uri) -> Result<Bytes, NotFetched> {
        let request = Request::get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::new())
            .map_err(|error| NotFetched::NoAnswer(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| NotFetched::NoAnswer(with_causes(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            other => return Err(NotFetched::Status(other)),
        }
        match Limited::new(response.into_body(), MAX_JWKS_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(NotFetched::TooLarge),
            Err(error) => Err(NotFetched::NoAnswer(with_causes(&*error))),
        }
    }
}

impl fmt::Display for NotFetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("no whole answer in time"),
            Self::NoAnswer(why) => f.write_str(why),
            Self::Status(status) => write!(f, "answered with status {}", status.as_u16()),
            Self::TooLarge => write!(f, "answered with more than {MAX_JWKS_BYTES} bytes"),
        }
    }
}

/// TLS for a client that only speaks plain HTTP: no certificate is trusted, and the machine's roots are not read.
fn trusting_nobody() -> Result<ClientConfig, Problem> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::NoRootCertificates(error.to_string()))?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// An error with what caused it: the client's own text says only in which step it failed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
