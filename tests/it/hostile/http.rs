//! Requests that are none, too large, or two in one (RFC 9112), and sockets asked for in the wrong way (RFC 6455 §4.2).

use driftless_protocol::{Codec, ServerMessage};

use crate::support::raw::{Heard, hello, upgrade};
use crate::support::{Bystander, Raw, Server, TestPool, exchange, token};

const JSON: &str = "driftless.v1.json";

#[tokio::test]
async fn a_socket_is_given_to_whoever_asks_for_it_properly() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let good = upgrade(JSON, "");
    for (what, request, status) in [
        ("no subprotocol", good.replace("Sec-WebSocket-Protocol: driftless.v1.json\r\n", ""), 400),
        ("an empty one", upgrade("", ""), 400),
        ("an unknown one", upgrade("driftless.v2.json, chat", ""), 400),
        ("another version", good.replace("Version: 13", "Version: 8"), 400),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), 400),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        ("no upgrade", good.replace("Upgrade: websocket", "Upgrade: h2c"), 400),
        ("no connection", good.replace("Connection: Upgrade", "Connection: close"), 400),
        ("another method", good.replace("GET ", "POST "), 405),
        ("another path", good.replace("/v1/sync", "/v2/sync"), 404),
    ] {
        let mut raw = Raw::connected(server.address(), Codec::Json).await;
        raw.send(request);
        let head = raw.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn pages_of_other_origins_get_no_socket_where_origins_are_named() {
    let server = Server::with(TestPool { server: "origins = [\"https://app.example\"]", ..TestPool::default() }).await;
    for (origin, status) in [
        ("", 101),
        ("Origin: https://app.example\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://app.example.evil.example\r\n", 403),
        ("Origin: http://app.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: \r\n", 403),
        ("Origin: https://app.example\r\nOrigin: https://evil.example\r\n", 403),
    ] {
        let mut raw = Raw::connected(server.address(), Codec::Json).await;
        raw.send(upgrade(JSON, origin));
        let head = raw.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {head}");
    }
}

#[tokio::test]
async fn what_is_sent_before_the_upgrade_is_answered_is_no_part_of_the_session() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::connected(server.address(), Codec::Json).await;
    raw.send([upgrade(JSON, "").into_bytes(), hello(Codec::Json, "mallory", "raw")].concat());
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.next().await, Heard::End);
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let large = "x".repeat(100_000);
    let many: String = (0..200).map(|n| format!("H{n}: x\r\n")).collect();
    for (what, request, status) in [
        ("noise", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned(), 400),
        // The connection is closed: who begins like this does not read the answers of HTTP/1.
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
        ("a line folded", "GET /health/live HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n".to_owned(), 400),
        ("a space before the colon", "GET /health/live HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        ("a large header", format!("GET /health/live HTTP/1.1\r\nA: {large}\r\n\r\n"), 431),
        ("a long path", format!("GET /{large} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
        ("many headers", format!("GET /health/live HTTP/1.1\r\n{many}\r\n"), 431),
        ("two lengths", "POST /v1/datasets/d/ack HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(), 400),
        ("a length below zero", "POST /v1/datasets/d/ack HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        ("an unknown coding", "POST /v1/datasets/d/ack HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 400),
    ] {
        let answer = exchange(server.address(), request.as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_request_with_two_lengths_of_body_hides_no_second_request() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let hidden = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    for lengths in ["Content-Length: 44\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 44"] {
        let head = format!("POST /v1/datasets/d/ack HTTP/1.1\r\nHost: a\r\n{lengths}\r\n");
        let head = format!("{head}Authorization: Bearer {}\r\nDriftless-Device: d\r\n\r\n", token("mallory"));
        let answer = exchange(server.address(), format!("{head}d\r\n{{\"version\":0}}\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        assert!(!answer.body.contains("HTTP/1.1"), "two answers: {answer:?}");
        assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn bodies_and_queries_are_held_to_their_bounds() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let http = server.http("mallory", "raw");
    let write = |id: u64, changes: &str| format!(r#"{{"id":{id},"changes":[{changes}]}}"#);
    let put = |id, value: &str| write(id, &format!(r#"{{"key":"k","op":"put","value":{value}}}"#));
    for (what, body, status) in [
        ("nothing", String::new(), 400),
        ("a list", "[]".to_owned(), 400),
        ("half", put(1, "[1"), 400),
        ("more behind it", put(1, "1") + "{}", 400),
        ("deep", put(1, &"[".repeat(1_000_000)), 400),
        ("a member twice", put(1, r#"{"a":1,"a":2}"#), 400),
        ("no change", write(1, ""), 413),
        ("a long value", put(2, &format!("\"{}\"", "x".repeat(1_100_000))), 413),
        ("a long body", put(3, &format!("\"{}\"", "x".repeat(3_000_000))), 413),
        ("the number 0", write(0, ""), 400),
    ] {
        let answer = http.post("/v1/datasets/d/write", &body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    for path in [
        "/v1/datasets/d/changes?epoch=e",
        "/v1/datasets/d/changes?version=1",
        "/v1/datasets/d/changes?fresh_until=1",
        "/v1/datasets/d/changes?epoch=e&fresh_until=1",
        "/v1/datasets/d/changes?epoch=e&version=1&fresh_until=",
        "/v1/datasets/d/changes?epoch=e&version=1&fresh_until=-1",
        "/v1/datasets/d/changes?epoch=e&version=1&fresh_until=x",
        "/v1/datasets/d/changes?epoch=&version=1",
        "/v1/datasets/d/changes?epoch=e&version=-1",
        "/v1/datasets/d/changes?epoch=e&version=99999999999999999999",
        "/v1/datasets/..%2f..%2fetc/changes",
        "/v1/datasets/%ff/changes",
        "/v1/datasets/%00/changes",
    ] {
        assert_eq!(http.get(path).await.status, 400, "{path}");
    }
    assert_eq!(http.get("/v1/datasets").await.json()["datasets"].as_array().map(Vec::len), Some(0), "nothing was written");
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_token_at_its_bound_fits_a_request() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    for (bytes, status) in [(15_000, 401), (16 * 1024, 401), (100_000, 431)] {
        let http = crate::support::Http::new(server.address(), &"x".repeat(bytes), "raw");
        assert_eq!(http.get("/v1/datasets").await.status, status, "a token of {bytes} bytes");
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_writes_nothing() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let token = token("mallory");
    let head = "POST /v1/datasets/d/write HTTP/1.1\r\nHost: a\r\nDriftless-Device: d\r\nContent-Length: 1000\r\n";
    for _ in 0..20 {
        let raw = Raw::connected(server.address(), Codec::Json).await;
        raw.send(format!("{head}Authorization: Bearer {token}\r\n\r\n{{\"id\":1,"));
        bystander.is_undisturbed().await;
    }
    let mut phone = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
    phone.say(&serde_json::json!({ "type": "list" }));
    assert!(matches!(phone.hear().await, ServerMessage::Datasets { datasets } if datasets.is_empty()));
}
