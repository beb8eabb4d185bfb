//! How a gateway is reached: name, address, TLS. Everything anew for each connection, for gateways move.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens one connection each time it is called. Whoever calls it bounds the time.
pub(super) type Connect = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> + Send + Sync>;

/// How long one of a name's addresses is tried, so that one which is dead leaves time for the next.
const ADDRESS_TRIED_FOR: Duration = Duration::from_secs(2);

/// How many of a name's addresses are tried. APNs' name has eight at a time.
const ADDRESSES_TRIED: usize = 4;

/// Reaches this server: by TLS with HTTP/2 agreed on (RFC 9113 section 3.2), or in plain (section 3.3) where its scheme is `http`.
pub(super) fn to(server: &Uri, mut tls: ClientConfig) -> Connect {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (server, tls) = (server.clone(), TlsConnector::from(Arc::new(tls)));
    Arc::new(move || {
        let (server, tls) = (server.clone(), tls.clone());
        Box::pin(async move { open(&server, &tls).await })
    })
}

async fn open(server: &Uri, tls: &TlsConnector) -> io::Result<Box<dyn Duplex>> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let plain = server.scheme_str() == Some("http");
    let stream = tcp(host, server.port_u16().unwrap_or(if plain { 80 } else { 443 })).await?;
    if plain {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tls.connect(name, stream).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Box::new(stream)),
        _ => Err(io::Error::other("the gateway does not speak HTTP/2")),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host, port)).await?.take(ADDRESSES_TRIED) {
        match tokio::time::timeout(ADDRESS_TRIED_FOR, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is one small write that waits for nothing.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Lanes;
    use super::super::pace::Pace;
    use super::super::support::trusting_nobody;
    use super::super::tls_stand_in::{acceptor, trusting};
    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use tokio::net::TcpListener;

    /// A gateway over TLS that agrees to these protocols: its address, and whom to trust for it.
    async fn gateway(protocols: &[&str]) -> (Uri, String) {
        let (acceptor, authority) = acceptor(protocols);
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
        let lanes = Lanes::new("test", to(server, tls), Pace::USUAL);
        let request = Request::post(server).body(Bytes::new()).expect("a request");
        lanes.send(&request).await.ok().map(|answer| answer.status)
    }

    #[tokio::test]
    async fn a_gateway_is_reached_by_tls_with_http_2_and_a_certificate_that_is_trusted() {
        let (server, authority) = gateway(&["http/1.1", "h2"]).await;
        assert_eq!(status(&server, trusting(&authority)).await, Some(200));
        let (server, authority) = gateway(&[]).await;
        assert_eq!(status(&server, trusting(&authority)).await, None, "no HTTP/2");
        let (server, _) = gateway(&["h2"]).await;
        assert_eq!(status(&server, trusting_nobody()).await, None, "not trusted");
    }
}
