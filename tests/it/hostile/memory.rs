//! One account that sends halves of requests and messages, on many connections. The bytes are those that the server counts.

use driftless_protocol::{Codec, ServerMessage};
use serde_json::json;

use crate::support::raw::frame_header;
use crate::support::{Bystander, DeviceHttp, RawSocket, TestPool, TestServer, token};

/// Room for one of the largest messages of an identity, and for those of two identities.
const SMALL: TestPool =
    TestPool { pool: "", server: "[limits]\nidentity_received_mib = 5\nidentity_answers_mib = 4\nreceived_mib = 10\nanswers_mib = 8" };

const MIB: f64 = 1024.0 * 1024.0;

async fn received(server: &TestServer) -> f64 {
    server.metric("driftless_memory_received_bytes").await
}

#[tokio::test]
async fn half_sent_bodies_of_one_account_hold_no_more_than_its_budget() {
    let server = TestServer::with_pool(SMALL).await;
    let (mut bystander, token) = (Bystander::connect(&server).await, token("mallory"));
    let mut open = Vec::new();
    for (number, length) in ["Content-Length: 2097152", "Transfer-Encoding: chunked"].iter().cycle().take(40).enumerate() {
        let raw = RawSocket::connect(server.address(), Codec::Json).await;
        let head = format!("POST /v1/datasets/d/write HTTP/1.1\r\nHost: a\r\nDriftless-Device: d{number}\r\n{length}\r\n");
        raw.send(format!("{head}Authorization: Bearer {token}\r\n\r\n"));
        open.push(raw);
    }
    while received(&server).await < 4.0 * MIB {
        tokio::task::yield_now().await;
    }
    bystander.assert_undisturbed().await;
    assert!(received(&server).await <= 5.0 * MIB);
    // Another account's large body has its own budget.
    let value = "x".repeat(900_000);
    let body = json!({ "id": 1, "changes": [{ "key": "k", "op": "put", "value": value }] }).to_string();
    let answer = DeviceHttp::new(server.address(), &crate::support::token("alice"), "phone").post("/v1/datasets/d/write", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    drop(open);
    while received(&server).await > 0.0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn half_sent_messages_of_one_account_hold_no_more_than_its_budget_and_small_ones_go_on() {
    let server = TestServer::with_pool(SMALL).await;
    let mut bystander = Bystander::connect(&server).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
        let mut half = frame_header(0x81, 2 * 1024 * 1024);
        half.resize(half.len() + 100_000, b' ');
        raw.send(half);
        open.push(raw);
    }
    while received(&server).await < 4.0 * MIB {
        tokio::task::yield_now().await;
    }
    bystander.assert_undisturbed().await;
    assert!(received(&server).await <= 5.0 * MIB);
    let mut other = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    other.send_message(&json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": 1 }] }));
    assert!(matches!(other.receive().await, ServerMessage::Written { id: 1, .. }));
    drop(open);
    while received(&server).await > 0.0 {
        tokio::task::yield_now().await;
    }
}
