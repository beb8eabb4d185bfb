//! The places that a person's devices have: who makes place for a new one, who is forgotten, and what a forgotten device finds when it comes back.

use driftless_client::{Device, Event, Events, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{CloseCode, DeviceId, Value};

use crate::support::{TestDevice, TestPool, TestServer, change, key, name, operator_output, token, wait_for};

const WRITE: &str = "/v1/datasets/d/write";

fn places(pool: &'static str) -> TestPool {
    TestPool { pool, ..TestPool::default() }
}

fn put(id: u64) -> String {
    format!("{{\"id\":{id},\"changes\":[{{\"key\":\"k\",\"op\":\"put\",\"value\":{id}}}]}}")
}

/// The devices of alice that the server knows, sorted.
async fn known(server: &TestServer) -> Vec<String> {
    let operator = server.operator();
    let identity = operator.identity("alice").await;
    let devices = operator.get(&format!("/identities/{identity}/devices")).await.json();
    let mut names: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|one| one["device"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_new_device_takes_the_place_of_one_without_a_session() {
    let server = TestServer::with_pool(places("limits = { devices = 3 }")).await;
    let (mut phone, mut tablet) = (server.device("alice", "phone").await, server.device("alice", "tablet").await);
    for n in 0..5 {
        assert_eq!(server.http("alice", &format!("tab-{n}")).post(WRITE, &put(1)).await.status, 200, "tab-{n}");
    }
    assert_eq!(known(&server).await, ["phone", "tab-4", "tablet"]);
    phone.put("d", "a", "1").await;
    tablet.put("d", "b", "1").await;

    // Three sessions: nobody makes place, and a read needs none.
    let laptop = server.device("alice", "laptop").await;
    assert_eq!(TestDevice::connect_refused(&server.url(), &token("alice"), "watch").await.code(), Some(CloseCode::TooManyDevices));
    let watch = server.http("alice", "watch");
    let refused = watch.post(WRITE, &put(1)).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("too_many_devices")));
    assert_eq!(watch.get("/v1/datasets").await.status, 200);
    assert_eq!(known(&server).await, ["laptop", "phone", "tablet"]);
    // Once one has disconnected, its place is there.
    drop(laptop);
    wait_for("a place", async { while watch.post(WRITE, &put(1)).await.status != 200 {} }).await;
    assert_eq!(known(&server).await, ["phone", "tablet", "watch"]);
    phone.put("d", "a", "2").await;
    tablet.put("d", "b", "2").await;
}

#[tokio::test]
async fn hundreds_of_ids_of_one_person_keep_nobody_out() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    for n in 0..250 {
        assert_eq!(server.http("alice", &format!("tab-{n:03}")).post(WRITE, &put(1)).await.status, 200, "tab-{n}");
    }
    let known = known(&server).await;
    assert_eq!((known.len(), known[0].as_str(), known[1].as_str()), (100, "phone", "tab-151"));
    phone.put("d", "a", "1").await;
}

#[tokio::test]
async fn a_revoked_device_takes_no_place() {
    let server = TestServer::with_pool(places("limits = { devices = 1 }")).await;
    drop(server.device("alice", "phone").await);
    let path = format!("/identities/{}/devices/phone", server.operator().identity("alice").await);
    assert_eq!(server.operator().post(&format!("{path}/revoke"), "{}").await.status, 200);
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("d", "a", "1").await;
    assert_eq!(known(&server).await, ["laptop", "phone"]);
    assert_eq!(TestDevice::connect_refused(&server.url(), &token("alice"), "phone").await.code(), Some(CloseCode::Revoked));
}

#[tokio::test]
async fn a_plain_read_over_http_makes_no_device() {
    let server = TestServer::start().await;
    let http = server.http("alice", "reader");
    for path in ["/v1/session", "/v1/datasets", "/v1/datasets/d/changes", "/v1/push", "/v1/push/keys"] {
        assert_eq!(http.get(path).await.status, 200, "{path}");
        assert_eq!(http.request("HEAD", path, "").await.status, 200, "{path}");
    }
    assert_eq!(known(&server).await, Vec::<String>::new());
    assert!(http.get("/v1/session").await.json()["known_since_ms"].is_null());
    assert_eq!(http.post("/v1/datasets/d/ack", "{\"version\":0}").await.status, 200);
    assert_eq!(known(&server).await, ["reader"]);
    assert!(http.get("/v1/session").await.json()["known_since_ms"].as_u64() > Some(0));
    assert_eq!(server.http("alice", "writer").post(WRITE, &put(1)).await.status, 200);
    assert_eq!(known(&server).await, ["reader", "writer"]);
}

