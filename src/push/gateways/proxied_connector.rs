//! Opens connections to the servers that the configuration names: directly, or through the proxy that the environment names (CONNECT, RFC 9110
//! section 9.3.6). Web Push endpoints never go through a proxy: their addresses are checked here, and a proxy would resolve their names itself.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::endpoint::AddressPolicy;
use super::failure::FailureCause;
use super::resolver::FilteringResolver;
use super::transport_fault::TransportFault;
use crate::auth::ProxyRoutes;

pub(super) type ProxiedStream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct ProxiedConnector {
    direct: HttpConnector<FilteringResolver>,
    to_proxy: HttpsConnector<HttpConnector<FilteringResolver>>,
    routes: ProxyRoutes,
}

impl ProxiedConnector {
    /// `tls` is for a proxy that is itself reached over TLS.
    pub(super) fn new(tls: ClientConfig, routes: ProxyRoutes) -> ProxiedConnector {
        let mut direct = HttpConnector::new_with_resolver(FilteringResolver(AddressPolicy::Any));
        direct.enforce_http(false);
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(direct.clone());
        ProxiedConnector { direct, to_proxy, routes }
    }

    /// A tunnel to the server through the proxy; `None`: the server is reached directly.
    pub(super) async fn tunnel(&self, server: &Uri) -> Option<Result<ProxiedStream, TransportFault>> {
        match self.routes.proxy_for(server) {
            Ok(Some(proxy)) => Some(self.through(&proxy, server.clone()).await),
            Ok(None) => None,
            Err(unusable) => Some(Err(TransportFault::with_detail(FailureCause::Proxy, unusable))),
        }
    }

    async fn through(&self, proxy: &Intercept, server: Uri) -> Result<ProxiedStream, TransportFault> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(password) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(password.clone());
        }
        tunnel.call(server).await.map_err(|error| TransportFault::with_detail(FailureCause::Proxy, with_causes(&error)))
    }
}

/// An error with its causes: the first one's own text names only the step that failed.
fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(error.source(), |cause| (**cause).source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Service<Uri> for ProxiedConnector {
    type Response = ProxiedStream;
    type Error = TransportFault;
    type Future = Pin<Box<dyn Future<Output = Result<ProxiedStream, TransportFault>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            if let Some(tunnel) = connector.tunnel(&server).await {
                return tunnel;
            }
            let connected = connector.direct.call(server).await;
            let unreachable = || TransportFault::new(FailureCause::Unreachable);
            Ok(MaybeHttpsStream::Http(connected.map_err(|error| TransportFault::in_chain(&error).unwrap_or_else(unreachable))?))
        })
    }
}
