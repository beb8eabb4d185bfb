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
