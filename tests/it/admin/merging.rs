//! Linking of logins to one identity, and merging of one identity into another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use driftless_client::{Device, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{CloseCode, DeviceId};
use serde_json::{Value, json};

use crate::support::{DeviceHttp, TestDevice, TestPool, TestServer, change, key, name, raw_request, token, value, wait_for};

const POLICIES: &str = "datasets = { newest = \"last-writer-wins\" }";

async fn merge(server: &TestServer, from: &str, into: &str) -> Value {
    server.operator().post(&format!("/identities/{from}/merge"), &json!({ "into": into }).to_string()).await.json()
}

#[tokio::test]
async fn a_guest_becomes_part_of_the_user_and_nothing_is_lost() {
    let server = TestServer::with_pool(TestPool { pool: POLICIES, ..TestPool::default() }).await;
    let (mut user, mut guest) = (server.device("user", "laptop").await, server.device("guest", "phone").await);
    for dataset in ["notes", "newest"] {
        user.write(dataset, &[change("put both \"user\""), change("put same 1"), change("put users 1")]).await;
        guest.write(dataset, &[change("put both \"guest\""), change("put same 1"), change("put guests 1")]).await;
    }
    guest.put("drafts", "only", "\"guest\"").await;
    for dataset in ["notes", "newest", "drafts"] {
        user.open(dataset).await;
    }
    let (from, into) = (guest.welcome.identity.clone(), user.welcome.identity.clone());
    assert_eq!(merge(&server, &from, &into).await, json!({ "merged": from, "into": into, "datasets": 3, "finished": true }));

    assert_eq!(guest.close_code().await, CloseCode::Moved);
    let mut heard = BTreeMap::new();
    for _ in 0..3 {
        let (_, _, records) = user.receive_changes().await;
        heard.extend(records.into_iter().map(|record| (record.key.to_string(), record.content.value().cloned())));
    }
    let heard: Vec<_> = heard.iter().map(|(key, heard)| (key.as_str(), heard.clone().unwrap())).collect();
    // Under `reject` the user's record stands; under `last-writer-wins` the guest's, which is newer.
    assert_eq!(heard, [("both", value("\"guest\"")), ("guests", value("1")), ("only", value("\"guest\""))]);

    // The guest's token now signs in to the user's identity, and the welcome names the merged one.
    let mut phone = TestDevice::connect(&server.url(), &token("guest"), "phone").await;
    assert_eq!((&phone.welcome.identity, &phone.welcome.merged), (&into, &vec![from.clone()]));
    for (dataset, both) in [("notes", "\"user\""), ("newest", "\"guest\"")] {
        let (records, _) = phone.open(dataset).await;
        let of = |at: &str| records.iter().find(|record| record.key == key(at)).and_then(|record| record.content.value());
        assert_eq!((of("both"), of("guests"), of("users")), (Some(&value(both)), Some(&value("1")), Some(&value("1"))), "{dataset}");
    }
    let history = server.operator().get(&format!("/identities/{into}/datasets/notes/history?limit=1")).await.json();
    assert_eq!(history["versions"][0]["origin"], json!({ "by": "merge", "from": from }));
    assert_eq!(history["versions"][0]["not_taken"][0]["value"], "guest", "the value not taken is in the history");
    assert_eq!(server.operator().get(&format!("/identities/{from}")).await.status, 404);
}

#[tokio::test]
async fn identities_of_different_pools_are_neither_merged_nor_linked() {
    let other = format!(
        "\n[[pools.other.issuers]]\nissuer = \"other\"\naudience = [\"other\"]\nsecret = {:?}\n",
        "a secret that only this test and its issuer know"
    );
    let server = TestServer::with_pool(TestPool { pool: other.leak(), ..TestPool::default() }).await;
    let foreign = driftless::dev::mint_for("a secret that only this test and its issuer know", "other", "other", "user", 3600).unwrap();
    let (guest, user) = (server.device("guest", "phone").await, TestDevice::connect(&server.url(), &foreign, "phone").await);
    let body = json!({ "into": user.welcome.identity }).to_string();
    let refused = server.operator().post(&format!("/identities/{}/merge", guest.welcome.identity), &body).await;
    assert!(refused.status == 409 && refused.text().contains("different pools"), "{}", refused.text());
    let refused = server.http("guest", "phone").post("/v1/identity/link", &json!({ "token": foreign }).to_string()).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("other_identity")), "{}", refused.body);
    assert_eq!(server.device("guest", "phone").await.welcome.identity, guest.welcome.identity);
}

