use driftless_protocol::{ClientMessage, Codec, Provider, PushTarget, Registration};
use driftless_standin::StandInGateway;
use serde_json::json;

use crate::support::push::{APP, apns, asleep, asleep_with, fcm, pool, registration, server, server_with, webpush};
use crate::support::raw::Raw;
use crate::support::{Server, TestPool, name, soon};

/// Every gateway's kind of target.
fn targets(gateway: &StandInGateway) -> [PushTarget; 3] {
    [apns(gateway), fcm(gateway), webpush(gateway)]
}

/// A device comes for what it was woken for, over HTTP, and acknowledges it.
async fn syncs(server: &Server, person: &str, device: &str) -> u64 {
    let http = server.http(person, device);
    let changes = http.get("/v1/datasets/settings/changes").await.json();
    let version = changes["to"].as_u64().unwrap();
    assert_eq!(http.post("/v1/datasets/settings/ack", &json!({ "version": version }).to_string()).await.status, 200);
    version
}

/// What the log says of a device now.
async fn state(server: &Server, person: &str, device: &str) -> String {
    let operator = server.operator();
    let identity = operator.identity(person).await;
    let found = operator.get(&format!("/identities/{identity}/devices/{device}/push")).await.json();
    found["device"]["now"]["state"].as_str().unwrap().to_owned()
}

/// Waits until nothing is owed to a device.
async fn settled(server: &Server, person: &str, device: &str) {
    soon("nothing is owed", async {
        while state(server, person, device).await != "nothing owed" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_sleeping_phone_is_woken_once_and_syncs_and_its_debt_is_paid() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    for (at, target) in targets(&gateway).into_iter().enumerate() {
        let (person, address) = (format!("person-{at}"), target.address().to_owned());
        asleep(&server, &person, "phone", target).await;
        let mut laptop = server.phone(&person, "laptop").await;
        laptop.put("settings", "theme", "\"dark\"").await;
        let pushed = soon("a wake", gateway.wait_for_pushes(&address, 1)).await;
        let identity = server.operator().identity(&person).await;
        let data = json!({ "source": "driftless", "pool": "demo", "identity": identity, "dataset": "settings", "version": "1" });
        assert_eq!(pushed[0].data(), data);
        assert_eq!(syncs(&server, &person, "phone").await, 1);
        settled(&server, &person, "phone").await;
        assert_eq!(gateway.pushes_to(&address).len(), 1);
    }
    assert_eq!(gateway.violations(), Vec::<String>::new());
    assert_eq!(server.metric("driftless_push_write_to_acceptance_seconds_count").await, 3.0);
}

#[tokio::test]
async fn ten_writes_in_a_row_are_one_wake_for_the_newest_version() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server_with(&gateway, "", "grace_ms = 1000").await;
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    asleep(&server, "alice", "phone", target).await;
    let mut laptop = server.phone("alice", "laptop").await;
    for at in 0..10 {
        laptop.put("settings", "n", &at.to_string()).await;
    }
    let pushed = soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!(pushed[0].data()["version"], "10");
    settled(&server, "alice", "phone").await;
    assert_eq!(gateway.pushes_to(&token).len(), 1);
}

#[tokio::test]
async fn the_writer_is_not_woken_nor_a_device_that_acknowledges() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server_with(&gateway, "", "grace_ms = 2000").await;
    let (writes, listens, sleeps) = (fcm(&gateway), fcm(&gateway), fcm(&gateway));
    let tokens = [&writes, &listens, &sleeps].map(|target| target.address().to_owned());
    asleep(&server, "alice", "sleeper", sleeps).await;
    let mut laptop = server.phone("alice", "laptop").await;
    laptop.registers(registration(writes)).await;
    let mut tablet = server.phone("alice", "tablet").await;
    tablet.registers(registration(listens)).await;
    tablet.open("settings").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    let (_, version, _) = tablet.changes().await;
    tablet.say(ClientMessage::Ack { dataset: name("settings"), version }).await;
    soon("a wake", gateway.wait_for_pushes(&tokens[2], 1)).await;
    settled(&server, "alice", "sleeper").await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty() && gateway.pushes_to(&tokens[1]).is_empty());
}

#[tokio::test]
async fn a_half_dead_socket_is_woken_after_the_grace() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    // Its session is open, but nobody is there: what it is sent is never acknowledged.
    let mut phone = Raw::welcomed(server.address(), Codec::Json, "alice").await;
    phone.say(&json!({ "type": "register", "provider": "apns", "app": APP, "token": token }));
    phone.say(&json!({ "type": "open", "dataset": "settings" }));
    phone.hear().await;
    let mut laptop = server.phone("alice", "laptop").await;
    laptop.put("settings", "theme", "\"dark\"").await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_device_that_comes_in_clears_its_wake() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server_with(&gateway, "", "grace_ms = 1500").await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", target).await;
    asleep(&server, "alice", "tablet", other).await;
    server.phone("alice", "laptop").await.put("settings", "theme", "\"dark\"").await;
    assert_eq!(syncs(&server, "alice", "phone").await, 1);
    soon("a wake of the other", gateway.wait_for_pushes(&tokens[1], 1)).await;
    settled(&server, "alice", "phone").await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
}

