//! Connections that are drained, refuse requests, run out of streams, do not answer, and break.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::task::JoinHandle;

use super::connection_limits::ConnectionLimits;
use super::connection_pool::ConnectionPool;
use super::failure::FailureCause;
use super::h2_frame_stand_in::{AcceptedConnections, H2FramePeer, connect_to_test, within_bound};
use super::response::{BODY_BYTES, GatewayResponse, GatewaySendError};
use super::transport_fault::TransportFault;

/// Limits under which no timer fires during a test, and a failure to connect causes no pause.
const PATIENT: ConnectionLimits = ConnectionLimits { first_pause: Duration::ZERO, ..ConnectionLimits::DEFAULT };

fn gateway(limits: ConnectionLimits) -> (ConnectionPool, AcceptedConnections) {
    let (connect, accepted) = connect_to_test();
    (ConnectionPool::new("test", connect, limits), accepted)
}

fn send(pool: &ConnectionPool, body: &str) -> JoinHandle<Result<GatewayResponse, GatewaySendError>> {
    let (pool, body) = (pool.clone(), Bytes::copy_from_slice(body.as_bytes()));
    tokio::spawn(async move { pool.send(&Request::post("https://gateway.example/").body(body).expect("a request")).await })
}

async fn body(sent: JoinHandle<Result<GatewayResponse, GatewaySendError>>) -> String {
    let response = within_bound(sent).await.expect("no panic").expect("a response");
    assert_eq!(response.status, 200);
    String::from_utf8(response.body.to_vec()).expect("a text")
}

async fn send_error(sent: JoinHandle<Result<GatewayResponse, GatewaySendError>>) -> GatewaySendError {
    within_bound(sent).await.expect("no panic").expect_err("no response")
}

fn not_sent(cause: FailureCause, detail: &str) -> GatewaySendError {
    GatewaySendError::NotSent(TransportFault::with_detail(cause, detail))
}

fn lost(why: &str) -> GatewaySendError {
    GatewaySendError::Unknown(TransportFault::with_detail(FailureCause::ConnectionLost, format!("test: {why}")))
}

