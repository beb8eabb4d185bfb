//! Export and erasure of an identity's data.

use driftless::store::{EngineConfig, Identity, Store};
use driftless_protocol::{CloseCode, Epoch};
use serde_json::{Value, json};

use crate::support::{Bystander, TestDevice, TestServer, change, token};

#[tokio::test]
async fn an_export_contains_all_data_of_one_identity_and_none_of_another() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.write("notes", &[change("put first \"alices-first\""), change("put gone 1")]).await;
    laptop.write("notes", &[change("put first \"alices-second\""), change("remove gone")]).await;
    let large = format!("put large \"{}\"", "x".repeat(600_000));
    for dataset in ["files", "more-files"] {
        phone.write(dataset, &[change(&large), change("put small 1")]).await;
    }
    server.device("bob", "bobs-phone").await.put("bobs-notes", "k", "\"bobs-value\"").await;

    let operator = server.operator();
    let alice = operator.identity("alice").await;
    assert_eq!(alice, phone.welcome.identity);
    let reply = operator.get(&format!("/identities/{alice}/export")).await;
    let document = reply.json();
    assert_eq!((&document["format"], &document["identity"]), (&json!(1), &json!(alice)));
    let list = |name: &str, member: &str| -> Vec<Value> {
        let list = document[name].as_array().unwrap_or_else(|| panic!("no list {name}"));
        list.iter().map(|one| one[member].clone()).collect()
    };
    assert_eq!(document["identities"][0]["pool"], "demo");
    assert_eq!(list("logins", "subject"), [json!("alice")]);
    assert_eq!(sorted(list("devices", "device")), ["laptop", "phone"]);
    assert_eq!(sorted(list("datasets", "dataset")), ["files", "more-files", "notes"]);
    assert_eq!(sorted(list("records", "key")), ["first", "gone", "large", "large", "small", "small"]);
    assert_eq!(list("history", "version").len(), 4);
    assert!(reply.text().contains("alices-first"), "the export has replaced values");
    assert!(reply.text().contains(&"x".repeat(600_000)), "a large value is complete");
    assert!(!reply.text().contains("bob"), "no data of another user");
}

fn sorted(values: Vec<Value>) -> Vec<String> {
    let mut texts: Vec<String> = values.into_iter().map(|value| value.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn an_erased_identity_is_deleted_at_once_and_for_good() {
    let mut server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    for dataset in ["a", "b", "c"] {
        phone.write(dataset, &[change("put k 1"), change("put gone 1")]).await;
        laptop.write(dataset, &[change("put k 2"), change("remove gone")]).await;
    }
    let (operator, alice) = (server.operator(), phone.welcome.identity.clone());
    let erased = operator.delete(&format!("/identities/{alice}")).await.json();
    assert_eq!(erased, json!({ "erased": alice, "finished": true }));
    assert_eq!((phone.close_code().await, laptop.close_code().await), (CloseCode::Erased, CloseCode::Erased));

    for path in [format!("/identities/{alice}"), format!("/identities/{alice}/export"), format!("/identities/{alice}/datasets/a/at/2")] {
        let reply = operator.get(&path).await;
        assert!(reply.status == 404 && reply.text().contains("no such identity"), "{path}: {}", reply.text());
    }
    assert_eq!(operator.delete(&format!("/identities/{alice}")).await.status, 404);
    assert_eq!(operator.get("/identities?pool=demo&subject=alice").await.json()["logins"], json!([]));
    bystander.assert_undisturbed().await;

    // The same token now signs in to a new, empty identity.
    let mut again = TestDevice::connect(&server.url(), &token("alice"), "phone").await;
    assert_ne!(again.welcome.identity, alice);
    assert_eq!((again.welcome.patch, again.welcome.merged.len()), (0, 0));
    assert_eq!(again.open("a").await.0, []);
    assert_eq!(again.put("a", "k", "3").await, 1);

    drop((again, bystander));
    server.stop().await;
    let store = Store::open(&server.folder().join("store"), &EngineConfig::default(), &Epoch::new("unused").unwrap()).unwrap();
    assert_eq!(store.background_jobs(None, 10).unwrap(), []);
    let (document, rest) = store.export(&Identity::from(alice.as_str()), Default::default()).unwrap();
    assert!(rest.is_none());
    let document: Value = serde_json::from_str(&document).unwrap();
    let left: Vec<_> = document.as_object().unwrap().values().filter_map(Value::as_array).filter(|list| !list.is_empty()).collect();
    assert!(left.is_empty(), "{left:?}");
}