#[tokio::test]
async fn an_operator_makes_the_server_forget_a_device_which_comes_back_as_a_new_one() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "a", "1").await;
    let told = operator_output(&server.url(), &["forget-device", "--device", "phone", "--subject", "alice"]).await;
    assert!(told.contains("forgotten") && told.contains("new device"), "{told}");
    assert_eq!(phone.close_code().await, CloseCode::Moved);
    assert_eq!(known(&server).await, Vec::<String>::new());
    let mut again = server.device("alice", "phone").await;
    assert_eq!((phone.welcome.patch, again.welcome.patch), (0, 0), "the server knows nothing of the patch that it had answered");
    assert_ne!(again.welcome.known_since_ms, phone.welcome.known_since_ms);
    assert_eq!(again.open("d").await.0.len(), 1, "its records are the person's");
    // The same at a reconnect, until it is forgotten again.
    let known_since_ms = again.welcome.known_since_ms;
    drop(again);
    assert_eq!(server.device("alice", "phone").await.welcome.known_since_ms, known_since_ms);
    let path = format!("/identities/{}/devices", server.operator().identity("alice").await);
    assert_eq!(server.operator().delete(&format!("{path}/phone")).await.json()["forgotten"], true);
    assert_eq!(server.operator().delete(&format!("{path}/phone")).await.status, 404);
    assert_eq!(server.operator().delete("/identities/local:none/devices/phone").await.status, 404);
}

fn client(server: &TestServer, device: &str) -> (Device, Events) {
    let token = TokenSource::fixed(token("alice"));
    Device::connect(Settings::new(&server.url(), DeviceId::new(device).unwrap(), token).unwrap())
}

/// The unsent write of a device of the client library that is forgotten while it is away.
async fn comes_back_forgotten(server: &TestServer, forget: impl AsyncFnOnce()) {
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("d", "stays", "1").await;
    laptop.put("d", "goes", "1").await;
    let (phone, mut events) = client(server, "phone");
    phone.open(&name("d")).await.unwrap();
    wait_for("the records", phone.synced(&name("d"))).await.unwrap();
    let counted = wait_for("an answer", phone.write(&name("d"), vec![change("add count 5")])).await.unwrap();
    assert!(matches!(counted, WriteOutcome::Written { .. }));
    phone.go_offline().await.unwrap();
    laptop.write("d", &[change("remove goes")]).await;
    let reaped = "driftless_reaper_reaped_total{outcome=\"tombstones\"}";
    wait_for("reaping", async { while server.metric(reaped).await < 1.0 {} }).await;
    let based = phone.put_if_unchanged(&name("d"), key("stays"), Value::from(2)).await.unwrap().unwrap();
    let unsent = tokio::spawn({
        let phone = phone.clone();
        async move { phone.write(&name("d"), vec![based, change("put offline 1"), change("add count 1")]).await }
    });
    forget().await;
    assert!(!known(server).await.contains(&"phone".to_owned()));

    phone.go_online().await.unwrap();
    let reset = wait_for("a snapshot", events.find(|event| matches!(event, Event::Changed { reset: true, .. }))).await.unwrap();
    let Event::Changed { records, .. } = reset else { unreachable!() };
    let mut keys: Vec<_> = records.iter().map(|record| record.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["count", "stays"]);
    let outcome = wait_for("the unsent write", unsent).await.unwrap().unwrap();
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
    drop(laptop);
    let records = server.device("alice", "laptop").await.open("d").await.0;
    let mut now: Vec<_> = records.iter().map(|record| (record.key.to_string(), record.content.value().cloned())).collect();
    now.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("count", 6), ("offline", 1), ("stays", 2)].map(|(key, value)| (key.to_owned(), Some(Value::from(value))));
    assert_eq!(now, expected);
    assert!(known(server).await.contains(&"phone".to_owned()));
}

/// Tombstones expire at once, so that no test waits for a month.
const REAP_AT_ONCE: &str = "retention.tombstone_s = 0\nretention.history_s = 1\nlimits = { devices = 2 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_an_operator_forgot_gets_a_snapshot_and_its_unsent_writes_arrive() {
    let server = TestServer::with_pool(places(REAP_AT_ONCE)).await;
    comes_back_forgotten(&server, async || {
        let path = format!("/identities/{}/devices/phone", server.operator().identity("alice").await);
        assert_eq!(server.operator().delete(&path).await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_made_place_gets_a_snapshot_and_its_unsent_writes_arrive() {
    let server = TestServer::with_pool(places(REAP_AT_ONCE)).await;
    comes_back_forgotten(&server, async || {
        // The laptop has a session, the phone has none.
        wait_for("the phone's place", async {
            while server.http("alice", "tab").post("/v1/datasets/d/ack", "{\"version\":0}").await.status != 200 {}
        })
        .await;
    })
    .await;
}
