//! Invalid, oversized and smuggled requests (RFC 9112), and invalid WebSocket handshakes (RFC 6455 §4.2).

use driftless_protocol::{Codec, ServerMessage};

use crate::support::raw::{ReceivedFrame, hello, upgrade_request};
use crate::support::{Bystander, RawSocket, TestPool, TestServer, raw_request, token};

const JSON: &str = "driftless.v1.json";

#[tokio::test]
async fn an_invalid_websocket_request_is_refused() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let good = upgrade_request(JSON, "");
    for (what, request, status) in [
        ("no subprotocol", good.replace("Sec-WebSocket-Protocol: driftless.v1.json\r\n", ""), 400),
        ("an empty one", upgrade_request("", ""), 400),
        ("an unknown one", upgrade_request("driftless.v2.json, chat", ""), 400),
        ("another version", good.replace("Version: 13", "Version: 8"), 426),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), 426),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        ("no upgrade", good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("no connection", good.replace("Connection: Upgrade", "Connection: close"), 426),
        ("another method", good.replace("GET ", "POST "), 405),
        ("HEAD", good.replace("GET ", "HEAD "), 400),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("no Host", good.replace("Host: localhost\r\n", ""), 400),
        ("two keys", upgrade_request(JSON, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        ("another path", good.replace("/v1/sync", "/v2/sync"), 404),
    ] {
        let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(request);
        let head = raw.read_http_head().await;
        assert_eq!(head.split(' ').nth(1), Some(status.to_string().as_str()), "{what}: {head}");
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_allowed_gets_no_socket() {
    let server = TestServer::with_pool(TestPool { server: "origins = [\"https://app.example\"]", ..TestPool::default() }).await;
    for (origin, status) in [
        ("", 101),
        ("Origin: https://app.example\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://app.example.evil.example\r\n", 403),
        ("Origin: http://app.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: \r\n", 403),
        ("Origin: https://app.example\r\nOrigin: https://evil.example\r\n", 400),
    ] {
        let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(upgrade_request(JSON, origin));
        let head = raw.read_http_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {head}");
    }
}

#[tokio::test]
async fn bytes_sent_before_the_upgrade_response_end_the_connection() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
    raw.send([upgrade_request(JSON, "").into_bytes(), hello(Codec::Json, "mallory", "raw")].concat());
    assert!(raw.read_http_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.next_frame().await, ReceivedFrame::EndOfStream);
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn an_invalid_http_request_is_refused() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let large = "x".repeat(100_000);
    let many: String = (0..200).map(|n| format!("H{n}: x\r\n")).collect();
    for (what, request, status) in [
        ("noise", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
        ("HTTP/1.2", "GET /health/live HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("no target", "GET\r\n\r\n".to_owned(), 400),
        ("a method that is no word", "G@T /health/live HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("HTTP/1.0 with a coding", "POST /v1/datasets/d/ack HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned(), 400),
        // Closed without a response, because an HTTP/2 client does not read HTTP/1 responses.
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
        let answer = raw_request(server.address(), request.as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        // The protocol's document says so: these are the only answers without the form of `refused`.
        let says_its_end = answer.header("connection") == Some("close") && answer.header("content-length") == Some("0");
        assert!(answer.body.is_empty() && (says_its_end || status == 0), "{what}: {answer:?}");
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_request_with_both_length_headers_smuggles_no_second_request() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let hidden = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    for lengths in ["Content-Length: 44\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 44"] {
        let head = format!("POST /v1/datasets/d/ack HTTP/1.1\r\nHost: a\r\n{lengths}\r\n");
        let head = format!("{head}Authorization: Bearer {}\r\nDriftless-Device: d\r\n\r\n", token("mallory"));
        let answer = raw_request(server.address(), format!("{head}d\r\n{{\"version\":0}}\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        assert!(!answer.body.contains("HTTP/1.1"), "two answers: {answer:?}");
        assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn invalid_or_oversized_bodies_and_queries_are_refused() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
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
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_token_of_the_maximum_size_fits_into_a_request() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    for (bytes, status) in [(15_000, 401), (16 * 1024, 401), (100_000, 431)] {
        let http = crate::support::DeviceHttp::new(server.address(), &"x".repeat(bytes), "raw");
        assert_eq!(http.get("/v1/datasets").await.status, status, "a token of {bytes} bytes");
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_truncated_body_writes_nothing() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let token = token("mallory");
    let head = "POST /v1/datasets/d/write HTTP/1.1\r\nHost: a\r\nDriftless-Device: d\r\nContent-Length: 1000\r\n";
    for _ in 0..20 {
        let raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(format!("{head}Authorization: Bearer {token}\r\n\r\n{{\"id\":1,"));
        bystander.assert_undisturbed().await;
    }
    let mut phone = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    phone.send_message(&serde_json::json!({ "type": "list" }));
    assert!(matches!(phone.receive().await, ServerMessage::Datasets { datasets } if datasets.is_empty()));
}

#[tokio::test]
async fn every_answer_reaches_a_client_that_still_sends_and_the_connection_goes_on() {
    let server = TestServer::start().await;
    let key = driftless::admin::DEVELOPMENT_KEY;
    let operator = format!("Host: localhost\r\nAuthorization: Bearer {key}\r\n");
    let device = format!("Host: localhost\r\nAuthorization: Bearer {}\r\nDriftless-Device: d\r\n", token("mallory"));
    let of_nobody = "/admin/api/identities/local:00000000-0000-0000-0000-000000000000";
    for (what, request, headers, status) in [
        ("two Hosts", "GET /health/live".to_owned(), "Host: a\r\nHost: b\r\n", 400),
        ("no Host", "POST /v1/datasets/d/write".to_owned(), "", 400),
        ("OPTIONS", "OPTIONS /v1/datasets/d/write".to_owned(), "Host: localhost\r\n", 204),
        ("no token", "POST /v1/datasets/d/write".to_owned(), "Host: localhost\r\n", 401),
        ("a body with GET", "GET /health/live".to_owned(), "Host: localhost\r\n", 200),
        ("metrics", "GET /metrics".to_owned(), "Host: localhost\r\n", 200),
        ("no such path", "POST /no_where".to_owned(), "Host: localhost\r\n", 404),
        ("no such admin path", "POST /admin/api/nowhere".to_owned(), &operator, 404),
        ("another method", "PUT /v1/datasets".to_owned(), &device, 405),
        ("no handshake", "GET /v1/sync".to_owned(), "Host: localhost\r\n", 426),
        ("a bad name", "POST /v1/datasets/%00/write".to_owned(), &device, 413),
        ("a body that is too large", "POST /v1/datasets/d/write".to_owned(), &device, 413),
        ("a body that is read and refused", "POST /v1/datasets/d/ack".to_owned(), &device, 413),
        ("no operator key", format!("POST {of_nobody}/merge"), "Host: localhost\r\n", 401),
        ("a wrong operator key", format!("POST {of_nobody}/merge"), "Host: localhost\r\nAuthorization: Bearer x\r\n", 401),
        ("nobody's identity", format!("POST {of_nobody}/logins"), &operator, 413),
        ("nobody's device", format!("POST {of_nobody}/devices/d/allow"), &operator, 404),
    ] {
        // More than the largest body and than any buffer on its way.
        let body = "x".repeat(3_000_000);
        let first = format!("{request} HTTP/1.1\r\n{headers}Origin: https://app.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let second = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = raw_request(server.address(), format!("{first}{second}").as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains("HTTP/1.1 200 OK") || status == 204, "{what}: no second answer: {answer:?}");
        // A page sees why it was refused.
        let is_readable = answer.header("access-control-allow-origin").is_some();
        assert_eq!(is_readable, request.contains(" /v1"), "{what}: {answer:?}");
    }
}
