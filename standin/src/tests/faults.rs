//! Faults of whole connections.

use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::support::{APP, TestClient, TestRequest, background_push, read_response};
use crate::{ApnsEnvironment, ConnectionFault, StandInGateway};

async fn start() -> (StandInGateway, TestClient, TestRequest) {
    let gateway = StandInGateway::start().await.unwrap();
    let client = TestClient::connect(&gateway, &gateway.url()).await;
    let push = background_push(&gateway, &gateway.new_apns_token(APP, ApnsEnvironment::Production));
    (gateway, client, push)
}

/// Waits until the client has applied this stream limit.
async fn wait_for_limit(client: &mut TestClient, push: &TestRequest, streams: usize) {
    while client.requests.current_max_send_streams() != streams {
        client.exchange(push).await;
    }
}

#[tokio::test]
async fn the_stream_limit_is_announced_at_first_and_can_change() {
    let (gateway, mut client, push) = start().await;
    wait_for_limit(&mut client, &push, 1000).await;
    gateway.inject_fault(ConnectionFault::StreamLimit(2));
    wait_for_limit(&mut client, &push, 2).await;

    let before = gateway.counts().requests;
    gateway.inject_fault(ConnectionFault::PauseRequests);
    let first = client.send(&push).await.unwrap();
    let second = client.send(&push).await.unwrap();
    let third = client.send(&push).await.unwrap();
    while gateway.counts().requests < before + 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.counts().requests, before + 2, "the third request waits in the client");
    gateway.inject_fault(ConnectionFault::Resume);
    for response in join_all([first, second, third].map(read_response)).await {
        assert_eq!(response.unwrap().status, 200);
    }
    gateway.inject_fault(ConnectionFault::StreamLimit(500));
    wait_for_limit(&mut client, &push, 500).await;
    assert_eq!(gateway.violations(), Vec::<String>::new());

    let mut later = TestClient::connect(&gateway, &gateway.url()).await;
    wait_for_limit(&mut later, &push, 500).await;
}

#[tokio::test]
async fn streams_above_the_last_stream_are_never_processed() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.exchange(&push).await.status, 200);
    gateway.inject_fault(ConnectionFault::PauseRequests);
    let mut responses = Vec::new();
    for _ in 0..4 {
        responses.push(client.send(&push).await.unwrap());
    }
    gateway.inject_fault(ConnectionFault::GoAwayAt(5));
    let [first, second, third, fourth]: [_; 4] = responses.try_into().ok().unwrap();
    for response in [third, fourth] {
        let error = read_response(response).await.err().unwrap();
        assert!(error.is_go_away() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    }
    assert!(client.send(&push).await.is_err(), "the client opens no stream after GOAWAY");
    gateway.inject_fault(ConnectionFault::Resume);
    for response in [first, second] {
        assert_eq!(read_response(response).await.unwrap().status, 200);
    }
    let mut streams: Vec<_> = gateway.pushes().iter().map(|push| push.stream).collect();
    streams.sort_unstable();
    assert_eq!(streams, [1, 3, 5]);
}

#[tokio::test]
async fn a_go_away_after_the_last_response_loses_no_request() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.exchange(&push).await.status, 200);
    gateway.inject_fault(ConnectionFault::GoAway);
    let (connection, requests) = (client.connection, client.requests);
    drop(requests);
    let _ = connection.await.unwrap();
    assert_eq!((gateway.pushes().len(), gateway.violations().len()), (1, 0));
    let mut client = TestClient::connect(&gateway, &gateway.url()).await;
    assert_eq!(client.exchange(&push).await.status, 200, "another connection");
}

#[tokio::test]
async fn connections_can_be_closed_and_refused_until_resume() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.exchange(&push).await.status, 200);
    gateway.inject_fault(ConnectionFault::RefuseConnections);
    assert_eq!(client.exchange(&push).await.status, 200, "open connections are not affected");
    let port = gateway.ports().main;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    gateway.inject_fault(ConnectionFault::CloseConnections);
    let _ = client.connection.await.unwrap();

    gateway.inject_fault(ConnectionFault::Resume);
    let mut client = TestClient::connect(&gateway, &gateway.url()).await;
    assert_eq!(client.exchange(&push).await.status, 200);
    assert_eq!((gateway.counts().connections, gateway.pushes().last().unwrap().connection), (2, 2));
}

#[tokio::test]
async fn a_frozen_gateway_responds_after_resume() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.exchange(&push).await.status, 200);
    gateway.inject_fault(ConnectionFault::FreezeIo);
    let response = client.send(&push).await.unwrap();
    assert_eq!(gateway.counts().requests, 1);
    gateway.inject_fault(ConnectionFault::Resume);
    assert_eq!(read_response(response).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_stream_that_its_client_reset_does_not_count_as_open() {
    let (gateway, mut client, push) = start().await;
    gateway.inject_fault(ConnectionFault::StreamLimit(1));
    wait_for_limit(&mut client, &push, 1).await;
    gateway.inject_fault(ConnectionFault::PauseRequests);
    for _ in 0..3 {
        drop(client.send(&push).await.unwrap());
    }
    let last = client.send(&push).await.unwrap();
    gateway.inject_fault(ConnectionFault::Resume);
    assert_eq!(read_response(last).await.unwrap().status, 200);
    assert_eq!(gateway.violations(), Vec::<String>::new());
}
