use driftless_protocol::{ClientMessage, Codec, Provider, PushTarget, Registration};
use driftless_standin::StandInGateway;
use serde_json::json;

use crate::support::push::{
    APP, apns, fcm, pool, register_offline, register_offline_with, register_phone, registration, start_server, start_server_with, webpush,
};
use crate::support::raw::RawSocket;
use crate::support::{TestPool, TestServer, name, wait_for};

/// A push target of each gateway.
fn targets(gateway: &StandInGateway) -> [PushTarget; 3] {
    [apns(gateway), fcm(gateway), webpush(gateway)]
}

/// A device reads a dataset over HTTP and acknowledges its version, as after a wake.
async fn sync_over_http(server: &TestServer, person: &str, device: &str) -> u64 {
    let http = server.http(person, device);
    let changes = http.get("/v1/datasets/settings/changes").await.json();
    let version = changes["to"].as_u64().unwrap();
    assert_eq!(http.post("/v1/datasets/settings/ack", &json!({ "version": version }).to_string()).await.status, 200);
    version
}

/// The wake state of a device, as operators see it.
async fn wake_state(server: &TestServer, person: &str, device: &str) -> String {
    let operator = server.operator();
    let identity = operator.identity(person).await;
    let found = operator.get(&format!("/identities/{identity}/devices/{device}/push")).await.json();
    found["device"]["wake"]["state"].as_str().unwrap().to_owned()
}

/// Waits until a device has no debt.
async fn wait_until_debt_cleared(server: &TestServer, person: &str, device: &str) {
    wait_for("the debt is cleared", async {
        while wake_state(server, person, device).await != "nothing owed" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_offline_device_is_woken_once_and_its_acknowledgement_clears_the_debt() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    for (at, target) in targets(&gateway).into_iter().enumerate() {
        let (person, address) = (format!("person-{at}"), target.address().to_owned());
        register_offline(&server, &person, "phone", target).await;
        let mut laptop = server.device(&person, "laptop").await;
        laptop.put("settings", "theme", "\"dark\"").await;
        let pushed = wait_for("a wake", gateway.wait_for_pushes(&address, 1)).await;
        let identity = server.operator().identity(&person).await;
        let data = json!({ "source": "driftless", "pool": "demo", "identity": identity, "dataset": "settings", "version": "1" });
        assert_eq!(pushed[0].data(), data);
        assert_eq!(sync_over_http(&server, &person, "phone").await, 1);
        wait_until_debt_cleared(&server, &person, "phone").await;
        assert_eq!(gateway.pushes_to(&address).len(), 1);
    }
    assert_eq!(gateway.violations(), Vec::<String>::new());
    assert_eq!(server.metric("driftless_push_write_to_acceptance_seconds_count").await, 3.0);
}

#[tokio::test]
async fn ten_writes_within_the_grace_cause_one_wake_for_the_newest_version() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server_with(&gateway, "", "grace_ms = 1000").await;
    let token = register_phone(&server, fcm(&gateway)).await;
    let mut laptop = server.device("alice", "laptop").await;
    for at in 0..10 {
        laptop.put("settings", "n", &at.to_string()).await;
    }
    let pushed = wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!(pushed[0].data()["version"], "10");
    wait_until_debt_cleared(&server, "alice", "phone").await;
    assert_eq!(gateway.pushes_to(&token).len(), 1);
}

#[tokio::test]
async fn neither_the_writer_nor_a_device_that_acknowledges_is_woken() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server_with(&gateway, "", "grace_ms = 2000").await;
    let (writer, reader, offline) = (fcm(&gateway), fcm(&gateway), fcm(&gateway));
    let tokens = [&writer, &reader, &offline].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", offline).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.register(registration(writer)).await;
    let mut tablet = server.device("alice", "tablet").await;
    tablet.register(registration(reader)).await;
    tablet.open("settings").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    let (_, version, _) = tablet.receive_changes().await;
    tablet.send_message(ClientMessage::Ack { dataset: name("settings"), version }).await;
    wait_for("a wake", gateway.wait_for_pushes(&tokens[2], 1)).await;
    wait_until_debt_cleared(&server, "alice", "phone").await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty() && gateway.pushes_to(&tokens[1]).is_empty());
}

#[tokio::test]
async fn a_connected_device_that_does_not_acknowledge_is_woken_after_the_grace() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    // Its session is open, but it never acknowledges.
    let mut phone = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
    phone.send_message(&json!({ "type": "register", "provider": "apns", "app": APP, "token": token }));
    phone.send_message(&json!({ "type": "open", "dataset": "settings" }));
    phone.receive().await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_device_that_syncs_within_the_grace_is_not_woken() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server_with(&gateway, "", "grace_ms = 1500").await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", target).await;
    register_offline(&server, "alice", "tablet", other).await;
    server.device("alice", "laptop").await.put("settings", "theme", "\"dark\"").await;
    assert_eq!(sync_over_http(&server, "alice", "phone").await, 1);
    wait_for("a wake of the other device", gateway.wait_for_pushes(&tokens[1], 1)).await;
    wait_until_debt_cleared(&server, "alice", "phone").await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
}

