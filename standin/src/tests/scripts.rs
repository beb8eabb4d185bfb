//! Answers that a test chooses.

use std::time::Duration;

use h2::Reason;

use super::support::{APP, Client, answered, silent, start};
use crate::{Answer, Environment, Gateway, Ports};

#[tokio::test]
async fn answers_are_used_up_in_their_order() {
    let (gateway, mut client, push, token) = start().await;
    gateway.script(&token, [Answer::apns(503, "Shutdown"), Answer::unregistered(1_790_000_000_000), Answer::retry_after(429, 7)]);
    gateway.script(&token, [Answer::garbage(500), Answer::Accept.after(Duration::from_millis(1))]);

    assert_eq!(client.ask(&push.body("{")).await.reason(), "PayloadEmpty", "what is not in order uses no answer up");
    assert_eq!(client.ask(&push).await.reason(), "Shutdown");
    assert_eq!(client.ask(&push).await.json()["timestamp"], 1_790_000_000_000_u64);
    let answer = client.ask(&push).await;
    assert_eq!((answer.status, answer.headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert!(serde_json::from_slice::<serde_json::Value>(&client.ask(&push).await.body).is_err());
    assert_eq!(gateway.pushes().len(), 0);

    assert_eq!((client.ask(&push).await.status, client.ask(&push).await.status), (200, 200));
    let pushes = gateway.pushes_of(&token);
    assert_eq!((pushes[0].attempt, pushes[1].attempt, pushes.len()), (5, 6, 2));
    assert_eq!((gateway.counts().requests, gateway.counts().refused["scripted 503"]), (7, 1));
}

#[tokio::test]
async fn an_outage_is_for_all_but_those_with_a_script() {
    let (gateway, mut client, push, token) = start().await;
    gateway.answer_all(Answer::apns(503, "ServiceUnavailable"));
    let other = silent(&gateway, &gateway.apns_token(APP, Environment::Production)).with("authorization", &push.headers[0].1);
    gateway.script(&token, [Answer::Accept.always()]);
    for _ in 0..3 {
        assert_eq!((client.ask(&push).await.status, client.ask(&other).await.status), (200, 503));
    }
    gateway.unscript(&token);
    assert_eq!(client.ask(&push).await.status, 503);
    gateway.answer_all(Answer::Accept);
    assert_eq!(client.ask(&push).await.status, 200);
}

#[tokio::test]
async fn some_answers_never_come() {
    let (gateway, mut client, push, token) = start().await;
    gateway.script(&token, [Answer::Hang, Answer::Lost, Answer::Reset, Answer::Refused, Answer::Cut]);
    let hanging = client.send(&push).await.unwrap();
    while !gateway.counts().refused.contains_key("scripted hang") {
        tokio::task::yield_now().await;
    }
    let lost = client.send(&push).await.unwrap();
    assert_eq!(gateway.pushed(&token, 1).await[0].stream, 3);
    let reset = client.send(&push).await.unwrap();
    assert_eq!(answered(reset).await.err().unwrap().reason(), Some(Reason::INTERNAL_ERROR));
    let refused = client.send(&push).await.unwrap();
    assert_eq!(answered(refused).await.err().unwrap().reason(), Some(Reason::REFUSED_STREAM));
    let cut = client.send(&push).await.unwrap();
    for answer in [cut, hanging, lost] {
        assert!(answered(answer).await.is_err(), "the connection is gone");
    }
    assert_eq!(gateway.pushes_of(&token).len(), 1);
}

#[tokio::test]
async fn only_the_newest_are_kept_and_all_are_counted() {
    let (gateway, mut client, push, token) = start().await;
    gateway.keep(2);
    for at in 0..4 {
        client.ask(&push.with("apns-collapse-id", &format!("{at}"))).await;
    }
    let kept: Vec<_> = gateway.pushed(&token, 4).await.iter().map(|push| push.header("apns-collapse-id").unwrap().to_owned()).collect();
    assert_eq!(kept, ["2", "3"]);
    gateway.keep(0);
    client.ask(&push).await;
    assert_eq!((gateway.pushed(&token, 5).await.len(), gateway.counts().accepted), (0, 5));
}

#[tokio::test]
async fn another_one_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let first = Gateway::start_in(folder.path(), Ports::default()).await.unwrap();
    let (ports, token) = (first.ports(), first.apns_token(APP, Environment::Production));
    let push = silent(&first, &token);
    assert_eq!(Client::connect(&first, &first.url()).await.ask(&push).await.status, 200);
    first.stop();
    let second = Gateway::start_in(folder.path(), ports).await.unwrap();
    second.adopt(driftless_protocol::Provider::Apns, &token, APP);
    assert_eq!(second.url(), first.url());
    assert_eq!(Client::connect(&first, &first.url()).await.ask(&push).await.status, 200, "with the credentials of the first");
    assert_eq!((second.pushes().len(), first.pushes().len()), (1, 1));
}

#[tokio::test]
async fn its_folder_goes_with_it() {
    let gateway = Gateway::start().await.unwrap();
    let folder = gateway.credentials().folder.clone();
    assert!(folder.join("service_account.json").exists());
    drop(gateway);
    assert!(!folder.exists());
}
