//! A server behind nginx, HAProxy and Caddy, with the configurations of `docs/proxies.md`; and WebSocket handshakes as proxies make them.

use std::time::Duration;

use driftless_client::DisconnectReason;
use driftless_protocol::{ClientMessage, Codec, ServerMessage};

use crate::support::proxy::Proxy;
use crate::support::raw::{RawSocket, ReceivedFrame};
use crate::support::{DeviceHttp, TestDevice, TestPool, TestServer, client_output, operator_output, raw_request, token, wait_for};

/// The timeout of the proxies, in seconds.
const TIMEOUT_S: u32 = 6;

/// A timeout that is longer than the time until the server's first ping (15 seconds with the shortest heartbeat), and shorter than that until
/// the second one.
const PING_TIMEOUT_S: u32 = 25;

/// Sockets, requests and commands pass, at the proxy's root and below a path.
async fn assert_passes(proxy: &Proxy) {
    let mut reader = TestDevice::connect(&format!("{}/sync", proxy.url), &token("ann"), "reader").await;
    let mut writer = TestDevice::connect(&proxy.url, &token("ann"), "writer").await;
    reader.open("d").await;
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    assert_eq!(writer.put("d", "large", &large).await, 1);
    assert_eq!(reader.receive_changes().await.1, 1);
    let body = format!(
        r#"{{"id":1,"changes":[{{"key":"k","op":"put","value":{large}}},{{"key":"l","op":"put","value":"{}"}}]}}"#,
        "y".repeat(500_000)
    );
    let answer = DeviceHttp::new(proxy.address(), &token("ann"), "http").post("/sync/v1/datasets/d/write", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for url in [format!("{}/sync", proxy.url), format!("{}/sync/", proxy.url), proxy.url.clone()] {
        client_output(&url, &["put", "settings", "theme=dark"]).await;
        let shown = operator_output(&url, &["identities", "--subject", "ann", "--pool", "demo"]).await;
        assert!(shown.contains("ann"), "{shown}");
    }
}

/// A device that says nothing is cut by the proxy, and one that sends its heartbeats is not.
async fn assert_heartbeats_suffice(proxy: &Proxy) {
    let mut quiet = TestDevice::connect(&proxy.url, &token("ann"), "quiet").await;
    let mut beating = TestDevice::connect(&proxy.url, &token("ann"), "beating").await;
    let end = async { wait_for("the proxy's timeout", quiet.connection.recv()).await.unwrap_err() };
    let beats = async {
        // For longer than the timeout. A busy machine may be late with a heartbeat by most of the timeout.
        for _ in 0..TIMEOUT_S + 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            beating.send_message(ClientMessage::Ping).await;
            assert_eq!(beating.receive().await, ServerMessage::Pong);
        }
    };
    let (end, ()) = tokio::join!(end, beats);
    assert!(matches!(end, DisconnectReason::Lost(_) | DisconnectReason::Closed { .. }), "{end:?}");
}

#[tokio::test]
async fn a_server_behind_nginx() {
    let server = TestServer::start().await;
    let proxy = Proxy::nginx(server.address(), TIMEOUT_S).await;
    assert_passes(&proxy).await;
    assert_heartbeats_suffice(&proxy).await;
}

#[tokio::test]
async fn a_session_whose_device_says_nothing_stays_open_behind_nginx_because_the_server_pings() {
    let server = TestServer::with_pool(TestPool { server: "heartbeat_s = 10", ..TestPool::default() }).await;
    let proxy = Proxy::nginx(server.address(), PING_TIMEOUT_S).await;
    let mut device = RawSocket::open_session(proxy.address(), Codec::Json, "ann").await;
    // The device does not even answer, so nothing but the pings themselves passes nginx until the second one has come, after its timeout.
    for _ in 0..2 {
        let frame = device.next_frame().await;
        assert!(matches!(frame, ReceivedFrame::Ping(_)), "{frame:?}");
    }
    device.send_message(&serde_json::json!({ "type": "ping" }));
    assert_eq!(device.receive().await, ServerMessage::Pong);
}

#[tokio::test]
async fn a_server_behind_haproxy() {
    let server = TestServer::start().await;
    let proxy = Proxy::haproxy(server.address(), TIMEOUT_S).await;
    assert_passes(&proxy).await;
    assert_heartbeats_suffice(&proxy).await;
}

#[tokio::test]
async fn a_server_behind_caddy() {
    let server = TestServer::start().await;
    assert_passes(&Proxy::caddy(server.address()).await).await;
}

#[tokio::test]
async fn a_proxy_that_does_not_pass_the_upgrade_on_is_told_what_it_lacks() {
    let server = TestServer::start().await;
    let proxy = Proxy::bare_nginx(server.address()).await;
    let refused = TestDevice::connect_refused(&proxy.url, &token("ann"), "d").await;
    assert!(matches!(refused, DisconnectReason::UpgradeRejected(400 | 426)), "{refused:?}");
    let request = "GET /v1/sync HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answer = raw_request(proxy.address(), request.as_bytes()).await;
    assert!([400, 426].contains(&answer.status) && answer.body.contains("proxy_http_version 1.1"), "{answer:?}");
}

#[tokio::test]
async fn a_handshake_is_read_as_proxies_write_it() {
    let server = TestServer::start().await;
    let fixed =
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: driftless.v1.json\r\n\r\n";
    for upgrade in [
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket",
        "connection: upgrade\r\nupgrade: WebSocket",
        "Connection: UPGRADE\r\nUpgrade: WEBSOCKET",
        "Connection: upgrade,keep-alive\r\nUpgrade: h2c, websocket",
        "X-Forwarded-For: 10.0.0.1\r\nVia: 1.1 proxy\r\nConnection:Upgrade\r\nUpgrade:websocket",
    ] {
        let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(format!("GET /v1/sync HTTP/1.1\r\nHost: test\r\n{upgrade}\r\n{fixed}"));
        let head = raw.read_http_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{upgrade}: {head}");
    }
    for (version, upgrade) in [("1.0", "Connection: Upgrade\r\nUpgrade: websocket"), ("1.1", "Connection: close")] {
        let request = format!("GET /v1/sync HTTP/{version}\r\nHost: test\r\n{upgrade}\r\n{fixed}");
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert!([400, 426].contains(&answer.status) && answer.body.contains("WebSocket"), "{answer:?}");
    }
}
