//! A server whose process is stopped for a while, and continues.

use std::time::Duration;

use driftless_protocol::{ClientMessage, Codec, ServerMessage};
use tempfile::TempDir;

use crate::support::raw::{RawSocket, hello, upgrade_request};
use crate::support::{DriftlessProcess, TestDevice, token};

/// Longer than a connection may say nothing, and than a socket may have no hello: 10 seconds each.
const PAUSE: Duration = Duration::from_secs(13);

#[tokio::test]
async fn what_arrives_while_the_process_is_stopped_is_read_before_anybody_counts_as_silent() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let address = server.address().parse().unwrap();
    let mut device = TestDevice::connect(&server.url, &token("ann"), "phone").await;
    // `dev` answers only requests to its own address.
    let host = format!("Host: {}\r\n", server.address());
    let mut greeting = RawSocket::connect(address, Codec::Json).await;
    greeting.send(upgrade_request(Codec::Json.subprotocol(), "").replace("Host: localhost\r\n", &host));
    assert!(greeting.read_http_head().await.starts_with("HTTP/1.1 101 "));
    let mut asking = RawSocket::connect(address, Codec::Json).await;
    asking.send("GET /health/live HTTP/1.1\r\n");
    let silent = RawSocket::connect(address, Codec::Json).await;
    server.freeze().await;
    greeting.send(hello(Codec::Json, "ben", "laptop"));
    asking.send(format!("{host}\r\n"));
    device.send_message(ClientMessage::Ping).await;
    // This waits for no event: the time itself is what is tested.
    tokio::time::sleep(PAUSE).await;
    server.thaw().await;
    assert!(matches!(greeting.receive().await, ServerMessage::Welcome { .. }));
    assert!(asking.read_http_head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(device.receive().await, ServerMessage::Pong);
    // A connection that had said nothing has its time as before.
    let mut silent = silent;
    silent.send(format!("GET /health/live HTTP/1.1\r\n{host}\r\n"));
    assert!(silent.read_http_head().await.starts_with("HTTP/1.1 200"));
}
