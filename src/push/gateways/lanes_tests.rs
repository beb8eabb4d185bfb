//! Stories of connections that leave, refuse, fill up, fall silent and break.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::task::JoinHandle;

use super::answer::{Answer, BODY_BYTES, Lost};
use super::h2_stand_in::{Arrivals, Peer, into_test, soon};
use super::lanes::Lanes;
use super::pace::Pace;

/// Bounds under which nothing happens by itself within a test.
const PATIENT: Pace = Pace { pause_first: Duration::ZERO, ..Pace::USUAL };

fn gateway(pace: Pace) -> (Lanes, Arrivals) {
    let (connect, arrivals) = into_test();
    (Lanes::new("test", connect, pace), arrivals)
}

fn send(lanes: &Lanes, body: &str) -> JoinHandle<Result<Answer, Lost>> {
    let (lanes, body) = (lanes.clone(), Bytes::copy_from_slice(body.as_bytes()));
    tokio::spawn(async move { lanes.send(&Request::post("https://gateway.example/").body(body).expect("a request")).await })
}

async fn body(sent: JoinHandle<Result<Answer, Lost>>) -> String {
    let answer = soon(sent).await.expect("no panic").expect("an answer");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).expect("a text")
}

async fn lost(sent: JoinHandle<Result<Answer, Lost>>) -> Lost {
    soon(sent).await.expect("no panic").expect_err("no answer")
}

