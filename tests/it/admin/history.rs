//! A dataset's history: its versions, the records at a version, comparing two versions, and restoring one.

use driftless_protocol::{Content, ServerMessage};
use serde_json::json;

use crate::support::{TestPool, TestServer, change, value};

#[tokio::test]
async fn history_lists_the_device_and_keys_of_each_version_and_a_version_can_be_read() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.write("d", &[change("put theme \"dark\""), change("put old 1")]).await;
    laptop.put("d", "theme", "\"light\"").await;
    phone.write("d", &[change("remove old"), change("add visits 1")]).await;
    let (operator, of) = (server.operator(), format!("/identities/{}/datasets/d", phone.welcome.identity));

    let history = operator.get(&format!("{of}/history")).await.json();
    assert_eq!((&history["version"], &history["oldest"]), (&json!(3), &json!(0)));
    let versions = history["versions"].as_array().unwrap();
    let brief: Vec<_> = versions.iter().map(|one| (one["version"].as_u64().unwrap(), one["device"].as_str().unwrap())).collect();
    assert_eq!(brief, [(3, "phone"), (2, "laptop"), (1, "phone")], "the newest first");
    assert_eq!(versions[0]["touched"], json!([{ "key": "old", "live": false }, { "key": "visits", "live": true }]));
    assert!(versions.iter().all(|one| one["origin"] == json!({ "by": "write" }) && one["at_ms"].as_u64() > Some(1_700_000_000_000)));
    let page = operator.get(&format!("{of}/history?below=3&limit=1")).await.json();
    assert_eq!(page["versions"].as_array().unwrap().iter().map(|one| &one["version"]).collect::<Vec<_>>(), [2]);

    let at = |records: serde_json::Value| -> Vec<(String, serde_json::Value)> {
        let one = |record: &serde_json::Value| (record["key"].as_str().unwrap().to_owned(), record["value"].clone());
        records["records"].as_array().unwrap().iter().map(one).collect()
    };
    assert_eq!(at(operator.get(&format!("{of}/at/1")).await.json()), [("old".to_owned(), json!(1)), ("theme".to_owned(), json!("dark"))]);
    assert_eq!(at(operator.get(&format!("{of}/at/0")).await.json()), []);

    let compared = operator.get(&format!("{of}/compare?first=1&second=3")).await.json();
    let one = |one: &serde_json::Value| (one["key"].clone(), one["before"]["value"].clone(), one["after"]["value"].clone());
    let differences: Vec<_> = compared["differences"].as_array().unwrap().iter().map(one).collect();
    assert_eq!(
        differences,
        [(json!("old"), json!(1), json!(null)), (json!("theme"), json!("dark"), json!("light")), (json!("visits"), json!(null), json!(1))]
    );
}

#[tokio::test]
async fn a_restored_version_reaches_live_devices_and_conflicts_with_what_they_saw_before() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.put("d", "theme", "\"dark\"").await;
    phone.write("d", &[change("put theme \"light\""), change("put new 1")]).await;
    laptop.open("d").await;
    let of = format!("/identities/{}/datasets/d", phone.welcome.identity);
    let restored = server.operator().post(&format!("{of}/restore"), r#"{"version":1}"#).await.json();
    assert_eq!((&restored["version"], &restored["records"]), (&json!(3), &json!(2)));

    let (from, to, records) = laptop.receive_changes().await;
    assert_eq!((from, to), (2, 3), "the restore is sent as a change");
    let by_key = |key: &str| records.iter().find(|record| record.key.as_str() == key).unwrap();
    assert_eq!((by_key("theme").content.value(), by_key("theme").device.as_str()), (Some(&value("\"dark\"")), "~operator"));
    assert_eq!(by_key("new").content, Content::Removed);
    // The phone writes with the base that it has: version 2.
    let mut based = change("put theme \"blue\"");
    based.base = Some(2);
    let ServerMessage::Conflict { records, .. } = phone.try_write("d", &[based]).await else { panic!("no conflict") };
    assert_eq!(records[0].version, 3);
    // The restore is in the history, and restoring the same version again changes nothing.
    let history = server.operator().get(&format!("{of}/history?limit=1")).await.json();
    assert_eq!(history["versions"][0]["origin"], json!({ "by": "restore", "to": 1 }));
    let again = server.operator().post(&format!("{of}/restore"), r#"{"version":1}"#).await.json();
    assert_eq!(again["version"], json!(null));
    laptop.assert_quiet().await;
}

#[tokio::test]
async fn a_version_that_history_no_longer_keeps_is_refused() {
    let server = TestServer::with_pool(TestPool { pool: "retention.history_versions = 0", ..TestPool::default() }).await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "k", "1").await;
    phone.put("d", "k", "2").await;
    let of = format!("/identities/{}/datasets/d", phone.welcome.identity);
    let refused = server.operator().post(&format!("{of}/restore"), r#"{"version":1}"#).await;
    assert!(refused.status == 404 && refused.text().contains("holds versions 2 to 2"), "{}", refused.text());
    assert_eq!(server.operator().get(&format!("{of}/at/1")).await.status, 404);
    assert_eq!(server.operator().get(&format!("{of}/at/2")).await.json()["records"][0]["value"], json!(2));
    assert_eq!(phone.put("d", "k", "3").await, 3, "nothing was written");
}

#[tokio::test]
async fn an_operator_reads_conflicts_without_their_values() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.put("d", "k", "\"planted\"").await;
    let mut based = change("put k 2");
    based.base = Some(0);
    assert!(matches!(laptop.try_write("d", &[based]).await, ServerMessage::Conflict { .. }));
    let reply = server.operator().get(&format!("/identities/{}/datasets/d/conflicts", phone.welcome.identity)).await;
    let conflict = &reply.json()["conflicts"][0];
    assert_eq!((&conflict["device"], &conflict["applied"]), (&json!("laptop"), &json!(false)));
    assert_eq!(conflict["records"], json!([{ "key": "k", "version": 1, "device": "phone" }]));
    assert!(!reply.text().contains("planted"));
}
