//! Clients that take longer than a step of the connection allows. These tests wait for the server's own timeouts.

use driftless_protocol::{CloseCode, Codec};

use crate::support::raw::{BINARY, CONTINUE, LAST, PING, ReceivedFrame, frame, frame_header, hello, upgrade_request};
use crate::support::{Bystander, RawSocket, TestServer, raw_request, token};

#[tokio::test]
async fn a_socket_without_a_complete_hello_is_closed_after_the_timeout() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut hello = hello(Codec::MsgPack, "mallory", "slow");
    hello.truncate(100);
    let mut late = Vec::new();
    for bytes in [vec![], vec![LAST | BINARY], frame_header(LAST | BINARY, 1000), hello, frame(BINARY, b""), frame(LAST | PING, b"here")] {
        let raw = RawSocket::upgrade(server.address(), Codec::MsgPack).await;
        raw.send(bytes);
        late.push(raw);
    }
    late[4].send(frame(CONTINUE, b"").repeat(1000));
    bystander.assert_undisturbed().await;
    for raw in &mut late {
        raw.expect_close(CloseCode::HelloTimeout).await;
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_connection_without_a_complete_request_is_closed_after_the_timeout() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let whole = upgrade_request("driftless.v1.json", "");
    let mut late = Vec::new();
    for part in ["", "G", &whole[..100], &whole[..whole.len() - 1], "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(part);
        late.push(raw);
    }
    bystander.assert_undisturbed().await;
    for raw in &mut late {
        while !raw.read_http_head().await.is_empty() {}
        assert_eq!(raw.next_frame().await, ReceivedFrame::EndOfStream);
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_request_whose_body_does_not_arrive_times_out() {
    let server = TestServer::start().await;
    let token = token("mallory");
    let head = "POST /v1/datasets/d/write HTTP/1.1\r\nHost: a\r\nDriftless-Device: d\r\nContent-Length: 1000\r\n";
    let request = format!("{head}Authorization: Bearer {token}\r\n\r\n{{\"id\":1,");
    let answer = raw_request(server.address(), request.as_bytes()).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("timeout")), "{answer:?}");
    assert!(answer.header("driftless-identity").is_some(), "{answer:?}");
    // What may still come is the rest of this body, and no request.
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
}
