//! Connects to a gateway: name resolution, TCP, TLS. The name is resolved for every connection, because gateways change their addresses.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::FailureCause;
use super::proxied_connector::ProxiedConnector;
use super::resolver;
use super::transport_fault::TransportFault;
use crate::auth::ProxyRoutes;

/// A bidirectional byte stream.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens one connection each time it is called. The caller bounds the time.
pub(super) type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Duplex>, TransportFault>> + Send + Sync>;

/// How long one of a name's addresses is tried, so that an unreachable one leaves time for the next.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// How many of a name's addresses are tried. APNs' name resolves to eight at a time.
const MAX_ADDRESSES: usize = 4;

/// Connects to this server by TLS, with HTTP/2 negotiated (RFC 9113 section 3.2), or in plain text (section 3.3) if its scheme is `http`.
pub(super) fn to(server: &Uri, mut tls: ClientConfig, routes: ProxyRoutes) -> Connect {
    let proxied = ProxiedConnector::new(tls.clone(), routes);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (server, tls) = (server.clone(), TlsConnector::from(Arc::new(tls)));
    Arc::new(move || {
        let (server, tls, proxied) = (server.clone(), tls.clone(), proxied.clone());
        Box::pin(async move { open(&server, &tls, &proxied).await })
    })
}

async fn open(server: &Uri, tls: &TlsConnector, proxied: &ProxiedConnector) -> Result<Box<dyn Duplex>, TransportFault> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let plain = server.scheme_str() == Some("http");
    let stream: Box<dyn Duplex> = match proxied.tunnel(server).await {
        Some(tunnel) => Box::new(TokioIo::new(tunnel?)),
        None => Box::new(tcp(host, server.port_u16().unwrap_or(if plain { 80 } else { 443 })).await?),
    };
    if plain {
        return Ok(stream);
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| TransportFault::with_detail(FailureCause::Tls, error))?;
    let stream = tls.connect(name, stream).await.map_err(|error| TransportFault::of_io(&error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Box::new(stream)),
        _ => Err(TransportFault::with_detail(FailureCause::Tls, "the gateway does not offer HTTP/2")),
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, TransportFault> {
    let mut last_error = io::Error::from(io::ErrorKind::HostUnreachable);
    for address in resolver::addresses(host, port).await?.into_iter().take(MAX_ADDRESSES) {
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is one small write, which Nagle's algorithm would delay.
                stream.set_nodelay(true).map_err(|error| TransportFault::of_io(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last_error = error,
            Err(_) => last_error = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(TransportFault::of_io(&last_error))
}

#[cfg(test)]
mod tests {
    use super::super::connect_proxy_stand_in::ConnectProxyStandIn;
    use super::super::connection_limits::ConnectionLimits;
    use super::super::connection_pool::ConnectionPool;
    use super::super::response::GatewaySendError;
    use super::super::support::{closed_port, tls_without_roots};
    use super::super::tls_push_service_stand_in::{tls_acceptor, tls_with_root};
    use super::*;
    use crate::auth::OutboundProxy;
    use bytes::Bytes;
    use http::{Request, Response};
    use std::sync::atomic::Ordering;
    use tokio::net::TcpListener;

    /// A gateway over TLS that negotiates these protocols: its address, and its root certificate in PEM.
    async fn gateway(protocols: &[&str]) -> (Uri, String) {
        let (acceptor, authority) = tls_acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.ok()?;
            let mut connection = h2::server::handshake(acceptor.accept(socket).await.ok()?).await.ok()?;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_response(Response::new(()), true).ok()?;
            }
            Some(())
        });
        (format!("https://localhost:{port}").parse().expect("an address"), authority)
    }

    async fn status(server: &Uri, tls: ClientConfig) -> Option<u16> {
        status_through(server, tls, "").await.ok()
    }

    /// The status of a request that goes through a proxy.
    async fn status_through(server: &Uri, tls: ClientConfig, proxy: &str) -> Result<u16, GatewaySendError> {
        let routes = OutboundProxy::new(proxy, "").routes();
        let connections = ConnectionPool::new("test", to(server, tls, routes), ConnectionLimits::DEFAULT);
        let request = Request::post(server).body(Bytes::new()).expect("a request");
        connections.send(&request).await.map(|response| response.status)
    }

    #[tokio::test]
    async fn a_gateway_is_reached_through_the_operators_proxy_and_a_proxy_that_refuses_is_the_cause() {
        let (server, authority) = gateway(&["h2"]).await;
        let proxy = ConnectProxyStandIn::answering("HTTP/1.1 200 OK\r\n\r\n").await;
        let sent = status_through(&server, tls_with_root(&authority), &proxy.url).await;
        assert_eq!((sent, proxy.tunnels.load(Ordering::SeqCst)), (Ok(200), 1));
        let refusing = ConnectProxyStandIn::answering("HTTP/1.1 403 Forbidden\r\n\r\n").await;
        let nobody = format!("http://127.0.0.1:{}", closed_port());
        for proxy in [&refusing.url, &nobody] {
            let refused = status_through(&server, tls_with_root(&authority), proxy).await.expect_err("no way");
            let GatewaySendError::NotSent(fault) = refused else { panic!("{refused:?}") };
            assert_eq!(fault.cause, FailureCause::Proxy, "{fault}");
        }
    }

    #[tokio::test]
    async fn a_gateway_needs_http_2_and_a_trusted_certificate() {
        let (server, authority) = gateway(&["http/1.1", "h2"]).await;
        assert_eq!(status(&server, tls_with_root(&authority)).await, Some(200));
        let (server, authority) = gateway(&[]).await;
        assert_eq!(status(&server, tls_with_root(&authority)).await, None, "no HTTP/2");
        let (server, _) = gateway(&["h2"]).await;
        assert_eq!(status(&server, tls_without_roots()).await, None, "not trusted");
    }
}
