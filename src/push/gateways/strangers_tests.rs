//! Servers that strangers name: where they may be, and how much of them is read.

use super::super::tls_stand_in::{PushService, trusting};
use super::*;

async fn ask(service: &PushService, reach: Reach, uri: &str) -> Result<Answer, NoAnswer> {
    let strangers = Strangers::new(trusting(&service.authority), reach);
    strangers.send(Request::post(uri).body(Bytes::from_static(b"sealed")).expect("a request")).await
}

#[tokio::test]
async fn a_name_that_leads_into_ones_own_network_is_refused_and_nothing_is_connected() {
    let mut service = PushService::answering("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let uri = format!("https://localhost:{}/1", service.port);
    assert_eq!(ask(&service, Reach::Public, &uri).await.err(), Some(NoAnswer::Refused));
    assert!(service.asked.try_recv().is_err());
    assert_eq!(ask(&service, Reach::Anywhere, &uri).await.map(|answer| answer.status).ok(), Some(201));
    assert_eq!(service.asked.recv().await.map(|asked| asked.1), Some(b"sealed".to_vec()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut service =
        PushService::answering("HTTP/1.1 307 There\r\nlocation: https://localhost/2\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let uri = format!("https://localhost:{}/1", service.port);
    assert_eq!(ask(&service, Reach::Anywhere, &uri).await.map(|answer| answer.status).ok(), Some(307));
    assert!(service.asked.recv().await.is_some() && service.asked.try_recv().is_err());
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_read() {
    let body = "x".repeat(1 << 20);
    let service = PushService::answering(format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let answer = ask(&service, Reach::Anywhere, &format!("https://localhost:{}/1", service.port)).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (500, BODY_BYTES));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_not_one_that_breaks_off() {
    let service = PushService::answering("no HTTP\r\n\r\n".to_owned()).await;
    assert_eq!(ask(&service, Reach::Anywhere, &format!("https://localhost:{}/1", service.port)).await.err(), Some(NoAnswer::BrokenOff));
    assert_eq!(ask(&service, Reach::Anywhere, "https://localhost:1/1").await.err(), Some(NoAnswer::Unreachable));
}

#[test]
fn of_a_names_addresses_those_within_reach_are_left() {
    let found = |addresses: &[&str]| addresses.iter().map(|one| SocketAddr::new(one.parse().expect("an address"), 0)).collect();
    let left: Vec<_> = within(Reach::Public, found(&["10.0.0.1", "1.1.1.1", "::1"])).expect("one").collect();
    assert_eq!(left, [SocketAddr::from(([1, 1, 1, 1], 0))]);
    assert!(within(Reach::Public, found(&["10.0.0.1", "::ffff:127.0.0.1"])).is_err_and(|error| error.is::<OutOfReach>()));
    assert!(within(Reach::Anywhere, found(&["10.0.0.1"])).is_ok());
    assert!(within(Reach::Anywhere, found(&[])).is_err_and(|error| !error.is::<OutOfReach>()));
}