#[tokio::test]
async fn what_goaway_leaves_out_is_sent_again_and_nothing_else() {
    let (lanes, mut arrivals) = gateway(PATIENT);
    let first = send(&lanes, "one");
    let mut old = Peer::next(&mut arrivals, 100).await;
    let one = old.request().await.expect("one");
    let second = send(&lanes, "two");
    let two = old.request().await.expect("two");
    assert_eq!((one.1.as_str(), two.1.as_str()), ("one", "two"));
    old.go_away(one.0).await;
    // The old connection stays for what was processed; a new one takes the rest, and what comes later.
    let mut new = Peer::next(&mut arrivals, 100).await;
    let again = new.request().await.expect("two again");
    assert_eq!(again.1, "two");
    new.answer(again.0, "from the new").await;
    assert_eq!(body(second).await, "from the new");
    let third = send(&lanes, "three");
    let three = new.request().await.expect("three");
    new.answer(three.0, "").await;
    body(third).await;
    old.answer(one.0, "from the old").await;
    assert_eq!(body(first).await, "from the old");
    assert_eq!(old.request().await, None, "it ends when nothing is left on it");
    assert_eq!(new.request_soon().await, None);
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let (lanes, mut arrivals) = gateway(PATIENT);
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let one = peer.request().await.expect("one");
    peer.go_away(one.0).await;
    drop(peer);
    assert_eq!(lost(sent).await, Lost::Unknown("connection_lost".to_owned()));
    let sent = send(&lanes, "two");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let two = peer.request().await.expect("two alone");
    assert_eq!(two.1, "two");
    peer.reset(two.0, 8).await;
    assert_eq!(lost(sent).await, Lost::Unknown("stream_reset".to_owned()));
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_but_not_for_ever() {
    const REFUSED: u32 = 7;
    let (lanes, mut arrivals) = gateway(PATIENT);
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    for _ in 0..3 {
        let one = peer.request().await.expect("one");
        peer.reset(one.0, REFUSED).await;
    }
    assert_eq!(lost(sent).await, Lost::NotSent("not_processed".to_owned()));
    let sent = send(&lanes, "two");
    let two = peer.request().await.expect("two");
    peer.reset(two.0, REFUSED).await;
    let two = peer.request().await.expect("two again");
    peer.answer(two.0, "taken").await;
    assert_eq!(body(sent).await, "taken");
}

#[tokio::test]
async fn a_limit_of_one_lets_one_through_at_a_time() {
    let (lanes, mut arrivals) = gateway(Pace { lanes: 1, ..PATIENT });
    let sent: Vec<_> = (0..5).map(|number| send(&lanes, &number.to_string())).collect();
    let mut peer = Peer::next(&mut arrivals, 1).await;
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
async fn a_limit_that_changes_is_obeyed() {
    let (lanes, mut arrivals) = gateway(Pace { lanes: 1, ..PATIENT });
    let sent: Vec<_> = (0..3).map(|number| send(&lanes, &number.to_string())).collect();
    let mut peer = Peer::next(&mut arrivals, 0).await;
    assert_eq!(peer.request_soon().await, None);
    peer.limit(2).await;
    let (one, two) = (peer.request().await.expect("one"), peer.request().await.expect("two"));
    assert_eq!(peer.request_soon().await, None);
    peer.limit(1).await;
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
async fn a_second_connection_opens_when_the_first_is_full_and_no_more_than_allowed() {
    let (lanes, mut arrivals) = gateway(Pace { lanes: 2, ..PATIENT });
    let sent: Vec<_> = (0..3).map(|number| send(&lanes, &number.to_string())).collect();
    let mut first = Peer::next(&mut arrivals, 1).await;
    let one = first.request().await.expect("one");
    let mut second = Peer::next(&mut arrivals, 1).await;
    let two = second.request().await.expect("two");
    assert!(first.request_soon().await.is_none() && second.request_soon().await.is_none() && arrivals.try_recv().is_err());
    second.answer(two.0, "").await;
    let three = second.request().await.expect("three");
    second.answer(three.0, "").await;
    first.answer(one.0, "").await;
    for one in sent {
        body(one).await;
    }
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_given_up() {
    let (lanes, mut arrivals) = gateway(Pace { ping_after: Duration::from_millis(50), pong_within: Duration::from_millis(100), ..PATIENT });
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let one = peer.request().await.expect("one");
    assert_eq!(one.1, "one");
    peer.pongs = false;
    assert_eq!(peer.request().await, None, "it is closed");
    assert_eq!(lost(sent).await, Lost::Unknown("connection_lost".to_owned()));
}

#[tokio::test]
async fn a_request_that_is_given_up_has_its_connection_asked() {
    let (lanes, mut arrivals) = gateway(Pace { pong_within: Duration::from_millis(100), ..PATIENT });
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    peer.request().await.expect("one");
    peer.pongs = false;
    sent.abort();
    assert_eq!(peer.request().await, None, "it is closed long before a ping was due");
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed_and_a_new_one_made_when_it_is() {
    let (lanes, mut arrivals) = gateway(Pace { close_after: Duration::from_millis(100), ..PATIENT });
    for _ in 0..2 {
        let sent = send(&lanes, "one");
        let mut peer = Peer::next(&mut arrivals, 100).await;
        let one = peer.request().await.expect("one");
        peer.answer(one.0, "").await;
        body(sent).await;
        assert_eq!(peer.request().await, None);
    }
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_fails_all_who_wait_and_is_left_alone_for_a_while() {
    let (lanes, arrivals) = gateway(Pace { pause_first: Duration::from_secs(3600), pause_most: Duration::from_secs(3600), ..PATIENT });
    drop(arrivals);
    let sent: Vec<_> = (0..3).map(|number| send(&lanes, &number.to_string())).collect();
    for one in sent {
        assert_eq!(lost(one).await, Lost::NotSent("unreachable".to_owned()));
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_shake_hands_fails_in_time() {
    let pause = Duration::from_secs(3600);
    let (lanes, mut arrivals) =
        gateway(Pace { connect_within: Duration::from_millis(20), pause_first: pause, pause_most: pause, ..PATIENT });
    let sent = send(&lanes, "one");
    let _silent = arrivals.recv().await.expect("a connection");
    assert_eq!(lost(sent).await, Lost::NotSent("unreachable".to_owned()));
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_turned_away() {
    let (lanes, mut arrivals) = gateway(Pace { places: 1, ..PATIENT });
    let first = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let one = peer.request().await.expect("one");
    assert_eq!(lost(send(&lanes, "two")).await, Lost::NotSent("too_many_waiting".to_owned()));
    peer.answer(one.0, "").await;
    body(first).await;
}

#[tokio::test]
async fn a_long_answer_is_cut_off() {
    let (lanes, mut arrivals) = gateway(PATIENT);
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let one = peer.request().await.expect("one");
    peer.answer(one.0, &"x".repeat(3 * BODY_BYTES)).await;
    assert_eq!(body(sent).await.len(), BODY_BYTES);
}

#[tokio::test]
async fn with_the_last_handle_all_connections_end() {
    let (lanes, mut arrivals) = gateway(PATIENT);
    let sent = send(&lanes, "one");
    let mut peer = Peer::next(&mut arrivals, 100).await;
    let one = peer.request().await.expect("one");
    peer.answer(one.0, "").await;
    body(sent).await;
    drop(lanes);
    assert_eq!(peer.request().await, None);
}
