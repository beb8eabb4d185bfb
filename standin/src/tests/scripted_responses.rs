//! Responses that a test scripts.

use std::time::Duration;

use h2::Reason;

use super::support::{APP, TestClient, background_push, read_response, start};
use crate::{ApnsEnvironment, ListenPorts, ScriptedResponse, StandInGateway};

#[tokio::test]
async fn scripted_responses_are_consumed_in_order() {
    let (gateway, mut client, push, token) = start().await;
    gateway.script(
        &token,
        [ScriptedResponse::apns(503, "Shutdown"), ScriptedResponse::unregistered(1_790_000_000_000), ScriptedResponse::retry_after(429, 7)],
    );
    gateway.script(&token, [ScriptedResponse::garbage(500), ScriptedResponse::Accept.after(Duration::from_millis(1))]);

    assert_eq!(client.exchange(&push.body("{")).await.reason(), "PayloadEmpty", "an invalid push consumes no scripted response");
    assert_eq!(client.exchange(&push).await.reason(), "Shutdown");
    assert_eq!(client.exchange(&push).await.json()["timestamp"], 1_790_000_000_000_u64);
    let response = client.exchange(&push).await;
    assert_eq!((response.status, response.headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert!(serde_json::from_slice::<serde_json::Value>(&client.exchange(&push).await.body).is_err());
    assert_eq!(gateway.pushes().len(), 0);

    assert_eq!((client.exchange(&push).await.status, client.exchange(&push).await.status), (200, 200));
    let pushes = gateway.pushes_to(&token);
    assert_eq!((pushes[0].attempt, pushes[1].attempt, pushes.len()), (5, 6, 2));
    assert_eq!((gateway.counts().requests, gateway.counts().refused["scripted 503"]), (7, 1));
}

#[tokio::test]
async fn the_default_response_applies_to_tokens_without_a_script() {
    let (gateway, mut client, push, token) = start().await;
    gateway.set_default_response(ScriptedResponse::apns(503, "ServiceUnavailable"));
    let other =
        background_push(&gateway, &gateway.new_apns_token(APP, ApnsEnvironment::Production)).with("authorization", &push.headers[0].1);
    gateway.script(&token, [ScriptedResponse::Accept.always()]);
    for _ in 0..3 {
        assert_eq!((client.exchange(&push).await.status, client.exchange(&other).await.status), (200, 503));
    }
    gateway.clear_script(&token);
    assert_eq!(client.exchange(&push).await.status, 503);
    gateway.set_default_response(ScriptedResponse::Accept);
    assert_eq!(client.exchange(&push).await.status, 200);
}

#[tokio::test]
async fn a_script_can_withhold_the_response() {
    let (gateway, mut client, push, token) = start().await;
    gateway.script(
        &token,
        [
            ScriptedResponse::Hang,
            ScriptedResponse::AcceptSilently,
            ScriptedResponse::ResetStream,
            ScriptedResponse::RefuseStream,
            ScriptedResponse::CloseConnection,
        ],
    );
    let hanging = client.send(&push).await.unwrap();
    while !gateway.counts().refused.contains_key("scripted hang") {
        tokio::task::yield_now().await;
    }
    let lost = client.send(&push).await.unwrap();
    assert_eq!(gateway.wait_for_pushes(&token, 1).await[0].stream, 3);
    let reset = client.send(&push).await.unwrap();
    assert_eq!(read_response(reset).await.err().unwrap().reason(), Some(Reason::INTERNAL_ERROR));
    let refused = client.send(&push).await.unwrap();
    assert_eq!(read_response(refused).await.err().unwrap().reason(), Some(Reason::REFUSED_STREAM));
    let cut = client.send(&push).await.unwrap();
    for response in [cut, hanging, lost] {
        assert!(read_response(response).await.is_err(), "the connection is closed");
    }
    assert_eq!(gateway.pushes_to(&token).len(), 1);
}

#[tokio::test]
async fn only_the_newest_pushes_are_kept_and_all_are_counted() {
    let (gateway, mut client, push, token) = start().await;
    gateway.set_kept_pushes(2);
    for at in 0..4 {
        client.exchange(&push.with("apns-collapse-id", &format!("{at}"))).await;
    }
    let kept: Vec<_> =
        gateway.wait_for_pushes(&token, 4).await.iter().map(|push| push.header("apns-collapse-id").unwrap().to_owned()).collect();
    assert_eq!(kept, ["2", "3"]);
    gateway.set_kept_pushes(0);
    client.exchange(&push).await;
    assert_eq!((gateway.wait_for_pushes(&token, 5).await.len(), gateway.counts().accepted), (0, 5));
}

#[tokio::test]
async fn another_gateway_can_take_over_ports_and_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let first = StandInGateway::start_in(folder.path(), ListenPorts::default()).await.unwrap();
    let (ports, token) = (first.ports(), first.new_apns_token(APP, ApnsEnvironment::Production));
    let push = background_push(&first, &token);
    assert_eq!(TestClient::connect(&first, &first.url()).await.exchange(&push).await.status, 200);
    first.stop();
    let second = StandInGateway::start_in(folder.path(), ports).await.unwrap();
    second.register_token(driftless_protocol::Provider::Apns, &token, APP);
    assert_eq!(second.url(), first.url());
    assert_eq!(TestClient::connect(&first, &first.url()).await.exchange(&push).await.status, 200, "with the first gateway's credentials");
    assert_eq!((second.pushes().len(), first.pushes().len()), (1, 1));
}

#[tokio::test]
async fn a_temporary_folder_is_deleted_with_its_gateway() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = gateway.credentials().folder.clone();
    assert!(folder.join("service_account.json").exists());
    drop(gateway);
    assert!(!folder.exists());
}
