//! Whoever takes longer than a step of the connection allows. These stories wait for the server's own deadlines.

use driftless_protocol::{CloseCode, Codec};

use crate::support::raw::{BINARY, CONTINUE, Heard, LAST, PING, frame, head, hello, upgrade};
use crate::support::{Bystander, Raw, Server, exchange, token};

#[tokio::test]
async fn a_socket_without_its_hello_is_turned_away() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut hello = hello(Codec::MsgPack, "mallory", "slow");
    hello.truncate(100);
    let mut late = Vec::new();
    for bytes in [vec![], vec![LAST | BINARY], head(LAST | BINARY, 1000), hello, frame(BINARY, b""), frame(LAST | PING, b"here")] {
        let raw = Raw::upgraded(server.address(), Codec::MsgPack).await;
        raw.send(bytes);
        late.push(raw);
    }
    late[4].send(frame(CONTINUE, b"").repeat(1000));
    bystander.is_undisturbed().await;
    for raw in &mut late {
        raw.ends_with(CloseCode::HelloTimeout).await;
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_connection_without_its_request_is_closed() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let whole = upgrade("driftless.v1.json", "");
    let mut late = Vec::new();
    for part in ["", "G", &whole[..100], &whole[..whole.len() - 1], "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let raw = Raw::connected(server.address(), Codec::Json).await;
        raw.send(part);
        late.push(raw);
    }
    bystander.is_undisturbed().await;
    for raw in &mut late {
        while !raw.head().await.is_empty() {}
        assert_eq!(raw.next().await, Heard::End);
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start().await;
    let token = token("mallory");
    let head = "POST /v1/datasets/d/write HTTP/1.1\r\nHost: a\r\nConnection: close\r\nDriftless-Device: d\r\nContent-Length: 1000\r\n";
    let request = format!("{head}Authorization: Bearer {token}\r\n\r\n{{\"id\":1,");
    let answer = exchange(server.address(), request.as_bytes()).await;
    assert_eq!(answer.status, 408, "{answer:?}");
}