#[tokio::test]
async fn after_the_silent_wake_one_is_shown_to_those_who_allow_it_and_none_to_others() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (shown, silent) = (apns(&gateway), apns(&gateway));
    let tokens = [&shown, &silent].map(|target| target.address().to_owned());
    asleep_with(&server, "alice", "shown", Registration { shown: true, ..registration(shown) }).await;
    asleep(&server, "alice", "silent", silent).await;
    let mut laptop = server.phone("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    soon("wakes", gateway.wait_for_pushes(&tokens[0], 1)).await;
    soon("wakes", gateway.wait_for_pushes(&tokens[1], 1)).await;
    laptop.put("settings", "n", "2").await;
    let pushed = soon("a shown one", gateway.wait_for_pushes(&tokens[0], 2)).await;
    assert_eq!(pushed[0].payload["aps"], json!({ "content-available": 1 }));
    assert_eq!(pushed[1].payload["aps"]["alert"], json!({ "title": "Something new", "body": "Open the app" }));
    soon("the budget is spent", async {
        while state(&server, "alice", "silent").await != "waits" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.pushes_to(&tokens[1]).len(), 1);
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn cognito_s_form_and_hidden_names_are_what_the_pool_asks_for() {
    let gateway = StandInGateway::start().await.unwrap();
    let cognito = server_with(&gateway, "cognito = true", "grace_ms = 100").await;
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    asleep(&cognito, "alice", "phone", target).await;
    cognito.phone("alice", "laptop").await.put("settings", "n", "1").await;
    let data = soon("a wake", gateway.wait_for_pushes(&token, 1)).await[0].data();
    let identity = cognito.operator().identity("alice").await;
    for (key, value) in
        [("source", "cognito-sync"), ("identityPoolId", "demo"), ("identityId", &identity), ("datasetName", "settings"), ("syncCount", "1")]
    {
        assert_eq!(data[key], value, "{key}");
    }
    let hiding = server_with(&gateway, "name_hash_key = \"0123456789abcdef\"", "grace_ms = 100").await;
    for target in targets(&gateway) {
        let (provider, token) = (target.provider(), target.address().to_owned());
        asleep(&hiding, "alice", provider.as_str(), target).await;
        hiding.phone("alice", "laptop").await.put("settings", "n", "1").await;
        let pushed = soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
        let said = format!("{:?}", pushed[0]);
        let identity = hiding.operator().identity("alice").await;
        assert!(!said.contains(&identity) && !said.contains("settings"), "{provider}: {said}");
    }
}

#[tokio::test]
async fn a_phone_that_registered_for_a_dataset_is_woken_for_no_other() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    asleep_with(&server, "alice", "phone", Registration { datasets: Some(vec![name("notes")]), ..registration(target) }).await;
    asleep(&server, "alice", "tablet", other).await;
    let mut laptop = server.phone("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    soon("a wake of the other", gateway.wait_for_pushes(&tokens[1], 1)).await;
    settled(&server, "alice", "phone").await;
    laptop.put("notes", "n", "1").await;
    let pushed = soon("a wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!(pushed[0].data()["dataset"], "notes");
}

#[tokio::test]
async fn a_registration_reaches_the_server_through_the_client_library_and_is_said_again() {
    use driftless_client::{Device, Event, Settings, TokenSource};
    use driftless_protocol::DeviceId;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = server(&gateway).await;
    let tokens = TokenSource::fixed(crate::support::token("alice"));
    let settings = Settings::new(&server.url(), DeviceId::new("phone").unwrap(), tokens).unwrap();
    let (device, mut events) = Device::connect(settings);
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    device.register(registration(target)).await.unwrap();
    let is_registered = |event: &Event| matches!(event, Event::Registered { provider: Provider::Fcm, .. });
    soon("registered", events.find(is_registered)).await.unwrap();
    server.restart().await;
    soon("registered again", events.find(is_registered)).await.unwrap();
    device.go_offline().await.unwrap();
    server.phone("alice", "laptop").await.put("settings", "n", "1").await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    device.go_online().await.unwrap();
    device.unregister().await.unwrap();
    soon("unregistered", events.find(|event| matches!(event, Event::Unregistered))).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_a_day_holds_up_no_wake() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = server_with(&gateway, "", "grace_ms = 600000").await;
    server.let_pass(DAY_MS);
    server.restart().await;
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    asleep(&server, "alice", "phone", target).await;
    server.phone("alice", "laptop").await.put("settings", "n", "1").await;
    server.set_back(DAY_MS);
    let pool = Box::leak(pool(&gateway, "", "grace_ms = 100").into_boxed_str());
    server.restart_with(TestPool { pool, ..TestPool::default() }).await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
}
