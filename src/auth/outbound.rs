//! Opens connections to issuers: directly, to addresses that the scheme allows, or through a proxy.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::key_url::UrlScheme;
use super::proxy::ProxyRoutes;

type ConnectError = Box<dyn Error + Send + Sync>;

/// Opens the connection over which the caller then speaks TLS, or plain HTTP.
#[derive(Clone)]
pub(super) struct OutboundConnector {
    direct: HttpConnector<SchemeResolver>,
    to_proxy: HttpsConnector<HttpConnector>,
    routes: ProxyRoutes,
}

impl OutboundConnector {
    /// `tls` is for a proxy that is itself reached over TLS.
    pub(super) fn new(scheme: UrlScheme, tls: ClientConfig, routes: ProxyRoutes) -> Self {
        let mut direct = HttpConnector::new_with_resolver(SchemeResolver(scheme));
        direct.enforce_http(false);
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self { direct, to_proxy, routes }
    }
}

impl Service<Uri> for OutboundConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let proxy = match self.routes.proxy_for(&destination) {
            Ok(proxy) => proxy,
            Err(unusable) => return Box::pin(async move { Err(unusable.into()) }),
        };
        if let Some(proxy) = proxy {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
            if let Some(password) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(password.clone());
            }
            return Box::pin(async move { Ok(tunnel.call(destination).await.map_err(|error| format!("proxy: {}", with_causes(&error)))?) });
        }
        let connecting = self.direct.call(destination);
        Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
    }
}

/// Resolves names to the addresses that the scheme allows. A numerical address was checked with its URL.
#[derive(Clone, Copy)]
struct SchemeResolver(UrlScheme);

impl Service<Name> for SchemeResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let scheme = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(scheme, found)?.into_iter())
        })
    }
}

/// The addresses of a name that the scheme may reach. A name can have private and public ones at once.
fn allowed(scheme: UrlScheme, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
    let allowed: Vec<_> = found.filter(|address| scheme.allows(address.ip())).collect();
    if allowed.is_empty() { Err("the name has no address that plain http may reach") } else { Ok(allowed) }
}

/// The text of an error and of its causes: the HTTP client's own text names only the step that failed.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn of_a_names_addresses_only_those_are_tried_that_the_scheme_may_reach() {
        let of = |scheme, texts: &[&str]| allowed(scheme, addresses(texts).into_iter()).ok();
        let mixed = ["192.0.2.1", "10.0.0.1", "127.0.0.1", "::1", "fd00::1", "fe80::1", "169.254.169.254", "::ffff:192.0.2.1"];
        let private = ["10.0.0.1", "127.0.0.1", "::1", "fd00::1"];
        assert_eq!(of(UrlScheme::PrivateHttp, &mixed), Some(addresses(&private)));
        assert_eq!(of(UrlScheme::LoopbackHttp, &mixed), Some(addresses(&["127.0.0.1", "::1"])));
        assert_eq!(of(UrlScheme::Https, &mixed), Some(addresses(&mixed)), "the certificate decides");
        for only_public in [&["192.0.2.1"][..], &["169.254.169.254", "fe80::1"], &[]] {
            assert_eq!((of(UrlScheme::PrivateHttp, only_public), of(UrlScheme::LoopbackHttp, only_public)), (None, None));
        }
    }

    #[tokio::test]
    async fn the_resolver_refuses_names_that_lead_elsewhere() {
        // The system's resolver reads numbers as names of themselves, so that no server of names is needed; also in forms that a URL's check
        // takes for names.
        let resolve = async |scheme, name: &str| SchemeResolver(scheme).call(name.parse().unwrap()).await.map(Vec::from_iter);
        for (name, private, loopback) in
            [("10.0.0.1", true, false), ("127.1", true, true), ("192.0.2.1", false, false), ("2886729729", true, false)]
        {
            assert_eq!(resolve(UrlScheme::PrivateHttp, name).await.is_ok(), private, "{name}");
            assert_eq!(resolve(UrlScheme::LoopbackHttp, name).await.is_ok(), loopback, "{name}");
        }
        let refused = resolve(UrlScheme::PrivateHttp, "192.0.2.1").await.unwrap_err().to_string();
        assert_eq!(refused, "the name has no address that plain http may reach");
    }
}
