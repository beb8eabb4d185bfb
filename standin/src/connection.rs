//! Serves one connection, from its TLS handshake to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;

use super::controlled_stream::ControlledStream;
use super::frame_injector::FrameInjector;
use super::request::{ConnectionInfo, ListenerKind};
use super::state::GatewayState;
use super::{http1, http2};

/// A client that takes longer for its handshake is dropped.
const HANDSHAKE_S: u64 = 10;

/// Serves a connection over TLS, with the HTTP version that ALPN selected (RFC 7301).
pub(crate) async fn serve_tls(stream: TcpStream, state: Arc<GatewayState>, listener: ListenerKind) {
    state.connections.wait_until_not_frozen().await;
    let handshake = Box::pin(tokio::time::timeout(Duration::from_secs(HANDSHAKE_S), state.tls_acceptor.accept(stream)));
    let Ok(Ok(stream)) = handshake.await else { return };
    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");

    let counted = CountedConnection::new(state.clone());
    let control = state.connections.add(counted.number);
    let connection = ConnectionInfo { listener, number: counted.number, has_certificate };
    let stream = ControlledStream::new(stream, control.clone());
    match is_http2 {
        true => http2::serve(FrameInjector::new(stream, control.clone()), state, connection, control).await,
        false => http1::serve(stream, state, connection).await,
    }
}

/// Serves a connection to the token endpoint.
pub(crate) async fn serve_plain(stream: TcpStream, state: Arc<GatewayState>) {
    state.connections.wait_until_not_frozen().await;
    let connection = ConnectionInfo { listener: ListenerKind::TokenEndpoint, number: 0, has_certificate: false };
    http1::serve(stream, state, connection).await;
}

/// Counts a connection as open until it is dropped.
struct CountedConnection {
    state: Arc<GatewayState>,
    number: u64,
}

impl CountedConnection {
    fn new(state: Arc<GatewayState>) -> CountedConnection {
        let number = state.log.connections.fetch_add(1, Ordering::Relaxed) + 1;
        state.log.open.fetch_add(1, Ordering::Relaxed);
        CountedConnection { state, number }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.state.connections.remove(self.number);
        self.state.log.open.fetch_sub(1, Ordering::Relaxed);
    }
}
