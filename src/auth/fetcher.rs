//! Fetches a JWKS document: one GET, bounded in time and size, without following redirects.

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
use super::config_error::IssuerProblem;
use super::jwks_url::Scheme;

/// An HTTP client for JWKS documents. Cheap to clone.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

/// Creates at most one fetcher per scheme, so that the system's root certificates are read at most once.
pub(super) struct Fetchers {
    timeout: Duration,
    https: Option<Fetcher>,
    loopback: Option<Fetcher>,
}

impl Fetchers {
    /// Creates fetchers that abort a request after `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, https: None, loopback: None }
    }

    /// The fetcher for a scheme.
    pub(super) fn for_scheme(&mut self, scheme: Scheme) -> Result<Fetcher, IssuerProblem> {
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

/// Why a document could not be fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The response was not complete within the timeout.
    TooSlow,
    /// No valid response: a failure of DNS, connection, TLS or HTTP.
    NoResponse(String),
    /// A status other than 200, redirects included.
    Status(StatusCode),
    /// Over [`MAX_JWKS_BYTES`].
    TooLarge,
}

impl Fetcher {
    /// A client that aborts a request after `timeout`. For `https` it trusts the system's root certificates.
    fn new(scheme: Scheme, timeout: Duration) -> Result<Self, IssuerProblem> {
        let connector = HttpsConnectorBuilder::new();
        let connector = match scheme {
            Scheme::Https => connector
                .with_provider_and_native_roots(aws_lc_rs::default_provider())
                .map_err(|error| IssuerProblem::NoRootCertificates(error.to_string()))?
                .https_only(),
            Scheme::LoopbackHttp => connector.with_tls_config(tls_without_roots()?).https_or_http(),
        };
        // Fetches are minutes apart, so connections are not pooled.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.enable_http1().build());
        Ok(Self { client, timeout })
    }

    /// Fetches a document, completely, within the timeout and [`MAX_JWKS_BYTES`].
    pub(super) async fn get(&self, url: &Uri) -> Result<Bytes, FetchError> {
        tokio::time::timeout(self.timeout, self.get_without_timeout(url)).await.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn get_without_timeout(&self, url: &Uri) -> Result<Bytes, FetchError> {
        let request = Request::get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::new())
            .map_err(|error| FetchError::NoResponse(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| FetchError::NoResponse(with_causes(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            other => return Err(FetchError::Status(other)),
        }
        match Limited::new(response.into_body(), MAX_JWKS_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => Err(FetchError::NoResponse(with_causes(&*error))),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("no complete response within the timeout"),
            Self::NoResponse(why) => f.write_str(why),
            Self::Status(status) => write!(f, "unexpected status {}", status.as_u16()),
            Self::TooLarge => write!(f, "response is over {MAX_JWKS_BYTES} bytes"),
        }
    }
}

/// The TLS configuration of a client that only uses plain HTTP: it trusts no certificate, so the system's roots need not be read.
fn tls_without_roots() -> Result<ClientConfig, IssuerProblem> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| IssuerProblem::NoRootCertificates(error.to_string()))?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The text of an error and of its causes: the HTTP client's own text names only the step that failed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
