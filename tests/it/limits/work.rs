//! The rate of what the devices of one person send and are sent.

use driftless_protocol::{Codec, ServerMessage};
use serde_json::json;

use crate::support::{DeviceHttp, RawSocket, TestPool, TestServer, token};

#[tokio::test]
async fn requests_beyond_the_rate_of_one_identity_are_refused_with_a_time_and_nobody_elses() {
    let server = TestServer::with_pool(TestPool { pool: "rates.identity_work_bytes_per_s = 40000", ..TestPool::default() }).await;
    let mallory = DeviceHttp::new(server.address(), &token("mallory"), "phone");
    let mut answers = Vec::new();
    for _ in 0..200 {
        answers.push(mallory.get("/v1/datasets").await);
    }
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(granted.len() >= 30, "those of one second come at once: {}", granted.len());
    let refused = refused.first().expect("40 KB are less than 200 requests");
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("too_many_requests")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(DeviceHttp::new(server.address(), &token("alice"), "phone").get("/v1/datasets").await.status, 200);
}

#[tokio::test]
async fn a_session_beyond_the_rate_is_read_more_slowly_and_loses_nothing() {
    let server = TestServer::with_pool(TestPool { pool: "rates.identity_work_bytes_per_s = 100000", ..TestPool::default() }).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    for _ in 0..130 {
        raw.send_message(&json!({ "type": "ping" }));
    }
    for _ in 0..130 {
        assert_eq!(raw.receive().await, ServerMessage::Pong);
    }
    assert!(server.metric("driftless_limit_exceeded_total{outcome=\"identity_work\"}").await >= 1.0);
}

#[tokio::test]
async fn pages_beyond_the_rate_come_later_and_all_of_them_come() {
    let server = TestServer::with_pool(TestPool { pool: "rates.identity_work_bytes_per_s = 2000000", ..TestPool::default() }).await;
    let mut writer = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
    let value = "x".repeat(400_000);
    for id in 1..=8 {
        let changes = json!([{ "key": format!("k{id}"), "op": "put", "value": value }]);
        writer.send_message(&json!({ "type": "write", "dataset": "notes", "id": id, "changes": changes }));
        assert_eq!(writer.receive().await, ServerMessage::Written { id, version: id, records: Vec::new() });
    }
    // The same device, whose debt is paid by then or not: the pages are more than may come at once.
    writer.send_message(&json!({ "type": "open", "dataset": "notes" }));
    let (mut pages, mut records) = (0, 0);
    loop {
        let ServerMessage::Changes { records: page, more, .. } = writer.receive().await else { panic!("no page") };
        (pages, records) = (pages + 1, records + page.len());
        if !more {
            break;
        }
    }
    assert!((pages > 2 && records == 8), "{pages} pages, {records} records");
    assert!(server.metric("driftless_limit_exceeded_total{outcome=\"identity_work\"}").await >= 1.0);
}
