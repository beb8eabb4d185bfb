//! Proxies that name the client: whom the server believes, and whose limits count.

use driftless_protocol::{Codec, RefusalCode, ServerMessage};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{connect, connect_to, request_over, start};
use crate::support::proxy::Proxy;
use crate::support::raw::{hello, upgrade_request};
use crate::support::{RawSocket, wait_for};

#[tokio::test]
async fn a_trusted_proxy_names_the_client_and_nobody_else_does() {
    let server = start(concat!(
        "[limits]\nexempt = [\"127.0.0.1\"]\naddress_refused_tokens_per_min = 1\n",
        "[proxies]\ntrusted = [\"127.0.0.9\", \"127.0.0.10\"]\n"
    ))
    .await;
    let bad = async |host, forwarded: &str| request_over(connect(&server, host).await, "/v1/session", "a.b.c", forwarded).await.status;
    assert_eq!(bad(9, "X-Forwarded-For: 192.0.2.1\r\n").await, 401);
    assert_eq!(bad(9, "X-Forwarded-For: 192.0.2.1\r\n").await, 429);
    assert_eq!(bad(9, "X-Forwarded-For: 203.0.113.5, 192.0.2.1\r\n").await, 429, "what the client has sent itself changes nothing");
    assert_eq!(bad(9, "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.10\r\n").await, 429, "two proxies");
    assert_eq!(bad(9, "Forwarded: for=203.0.113.6\r\nX-Forwarded-For: 192.0.2.1\r\n").await, 429, "the other header");
    assert_eq!(bad(9, "X-Forwarded-For: 192.0.2.2\r\n").await, 401, "another client of the proxy");
    assert_eq!((bad(9, "").await, bad(9, "").await), (401, 429), "all that it does not name are one client");
    // Each request has its own client, also on one connection.
    let mut kept = connect(&server, 9).await;
    for (client, status) in [("192.0.2.2", "429"), ("192.0.2.3", "401"), ("192.0.2.3", "429"), ("192.0.2.4", "401")] {
        let head = format!(
            "GET /v1/session HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\nDriftless-Device: d\r\nX-Forwarded-For: {client}\r\n\r\n"
        );
        kept.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let read = wait_for("an answer", kept.read(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer[..read]).split(' ').nth(1), Some(status), "{client}");
    }
    // A client that sends the header itself is known by its own address.
    assert_eq!(bad(2, "X-Forwarded-For: 192.0.2.77\r\n").await, 401);
    assert_eq!(bad(2, "X-Forwarded-For: 192.0.2.78\r\n").await, 429);
    assert_eq!(bad(9, "X-Forwarded-For: 192.0.2.77\r\n").await, 401, "and harms no other");
}

#[tokio::test]
async fn sockets_through_a_proxy_count_for_their_client() {
    let server = start(
        "[limits]\nexempt = [\"127.0.0.1\"]\naddress_connections = 2\n[proxies]\ntrusted = [\"127.0.0.9\"]\nheader = \"forwarded\"\n",
    )
    .await;
    let upgrade = async |client: &str| {
        let mut raw = RawSocket::over(connect(&server, 9).await, Codec::Json);
        raw.send(upgrade_request(Codec::Json.subprotocol(), &format!("Forwarded: for={client}\r\n")));
        let head = raw.read_http_head().await;
        (raw, head.split(' ').nth(1).unwrap_or_default().to_owned())
    };
    let (first, second, third) = (upgrade("192.0.2.1").await, upgrade("192.0.2.1").await, upgrade("192.0.2.1").await);
    assert_eq!((&*first.1, &*second.1, &*third.1), ("101", "101", "429"));
    assert_eq!(upgrade("192.0.2.2").await.1, "101");
    drop(first);
    wait_for("a free place", async { while upgrade("192.0.2.1").await.1 != "101" {} }).await;
    // Those whom the proxy does not tell apart are one client, whatever it writes instead.
    let unnamed = [upgrade("unknown").await, upgrade("_hidden").await];
    assert!(unnamed.iter().all(|(_, status)| status == "101"));
    assert_eq!(upgrade("\"192.0.2.9").await.1, "429");
    assert_eq!(upgrade("192.0.2.3").await.1, "101");
}

#[tokio::test]
async fn junk_in_the_header_of_a_proxy_on_this_machine_is_no_way_around_the_limits() {
    // By default this machine's own addresses have no limits; its proxy's clients do.
    let server =
        start("[limits]\naddress_refused_tokens_per_min = 1\n[proxies]\ntrusted = [\"127.0.0.9\"]\nheader = \"forwarded\"\n").await;
    let bad = async |forwarded: &str| request_over(connect(&server, 9).await, "/v1/session", "a.b.c", forwarded).await.status;
    assert_eq!(bad("Forwarded: for=\"203.0.113.5, for=192.0.2.1\r\n").await, 401, "a quote that the client has not closed");
    for junk in ["for=\"203.0.113.5, for=192.0.2.1", "for=unknown", "for=_hidden", "by=192.0.2.1"] {
        assert_eq!(bad(&format!("Forwarded: {junk}\r\n")).await, 429, "{junk}");
    }
    assert_eq!(bad("Forwarded: for=192.0.2.1\r\n").await, 401, "who is named has limits of its own");
    assert_eq!((bad("").await, bad("").await), (401, 401), "requests of this machine itself have none");
}

