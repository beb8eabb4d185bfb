//! The rate of what the devices of one person send and are sent.

use driftless_protocol::{Codec, ServerMessage};
use serde_json::json;

use crate::support::{DeviceHttp, RawSocket, TestPool, TestServer, token};

#[tokio::test]
async fn requests_beyond_the_rate_of_one_identity_are_refused_with_a_time_and_nobody_elses() {
    let server = TestServer::with_pool(TestPool { pool: "rates.identity_work_bytes_per_s = 4000", ..TestPool::default() }).await;
    let mallory = DeviceHttp::new(server.address(), &token("mallory"), "phone");
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(mallory.get("/v1/datasets").await);
    }
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(granted.len() >= 30, "those of ten seconds come at once: {}", granted.len());
    let refused = refused.first().expect("40 KB are less than 60 requests");
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("too_many_requests")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(DeviceHttp::new(server.address(), &token("alice"), "phone").get("/v1/datasets").await.status, 200);
}

#[tokio::test]
async fn a_session_beyond_the_rate_is_read_more_slowly_and_loses_nothing() {
    let server = TestServer::with_pool(TestPool { pool: "rates.identity_work_bytes_per_s = 20000", ..TestPool::default() }).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    for _ in 0..130 {
        raw.send_message(&json!({ "type": "ping" }));
    }
    for _ in 0..130 {
        assert_eq!(raw.receive().await, ServerMessage::Pong);
    }
    assert!(server.metric("driftless_limit_exceeded_total{outcome=\"identity_work\"}").await >= 1.0);
}
