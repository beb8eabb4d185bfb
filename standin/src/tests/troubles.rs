//! What happens to whole connections.

use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::support::{APP, Client, Sent, answered, silent};
use crate::{Environment, Gateway, Trouble};

async fn start() -> (Gateway, Client, Sent) {
    let gateway = Gateway::start().await.unwrap();
    let client = Client::connect(&gateway, &gateway.url()).await;
    let push = silent(&gateway, &gateway.apns_token(APP, Environment::Production));
    (gateway, client, push)
}

/// Waits until the client obeys this limit.
async fn limited(client: &mut Client, push: &Sent, streams: usize) {
    while client.requests.current_max_send_streams() != streams {
        client.ask(push).await;
    }
}

#[tokio::test]
async fn the_limit_of_streams_is_known_from_the_start_and_may_change() {
    let (gateway, mut client, push) = start().await;
    limited(&mut client, &push, 1000).await;
    gateway.script_server(Trouble::StreamLimit(2));
    limited(&mut client, &push, 2).await;

    let before = gateway.counts().requests;
    gateway.script_server(Trouble::Pause);
    let first = client.send(&push).await.unwrap();
    let second = client.send(&push).await.unwrap();
    let third = client.send(&push).await.unwrap();
    while gateway.counts().requests < before + 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.counts().requests, before + 2, "what is above the limit waits in the client");
    gateway.script_server(Trouble::Resume);
    for answer in join_all([first, second, third].map(answered)).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    gateway.script_server(Trouble::StreamLimit(500));
    limited(&mut client, &push, 500).await;
    assert_eq!(gateway.complaints(), Vec::<String>::new());

    let mut later = Client::connect(&gateway, &gateway.url()).await;
    limited(&mut later, &push, 500).await;
}

#[tokio::test]
async fn streams_above_the_last_are_never_processed() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.ask(&push).await.status, 200);
    gateway.script_server(Trouble::Pause);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.send(&push).await.unwrap());
    }
    gateway.script_server(Trouble::GoAwayAt(5));
    let [first, second, third, fourth]: [_; 4] = answers.try_into().ok().unwrap();
    for answer in [third, fourth] {
        let error = answered(answer).await.err().unwrap();
        assert!(error.is_go_away() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    }
    assert!(client.send(&push).await.is_err(), "nothing new on this connection");
    gateway.script_server(Trouble::Resume);
    for answer in [first, second] {
        assert_eq!(answered(answer).await.unwrap().status, 200);
    }
    let mut streams: Vec<_> = gateway.pushes().iter().map(|push| push.stream).collect();
    streams.sort_unstable();
    assert_eq!(streams, [1, 3, 5]);
}

#[tokio::test]
async fn a_go_away_without_a_number_loses_nothing() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.ask(&push).await.status, 200);
    gateway.script_server(Trouble::GoAway);
    let (connection, requests) = (client.connection, client.requests);
    drop(requests);
    let _ = connection.await.unwrap();
    assert_eq!((gateway.pushes().len(), gateway.complaints().len()), (1, 0));
    let mut client = Client::connect(&gateway, &gateway.url()).await;
    assert_eq!(client.ask(&push).await.status, 200, "another connection");
}

#[tokio::test]
async fn connections_end_and_are_refused_and_come_back() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.ask(&push).await.status, 200);
    gateway.script_server(Trouble::Refuse);
    assert_eq!(client.ask(&push).await.status, 200, "it was open already");
    let port = gateway.ports().main;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    gateway.script_server(Trouble::Close);
    let _ = client.connection.await.unwrap();

    gateway.script_server(Trouble::Resume);
    let mut client = Client::connect(&gateway, &gateway.url()).await;
    assert_eq!(client.ask(&push).await.status, 200);
    assert_eq!((gateway.counts().connections, gateway.pushes().last().unwrap().connection), (2, 2));
}

#[tokio::test]
async fn a_frozen_gateway_thaws() {
    let (gateway, mut client, push) = start().await;
    assert_eq!(client.ask(&push).await.status, 200);
    gateway.script_server(Trouble::Freeze);
    let answer = client.send(&push).await.unwrap();
    assert_eq!(gateway.counts().requests, 1);
    gateway.script_server(Trouble::Resume);
    assert_eq!(answered(answer).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_gives_up_is_not_counted_as_open() {
    let (gateway, mut client, push) = start().await;
    gateway.script_server(Trouble::StreamLimit(1));
    limited(&mut client, &push, 1).await;
    gateway.script_server(Trouble::Pause);
    for _ in 0..3 {
        drop(client.send(&push).await.unwrap());
    }
    let last = client.send(&push).await.unwrap();
    gateway.script_server(Trouble::Resume);
    assert_eq!(answered(last).await.unwrap().status, 200);
    assert_eq!(gateway.complaints(), Vec::<String>::new());
}