#[tokio::test]
async fn the_proxy_protocol_is_believed_from_trusted_proxies_only() {
    let server = start(concat!(
        "[limits]\nexempt = [\"127.0.0.1\"]\naddress_refused_tokens_per_min = 1\n",
        "[proxies]\ntrusted = [\"127.0.0.9\"]\nprotocol = \"proxy-v2\"\n"
    ))
    .await;
    let header = |client: [u8; 4], command: u8| {
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, 0x11, 0, 12], &client, &[127, 0, 0, 1, 0, 1, 0, 2]].concat()
    };
    let bad = async |host, prefix: Vec<u8>| {
        let mut stream = connect(&server, host).await;
        let _ = stream.write_all(&prefix).await;
        request_over(stream, "/v1/session", "a.b.c", "").await.status
    };
    assert_eq!(bad(9, header([192, 0, 2, 1], 1)).await, 401);
    assert_eq!(bad(9, header([192, 0, 2, 1], 1)).await, 429);
    assert_eq!(bad(9, header([192, 0, 2, 2], 1)).await, 401, "another client");
    let own = async || bad(9, header([192, 0, 2, 1], 0)).await;
    assert_eq!((own().await, own().await), (401, 429), "the proxy itself is a client, whatever address is in the header");
    let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[0; 216]].concat();
    let mut somebody = connect(&server, 9).await;
    somebody.write_all(&unix).await.unwrap();
    let spoofed = request_over(somebody, "/v1/session", "a.b.c", "X-Forwarded-For: 192.0.2.200\r\n").await;
    assert_eq!(spoofed.status, 429, "a client without an address, who says one: {spoofed:?}");
    assert_eq!(bad(9, Vec::new()).await, 0, "a proxy that does not speak it");
    assert_eq!(bad(2, header([192, 0, 2, 3], 1)).await, 400, "a client that sends it itself");
    assert_eq!(bad(2, Vec::new()).await, 401, "a client without a proxy");
    // What follows the header may be anything that the port serves.
    let mut stream = connect(&server, 9).await;
    stream.write_all(&header([192, 0, 2, 9], 1)).await.unwrap();
    let mut raw = RawSocket::over(stream, Codec::MsgPack);
    raw.upgrade_here().await;
    raw.send(hello(Codec::MsgPack, "ann", "phone"));
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
    raw.send_message(&json!({ "type": "ack", "dataset": "d", "version": 1 }));
    assert!(matches!(raw.receive().await, ServerMessage::Refused { code: RefusalCode::NotOpen, .. }));
}

/// Two clients of a proxy have limits of their own, whatever they say of their addresses.
async fn assert_clients_are_told_apart(proxy: &Proxy) {
    let bad =
        async |host, forwarded: &str| request_over(connect_to(proxy.address(), host).await, "/v1/session", "a.b.c", forwarded).await.status;
    assert_eq!(bad(2, "").await, 401);
    for forwarded in ["", "X-Forwarded-For: 203.0.113.5\r\n", "X-Forwarded-For: 127.0.0.3, 127.0.0.1\r\n", "Forwarded: for=203.0.113.6\r\n"]
    {
        assert_eq!(bad(2, forwarded).await, 429, "{forwarded}");
    }
    assert_eq!(bad(3, "").await, 401, "another client");
    let mut raw = RawSocket::over(connect_to(proxy.address(), 4).await, Codec::Json);
    raw.send(upgrade_request(Codec::Json.subprotocol(), "").replace("Host: localhost", &format!("Host: {}", proxy.address())));
    let head = raw.read_http_head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw.send(hello(Codec::Json, "ann", "phone"));
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
}

#[tokio::test]
async fn the_clients_of_nginx_haproxy_and_caddy_are_told_apart() {
    let settings = "[limits]\nexempt = []\naddress_refused_tokens_per_min = 1\n[proxies]\ntrusted = [\"127.0.0.1\"]\n";
    for name in ["nginx", "haproxy", "caddy"] {
        let server = start(settings).await;
        let proxy = match name {
            "nginx" => Proxy::nginx(server.address(), 30).await,
            "haproxy" => Proxy::haproxy(server.address(), 30).await,
            _ => Proxy::caddy(server.address()).await,
        };
        assert_clients_are_told_apart(&proxy).await;
    }
}

#[tokio::test]
async fn the_clients_of_a_proxy_that_speaks_the_proxy_protocol_are_told_apart() {
    let server = start(concat!(
        "[limits]\nexempt = []\naddress_refused_tokens_per_min = 1\n",
        "[proxies]\ntrusted = [\"127.0.0.1\"]\nprotocol = \"proxy-v2\"\n"
    ))
    .await;
    let proxy = Proxy::haproxy_with_proxy_header(server.address(), 30).await;
    assert_clients_are_told_apart(&proxy).await;
    // The server stays healthy in the proxy's eyes, for several of its checks.
    for _ in 0..20 {
        assert_eq!(request_over(connect_to(proxy.address(), 5).await, "/health/live", "none", "").await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
