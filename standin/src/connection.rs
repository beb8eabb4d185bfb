//! One connection, from its handshake to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;

use super::call::{Door, Line};
use super::shared::Shared;
use super::valve::Valve;
use super::wire::Wire;
use super::{http1, http2};

/// A client that says nothing for so long is not one.
const HANDSHAKE_S: u64 = 10;

/// Serves a connection over TLS, with what the client chose to speak (RFC 7301).
pub(super) async fn secure(stream: TcpStream, shared: Arc<Shared>, door: Door) {
    shared.lines.thawed().await;
    let handshake = Box::pin(tokio::time::timeout(Duration::from_secs(HANDSHAKE_S), shared.acceptor.accept(stream)));
    let Ok(Ok(stream)) = handshake.await else { return };
    let certificate = stream.get_ref().1.peer_certificates().is_some();
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");

    let open = Open::new(shared.clone());
    let control = shared.lines.open(open.connection);
    let line = Line { door, connection: open.connection, certificate };
    let stream = Valve::new(stream, control.clone());
    match http2 {
        true => http2::serve(Wire::new(stream, control.clone()), shared, line, control).await,
        false => http1::serve(stream, shared, line).await,
    }
}

/// Serves a connection to the token endpoint.
pub(super) async fn plain(stream: TcpStream, shared: Arc<Shared>) {
    shared.lines.thawed().await;
    let line = Line { door: Door::Tokens, connection: 0, certificate: false };
    http1::serve(stream, shared, line).await;
}

/// A connection that counts as open.
struct Open {
    shared: Arc<Shared>,
    connection: u64,
}

impl Open {
    fn new(shared: Arc<Shared>) -> Open {
        let connection = shared.ledger.connections.fetch_add(1, Ordering::Relaxed) + 1;
        shared.ledger.open.fetch_add(1, Ordering::Relaxed);
        Open { shared, connection }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.lines.close(self.connection);
        self.shared.ledger.open.fetch_sub(1, Ordering::Relaxed);
    }
}
