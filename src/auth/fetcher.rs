//! Fetches a document of an issuer: one GET, bounded in size, without following redirects. The caller bounds the time.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::config::MAX_JWKS_BYTES;
use super::config_error::IssuerProblem;
use super::key_url::UrlScheme;
use super::outbound::{OutboundConnector, with_causes};
use super::proxy::OutboundProxy;

/// An HTTP client for documents of issuers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<OutboundConnector>, Empty<Bytes>>,
    timeout: Duration,
}

/// Creates at most one fetcher for each scheme and root certificate, and reads the system's root certificates at most once.
pub(super) struct Fetchers {
    timeout: Duration,
    proxy: OutboundProxy,
    roots: Option<(RootCertStore, String)>,
    made: HashMap<(UrlScheme, Option<PathBuf>), Fetcher>,
}

impl Fetchers {
    /// Creates fetchers for callers that wait for `timeout`.
    pub(super) fn new(timeout: Duration, proxy: OutboundProxy) -> Self {
        Self { timeout, proxy, roots: None, made: HashMap::new() }
    }

    /// The fetcher for a URL of this scheme. For `https` it trusts the system's root certificates, and those in the file.
    pub(super) fn for_url(&mut self, url: &Uri, scheme: UrlScheme, authority: Option<&Path>) -> Result<Fetcher, IssuerProblem> {
        self.proxy.routes().check(url).map_err(IssuerProblem::BadProxy)?;
        let key = (scheme, authority.map(Path::to_owned));
        if let Some(fetcher) = self.made.get(&key) {
            return Ok(fetcher.clone());
        }
        let roots = match scheme {
            UrlScheme::Https => self.roots_with(authority)?,
            // A client that only uses plain HTTP trusts no certificate.
            UrlScheme::LoopbackHttp | UrlScheme::PrivateHttp => RootCertStore::empty(),
        };
        let fetcher = Fetcher::new(scheme, roots, &self.proxy, self.timeout)?;
        self.made.insert(key, fetcher.clone());
        Ok(fetcher)
    }

    fn roots_with(&mut self, authority: Option<&Path>) -> Result<RootCertStore, IssuerProblem> {
        let (native, why) = self.roots.get_or_insert_with(native_roots);
        let mut roots = native.clone();
        if let Some(path) = authority {
            let problem = |why: String| IssuerProblem::BadAuthority(format!("{}: {why}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| problem(error.to_string()))?;
            let before = roots.len();
            for certificate in certificates {
                let certificate = certificate.map_err(|error| problem(error.to_string()))?;
                roots.add(certificate).map_err(|error| problem(error.to_string()))?;
            }
            if roots.len() == before {
                return Err(problem("contains no certificate in PEM form".to_owned()));
            }
        }
        if roots.is_empty() { Err(IssuerProblem::NoRootCertificates(why.clone())) } else { Ok(roots) }
    }
}

/// The system's root certificates, and why there are none.
fn native_roots() -> (RootCertStore, String) {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
    (roots, why)
}

/// Why a document could not be fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// No valid response: a failure of DNS, connection, TLS or HTTP.
    NoResponse(String),
    /// A status other than 200, redirects included.
    Status(StatusCode),
    /// Over [`MAX_JWKS_BYTES`].
    TooLarge,
}

impl Fetcher {
    fn new(scheme: UrlScheme, roots: RootCertStore, proxy: &OutboundProxy, timeout: Duration) -> Result<Self, IssuerProblem> {
        let tls = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| IssuerProblem::NoRootCertificates(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let outbound = OutboundConnector::new(scheme, tls.clone(), proxy.routes());
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = match scheme {
            UrlScheme::Https => connector.https_only(),
            UrlScheme::LoopbackHttp | UrlScheme::PrivateHttp => connector.https_or_http(),
        };
        // Fetches are minutes apart, so connections are not pooled.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.enable_http1().wrap_connector(outbound));
        Ok(Self { client, timeout })
    }

    /// How long logins wait for documents.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Fetches a document, completely, within [`MAX_JWKS_BYTES`].
    pub(super) async fn get(&self, url: &Uri) -> Result<Bytes, FetchError> {
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
            Self::NoResponse(why) => f.write_str(why),
            Self::Status(status) => write!(f, "unexpected status {}", status.as_u16()),
            Self::TooLarge => write!(f, "response is over {MAX_JWKS_BYTES} bytes"),
        }
    }
}
