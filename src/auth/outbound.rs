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
        if let Some(proxy) = self.routes.proxy_for(&destination) {
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
            let allowed: Vec<_> = found.filter(|address| scheme.allows(address.ip())).collect();
            match allowed.is_empty() {
                true => Err("the name has no address that plain http may reach".into()),
                false => Ok(allowed.into_iter()),
            }
        })
    }
}

/// The text of an error and of its causes: the HTTP client's own text names only the step that failed.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