#[tokio::test]
async fn only_requests_that_goaway_leaves_out_are_sent_again() {
    let (pool, mut accepted) = gateway(PATIENT);
    let first = send(&pool, "one");
    let mut old = H2FramePeer::accept(&mut accepted, 100).await;
    let one = old.request().await.expect("one");
    let second = send(&pool, "two");
    let two = old.request().await.expect("two");
    assert_eq!((one.1.as_str(), two.1.as_str()), ("one", "two"));
    old.go_away(one.0).await;
    // The old connection stays open for the processed request; a new one takes the other, and later ones.
    let mut new = H2FramePeer::accept(&mut accepted, 100).await;
    let again = new.request().await.expect("two again");
    assert_eq!(again.1, "two");
    new.answer(again.0, "from the new").await;
    assert_eq!(body(second).await, "from the new");
    let third = send(&pool, "three");
    let three = new.request().await.expect("three");
    new.answer(three.0, "").await;
    body(third).await;
    old.answer(one.0, "from the old").await;
    assert_eq!(body(first).await, "from the old");
    assert_eq!(old.request().await, None, "the old connection ends with its last request");
    assert_eq!(new.request_soon().await, None);
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    let (pool, mut accepted) = gateway(PATIENT);
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let one = peer.request().await.expect("one");
    peer.go_away(one.0).await;
    drop(peer);
    assert_eq!(send_error(sent).await, lost("before the answer"));
    let sent = send(&pool, "two");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let two = peer.request().await.expect("two alone");
    assert_eq!(two.1, "two");
    peer.reset(two.0, 8).await;
    assert_eq!(send_error(sent).await, lost("the gateway reset the stream"));
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_at_most_twice() {
    const REFUSED: u32 = 7;
    let (pool, mut accepted) = gateway(PATIENT);
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    for _ in 0..3 {
        let one = peer.request().await.expect("one");
        peer.reset(one.0, REFUSED).await;
    }
    assert_eq!(send_error(sent).await, not_sent(FailureCause::GatewayFailed, "test: the gateway processes no request"));
    let sent = send(&pool, "two");
    let two = peer.request().await.expect("two");
    peer.reset(two.0, REFUSED).await;
    let two = peer.request().await.expect("two again");
    peer.answer(two.0, "taken").await;
    assert_eq!(body(sent).await, "taken");
}

#[tokio::test]
async fn with_a_limit_of_one_stream_requests_are_sent_one_at_a_time() {
    let (pool, mut accepted) = gateway(ConnectionLimits { connections: 1, ..PATIENT });
    let sent: Vec<_> = (0..5).map(|number| send(&pool, &number.to_string())).collect();
    let mut peer = H2FramePeer::accept(&mut accepted, 1).await;
    for _ in 0..5 {
        let one = peer.request().await.expect("one");
        assert_eq!(peer.request_soon().await, None, "the next waits");
        peer.answer(one.0, "").await;
    }
    for one in sent {
        body(one).await;
    }
}

#[tokio::test]
async fn a_changed_stream_limit_is_obeyed() {
    let (pool, mut accepted) = gateway(ConnectionLimits { connections: 1, ..PATIENT });
    let sent: Vec<_> = (0..3).map(|number| send(&pool, &number.to_string())).collect();
    let mut peer = H2FramePeer::accept(&mut accepted, 0).await;
    assert_eq!(peer.request_soon().await, None);
    peer.set_limit(2).await;
    let (one, two) = (peer.request().await.expect("one"), peer.request().await.expect("two"));
    assert_eq!(peer.request_soon().await, None);
    peer.set_limit(1).await;
    peer.answer(one.0, "").await;
    assert_eq!(peer.request_soon().await, None, "one is still in flight");
    peer.answer(two.0, "").await;
    let three = peer.request().await.expect("three");
    peer.answer(three.0, "").await;
    for one in sent {
        body(one).await;
    }
}

#[tokio::test]
async fn a_second_connection_opens_when_the_first_has_no_stream_left_and_no_more_than_allowed() {
    let (pool, mut accepted) = gateway(ConnectionLimits { connections: 2, ..PATIENT });
    let sent: Vec<_> = (0..3).map(|number| send(&pool, &number.to_string())).collect();
    let mut first = H2FramePeer::accept(&mut accepted, 1).await;
    let one = first.request().await.expect("one");
    let mut second = H2FramePeer::accept(&mut accepted, 1).await;
    let two = second.request().await.expect("two");
    assert!(first.request_soon().await.is_none() && second.request_soon().await.is_none() && accepted.try_recv().is_err());
    second.answer(two.0, "").await;
    let three = second.request().await.expect("three");
    second.answer(three.0, "").await;
    first.answer(one.0, "").await;
    for one in sent {
        body(one).await;
    }
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed() {
    let (pool, mut accepted) =
        gateway(ConnectionLimits { ping_after: Duration::from_millis(50), pong_timeout: Duration::from_millis(100), ..PATIENT });
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let one = peer.request().await.expect("one");
    assert_eq!(one.1, "one");
    peer.answers_pings = false;
    assert_eq!(peer.request().await, None, "the connection is closed");
    assert_eq!(send_error(sent).await, lost("before the answer"));
}

#[tokio::test]
async fn the_connection_is_pinged_when_a_request_is_dropped() {
    let (pool, mut accepted) = gateway(ConnectionLimits { pong_timeout: Duration::from_millis(100), ..PATIENT });
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    peer.request().await.expect("one");
    peer.answers_pings = false;
    sent.abort();
    assert_eq!(peer.request().await, None, "the connection is closed long before a regular ping is due");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_new_one_is_opened_when_needed() {
    let (pool, mut accepted) = gateway(ConnectionLimits { idle_timeout: Duration::from_millis(100), ..PATIENT });
    for _ in 0..2 {
        let sent = send(&pool, "one");
        let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
        let one = peer.request().await.expect("one");
        peer.answer(one.0, "").await;
        body(sent).await;
        assert_eq!(peer.request().await, None);
    }
}

#[tokio::test]
async fn an_unreachable_gateway_fails_every_waiting_request_and_causes_a_pause() {
    let (pool, accepted) =
        gateway(ConnectionLimits { first_pause: Duration::from_secs(3600), max_pause: Duration::from_secs(3600), ..PATIENT });
    drop(accepted);
    let sent: Vec<_> = (0..3).map(|number| send(&pool, &number.to_string())).collect();
    for one in sent {
        assert_eq!(send_error(one).await, not_sent(FailureCause::ConnectionRefused, "test"));
    }
}

#[tokio::test]
async fn a_gateway_without_a_handshake_fails_within_the_connect_timeout() {
    let pause = Duration::from_secs(3600);
    let (pool, mut accepted) =
        gateway(ConnectionLimits { connect_timeout: Duration::from_millis(20), first_pause: pause, max_pause: pause, ..PATIENT });
    let sent = send(&pool, "one");
    let _silent = accepted.recv().await.expect("a connection");
    assert_eq!(send_error(sent).await, not_sent(FailureCause::Timeout, "test"));
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_rejected_at_once() {
    let (pool, mut accepted) = gateway(ConnectionLimits { requests: 1, ..PATIENT });
    let first = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let one = peer.request().await.expect("one");
    assert_eq!(send_error(send(&pool, "two")).await, not_sent(FailureCause::TooManyWaiting, "test"));
    peer.answer(one.0, "").await;
    body(first).await;
}

#[tokio::test]
async fn a_long_body_is_cut_off() {
    let (pool, mut accepted) = gateway(PATIENT);
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let one = peer.request().await.expect("one");
    peer.answer(one.0, &"x".repeat(3 * BODY_BYTES)).await;
    assert_eq!(body(sent).await.len(), BODY_BYTES);
}

#[tokio::test]
async fn the_connections_end_with_the_last_clone_of_the_pool() {
    let (pool, mut accepted) = gateway(PATIENT);
    let sent = send(&pool, "one");
    let mut peer = H2FramePeer::accept(&mut accepted, 100).await;
    let one = peer.request().await.expect("one");
    peer.answer(one.0, "").await;
    body(sent).await;
    drop(pool);
    assert_eq!(peer.request().await, None);
}