/// Writes to a new key each time until the client ends, and collects the keys of acknowledged writes.
async fn keep_writing(device: Device, id: &'static str, acknowledged: Arc<Mutex<Vec<String>>>) {
    for n in 1.. {
        let at = format!("{id}.{n}");
        match device.write(&name("d"), vec![change(&format!("put {at} {n}")), change("add count 1")]).await {
            Ok(WriteOutcome::Written { .. }) => acknowledged.lock().unwrap().push(at),
            Ok(other) => panic!("{at}: {other:?}"),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_to_either_side_of_a_merge_are_not_lost() {
    let server = TestServer::start().await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (mut devices, mut writers, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for (person, id) in [("user", "laptop"), ("guest", "phone")] {
        let settings = Settings::new(&server.url(), DeviceId::new(id).unwrap(), TokenSource::fixed(token(person))).unwrap();
        let (device, heard) = Device::connect(settings);
        device.open(&name("d")).await.unwrap();
        writers.push(tokio::spawn(keep_writing(device.clone(), id, Arc::clone(&acknowledged))));
        events.push(tokio::spawn(async move {
            let mut heard = heard;
            while heard.find(|_| false).await.is_some() {}
        }));
        devices.push(device);
    }
    let more = async |of: &str, count: usize| {
        let known = || acknowledged.lock().unwrap().iter().filter(|at| at.starts_with(of)).count();
        let enough = known() + count;
        wait_for("more acknowledged writes", async {
            while known() < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    more("laptop", 50).await;
    more("phone", 50).await;
    let (from, into) = (server.operator().identity("guest").await, server.operator().identity("user").await);
    merge(&server, &from, &into).await;
    more("laptop", 50).await;
    more("phone", 50).await;
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    // A device's patches are answered in order: after this answer none of its patches is in flight.
    for device in &devices {
        assert!(matches!(
            wait_for("the last write", device.write(&name("d"), vec![change("put end 1")])).await,
            Ok(WriteOutcome::Written { .. })
        ));
    }
    let (records, _) = TestDevice::connect(&server.url(), &token("guest"), "tablet").await.open("d").await;
    let known = acknowledged.lock().unwrap();
    let there: BTreeSet<_> = records.iter().map(|record| record.key.as_str()).collect();
    let lost: Vec<_> = known.iter().filter(|at| !there.contains(at.as_str())).collect();
    assert!(known.len() >= 200 && lost.is_empty(), "{} acknowledged, lost: {lost:?}", known.len());
}

fn link(of: &TestServer, person: &str, device: &str, token: &str) -> impl Future<Output = crate::support::DeviceHttpResponse> {
    let (http, body) = (of.http(person, device), json!({ "token": token }).to_string());
    async move { http.post("/v1/identity/link", &body).await }
}

#[tokio::test]
async fn a_second_login_leads_to_the_same_identity() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "k", "1").await;
    let identity = phone.welcome.identity.clone();
    for _ in 0..2 {
        let linked = link(&server, "alice", "phone", &token("alice-at-work")).await;
        assert_eq!(linked.json(), json!({ "identity": identity, "merged": false }));
    }
    let mut work = server.device("alice-at-work", "laptop").await;
    assert_eq!(work.welcome.identity, identity);
    assert_eq!(work.open("d").await.0.len(), 1);
    phone.put("d", "k", "2").await;
    assert_eq!(work.receive_changes().await.1, 2, "both logins share the dataset");

    // An operator links a login.
    let body = json!({ "issuer": driftless::dev::ISSUER, "subject": "alice-on-tv" }).to_string();
    assert_eq!(server.operator().post(&format!("/identities/{identity}/logins"), &body).await.status, 200);
    assert_eq!(server.device("alice-on-tv", "tv").await.welcome.identity, identity);
    let bob = server.device("bob", "phone").await.welcome.identity;
    let refused = server.operator().post(&format!("/identities/{bob}/logins"), &body).await;
    assert!(refused.status == 409 && refused.text().contains(&identity), "{}", refused.text());
}

#[tokio::test]
async fn a_guest_who_signs_in_to_an_account_brings_its_data() {
    let server = TestServer::start().await;
    let (mut user, mut guest) = (server.device("user", "laptop").await, server.device("guest", "phone").await);
    user.put("d", "users", "1").await;
    guest.put("d", "guests", "1").await;
    user.open("d").await;
    let signed = link(&server, "guest", "phone", &token("user")).await;
    assert_eq!(signed.json(), json!({ "identity": user.welcome.identity, "merged": true }));
    assert_eq!(guest.close_code().await, CloseCode::Moved);
    assert_eq!(user.receive_changes().await.2[0].key, key("guests"));
    // The device may have lost the answer: a second request gets the same identity, and merges nothing.
    let again = link(&server, "guest", "phone", &token("user")).await;
    assert_eq!(again.json(), json!({ "identity": user.welcome.identity, "merged": false }));
    // HTTP responses name the identity, too: the guest's positions are not valid in it.
    let answer = server.http("guest", "phone").get("/v1/datasets/d/changes").await;
    assert!(answer.head.contains(&format!("driftless-identity: {}", user.welcome.identity)), "{}", answer.head);
    let request = format!(
        "GET /v1/datasets HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {}\r\nDriftless-Device: phone\r\n\
         Driftless-Identity: {}\r\n\r\n",
        token("guest"),
        guest.welcome.identity
    );
    let refused = raw_request(server.address(), request.as_bytes()).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("other_identity")));
}

#[tokio::test]
async fn a_link_needs_a_valid_token_of_each_login() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.device("alice", "phone").await, server.device("bob", "phone").await);
    for bad in ["", "no.token.atall", &token("bob")[1..], &crate::support::token_for("bob", -3600)] {
        assert_eq!(link(&server, "alice", "phone", bad).await.status, 401, "{bad}");
    }
    let nobody = DeviceHttp::new(server.address(), "no.token.atall", "phone");
    assert_eq!(nobody.post("/v1/identity/link", &json!({ "token": token("bob") }).to_string()).await.status, 401);
    for body in ["", "[]", "{}", "{\"token\":7}"] {
        let refused = server.http("alice", "phone").post("/v1/identity/link", body).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("bad_request")), "{body}");
    }
    for (person, before) in [("alice", alice), ("bob", bob)] {
        assert_eq!(server.device(person, "phone").await.welcome.identity, before.welcome.identity);
    }
}