#[tokio::test]
async fn a_second_wake_is_an_alert_if_the_registration_allows_it_and_waits_otherwise() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (alert, silent) = (apns(&gateway), apns(&gateway));
    let tokens = [&alert, &silent].map(|target| target.address().to_owned());
    register_offline_with(&server, "alice", "alert", Registration { shown: true, ..registration(alert) }).await;
    register_offline(&server, "alice", "silent", silent).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    wait_for("wakes", gateway.wait_for_pushes(&tokens[0], 1)).await;
    wait_for("wakes", gateway.wait_for_pushes(&tokens[1], 1)).await;
    laptop.put("settings", "n", "2").await;
    let pushed = wait_for("the alert", gateway.wait_for_pushes(&tokens[0], 2)).await;
    assert_eq!(pushed[0].payload["aps"], json!({ "content-available": 1 }));
    assert_eq!(pushed[1].payload["aps"]["alert"], json!({ "title": "Something new", "body": "Open the app" }));
    wait_for("the budget is spent", async {
        while wake_state(&server, "alice", "silent").await != "waiting" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.pushes_to(&tokens[1]).len(), 1);
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pools_settings_choose_cognitos_payload_and_hashed_names() {
    let gateway = StandInGateway::start().await.unwrap();
    let cognito = start_server_with(&gateway, "cognito = true", "grace_ms = 100").await;
    let token = register_phone(&cognito, fcm(&gateway)).await;
    cognito.device("alice", "laptop").await.put("settings", "n", "1").await;
    let data = wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await[0].data();
    let identity = cognito.operator().identity("alice").await;
    for (key, value) in
        [("source", "cognito-sync"), ("identityPoolId", "demo"), ("identityId", &identity), ("datasetName", "settings"), ("syncCount", "1")]
    {
        assert_eq!(data[key], value, "{key}");
    }
    let hiding = start_server_with(&gateway, "name_hash_key = \"0123456789abcdef\"", "grace_ms = 100").await;
    for target in targets(&gateway) {
        let (provider, token) = (target.provider(), target.address().to_owned());
        register_offline(&hiding, "alice", provider.as_str(), target).await;
        hiding.device("alice", "laptop").await.put("settings", "n", "1").await;
        let pushed = wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
        let push = format!("{:?}", pushed[0]);
        let identity = hiding.operator().identity("alice").await;
        assert!(!push.contains(&identity) && !push.contains("settings"), "{provider}: {push}");
    }
}

#[tokio::test]
async fn a_device_registered_for_one_dataset_is_not_woken_for_another() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    register_offline_with(&server, "alice", "phone", Registration { datasets: Some(vec![name("notes")]), ..registration(target) }).await;
    register_offline(&server, "alice", "tablet", other).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    wait_for("a wake of the other device", gateway.wait_for_pushes(&tokens[1], 1)).await;
    wait_until_debt_cleared(&server, "alice", "phone").await;
    laptop.put("notes", "n", "1").await;
    let pushed = wait_for("a wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!(pushed[0].data()["dataset"], "notes");
}

#[tokio::test]
async fn the_client_library_registers_again_after_a_reconnect() {
    use driftless_client::{Device, Event, Settings, TokenSource};
    use driftless_protocol::DeviceId;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = start_server(&gateway).await;
    let tokens = TokenSource::fixed(crate::support::token("alice"));
    let settings = Settings::new(&server.url(), DeviceId::new("phone").unwrap(), tokens).unwrap();
    let (device, mut events) = Device::connect(settings);
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    device.register(registration(target)).await.unwrap();
    let is_registered = |event: &Event| matches!(event, Event::Registered { provider: Provider::Fcm, .. });
    wait_for("registered", events.find(is_registered)).await.unwrap();
    server.restart().await;
    wait_for("registered again", events.find(is_registered)).await.unwrap();
    device.go_offline().await.unwrap();
    server.device("alice", "laptop").await.put("settings", "n", "1").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    device.go_online().await.unwrap();
    device.unregister().await.unwrap();
    wait_for("unregistered", events.find(|event| matches!(event, Event::Unregistered))).await.unwrap();
}

#[tokio::test]
async fn a_clock_set_back_by_a_day_delays_no_wake() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = start_server_with(&gateway, "", "grace_ms = 600000").await;
    server.advance_clock(DAY_MS);
    server.restart().await;
    let token = register_phone(&server, fcm(&gateway)).await;
    server.device("alice", "laptop").await.put("settings", "n", "1").await;
    server.set_clock_back(DAY_MS);
    let pool = Box::leak(pool(&gateway, "", "grace_ms = 100").into_boxed_str());
    server.restart_with(TestPool { pool, ..TestPool::default() }).await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
}

#[tokio::test]
async fn apns_gets_a_collapse_id_that_is_the_same_for_every_wake_of_a_dataset() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server_with(&gateway, "", "grace_ms = 100\napple_per_hour = 100\napple_burst = 10").await;
    let token = register_phone(&server, apns(&gateway)).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    laptop.put("settings", "n", "2").await;
    let pushed = wait_for("another wake", gateway.wait_for_pushes(&token, 2)).await;
    let ids: Vec<_> = pushed.iter().map(|push| push.header("apns-collapse-id")).collect();
    assert!(ids[0].is_some_and(|id| id.len() == 32), "{ids:?}");
    assert_eq!(ids[0], ids[1]);
}
