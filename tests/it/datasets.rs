//! Datasets: writes, changes sent to other devices, conflicts, catching up, limits.

use driftless_protocol::{ClientMessage, Codec, Content, Epoch, Position, RefusalCode, ServerMessage};

use crate::support::{TestDevice, TestPool, TestServer, change, key, name, token, value};

#[tokio::test]
async fn a_write_of_one_device_is_sent_to_the_other() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    assert_eq!(phone.welcome.identity, laptop.welcome.identity);
    laptop.open("settings").await;
    let version = phone.put("settings", "theme", "\"dark\"").await;
    let (from, to, records) = laptop.receive_changes().await;
    assert_eq!((from, to, version), (0, 1, 1));
    assert_eq!((records[0].key.as_str(), &records[0].content), ("theme", &Content::Value(value("\"dark\""))));
    assert_eq!(records[0].device.as_str(), "phone");
}

#[tokio::test]
async fn both_codecs_carry_the_same_values() {
    let server = TestServer::start().await;
    let mut packed = TestDevice::connect_with_codec(&server.url(), &token("alice"), "packed", Codec::MsgPack).await;
    let mut json = TestDevice::connect_with_codec(&server.url(), &token("alice"), "json", Codec::Json).await;
    packed.open("d").await;
    json.open("d").await;
    let odd = r#"{"n":[1,-1,1.5,9007199254740993,18446744073709551615,1e300],"t":"ü\u0000\n","b":[true,null,{}]}"#;
    packed.put("d", "a", odd).await;
    let from_packed = json.receive_changes().await.2;
    json.put("d", "b", odd).await;
    let from_json = packed.receive_changes().await.2;
    assert_eq!(from_packed[0].content, Content::Value(value(odd)));
    assert_eq!(from_json[0].content, from_packed[0].content);
}

#[tokio::test]
async fn the_writer_is_not_sent_its_own_write() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.open("settings").await;
    for n in 1..=5 {
        assert_eq!(phone.put("settings", "n", &n.to_string()).await, n);
    }
    phone.assert_quiet().await;
}

#[tokio::test]
async fn a_writer_that_pipelines_is_not_sent_its_own_writes() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.open("settings").await;
    // Each `list` makes the session look for changes while writes are in flight.
    for round in 0..100 {
        for _ in 0..10 {
            phone.send_patch("settings", &[change(&format!("put n {round}"))]).await;
            phone.send_message(ClientMessage::List).await;
        }
        for _ in 0..20 {
            let heard = phone.receive().await;
            assert!(matches!(heard, ServerMessage::Written { .. } | ServerMessage::Datasets { .. }), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn concurrent_writers_receive_each_others_changes_up_to_their_own_version() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.open("d").await;
    laptop.open("d").await;
    // Both write at once, many times: the second of the two has a foreign version before its own.
    for round in 0..50 {
        phone.send_patch("d", &[change(&format!("put p {round}"))]).await;
        laptop.send_patch("d", &[change(&format!("put l {round}"))]).await;
        for device in [&mut phone, &mut laptop] {
            let (mut seen, mut written) = (round * 2, false);
            while seen < round * 2 + 2 || !written {
                match device.receive().await {
                    ServerMessage::Written { version, .. } => {
                        written = true;
                        if version == seen + 1 {
                            seen = version;
                        }
                    }
                    ServerMessage::Changes { from, to, .. } => {
                        assert_eq!(from, seen, "changes start at the version before");
                        seen = to;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(seen, round * 2 + 2);
        }
    }
    phone.assert_quiet().await;
    laptop.assert_quiet().await;
}

#[tokio::test]
async fn the_result_of_every_operation_reaches_the_writer_and_other_devices() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    laptop.open("d").await;
    phone.put("d", "old", "1").await;
    laptop.receive_changes().await;
    let patch = [
        change("put theme \"dark\""),
        change("remove old"),
        change("add visits 2"),
        change("merge profile {\"name\":\"Ann\",\"age\":null}"),
        change("insert tags [\"a\",\"b\",\"a\"]"),
        change("discard tags [\"b\"]"),
    ];
    let ServerMessage::Written { version: 2, records, .. } = phone.try_write("d", &patch).await else { panic!("not written") };
    let results: Vec<_> =
        records.iter().map(|r| (r.key.as_str(), r.content.value().map(ToString::to_string).unwrap_or_default())).collect();
    let expected = [("visits", "2"), ("profile", "{\"name\":\"Ann\"}"), ("tags", "[\"a\"]")];
    assert_eq!(results, expected.map(|(key, value)| (key, value.to_owned())));
    let (_, _, records) = laptop.receive_changes().await;
    assert_eq!(records.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["theme", "old", "visits", "profile", "tags"]);
    assert_eq!(records[1].content, Content::Removed);
}

#[tokio::test]
async fn a_conflict_is_rejected_with_the_current_record_and_can_be_resolved() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    let seen = phone.put("d", "theme", "\"light\"").await;
    laptop.write("d", &[change("put theme \"dark\"").with_base(seen)]).await;
    let patch = [change("put other 1"), change("put theme \"blue\"").with_base(seen)];
    let ServerMessage::Conflict { records, .. } = phone.try_write("d", &patch).await else { panic!("no conflict") };
    assert_eq!((records.len(), records[0].version, records[0].device.as_str()), (1, 2, "laptop"));
    // No change of the patch was applied.
    let (now, _) = phone.open("d").await;
    assert_eq!(now.len(), 1);
    assert_eq!(phone.write("d", &[change("put theme \"blue\"").with_base(records[0].version)]).await, 3);
}

#[tokio::test]
async fn equal_values_and_own_writes_do_not_conflict() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    phone.write("d", &[change("put a 1").with_base(0)]).await;
    laptop.write("d", &[change("put a 1.0").with_base(0)]).await;
    phone.put("d", "b", "1").await;
    phone.write("d", &[change("put b 2").with_base(0)]).await;
    phone.write("d", &[change("remove a")]).await;
    laptop.write("d", &[change("remove a").with_base(1)]).await;
}

#[tokio::test]
async fn a_conflicting_write_is_applied_under_last_writer_wins_and_rejected_otherwise() {
    let server = TestServer::with_pool(TestPool { pool: "datasets = { notes = \"last-writer-wins\" }", ..TestPool::default() }).await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    for (dataset, wins) in [("notes", true), ("settings", false)] {
        phone.put(dataset, "k", "1").await;
        let answer = laptop.try_write(dataset, &[change("put k 2").with_base(0)]).await;
        assert_eq!(matches!(answer, ServerMessage::Written { .. }), wins, "{dataset}: {answer:?}");
    }
}

#[tokio::test]
async fn a_retry_after_a_lost_reply_is_applied_once() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    let add = ClientMessage::Write { id: 1, dataset: name("d"), changes: vec![change("add n 1")], offer: false };
    phone.send_message(add.clone()).await;
    let first = phone.receive().await;
    for _ in 0..3 {
        // The device reconnects, and writes another patch before it repeats the first.
        let mut again = server.device("alice", "phone").await;
        assert!(again.welcome.patch >= 1);
        again.write("d", &[change("put other 1")]).await;
        again.send_message(add.clone()).await;
        assert_eq!(again.receive().await, first, "the first answer");
        let (records, _) = again.open("d").await;
        let n = records.iter().find(|record| record.key == key("n")).unwrap();
        assert_eq!(n.content, Content::Value(value("1")));
    }
}

#[tokio::test]
async fn a_reused_patch_number_and_an_expired_one_are_refused() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    for n in 1..=70 {
        phone.put("d", "n", &n.to_string()).await;
    }
    let write = |id, changes: &str| ClientMessage::Write { id, dataset: name("d"), changes: vec![change(changes)], offer: false };
    phone.send_message(write(70, "put n 71")).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::PatchReused);
    phone.send_message(write(3, "put n 3")).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::PatchExpired);
    phone.send_message(write(70, "put n 70")).await;
    assert!(matches!(phone.receive().await, ServerMessage::Written { id: 70, version: 70, .. }));
    phone.send_message(write(71, "insert n [1]")).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::WrongType);
    phone.send_message(write(71, "put n 71")).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::PatchReused, "a refused patch keeps its number");
}

#[tokio::test]
async fn a_device_at_a_position_receives_exactly_the_changes_after_it() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    for n in 0..10 {
        phone.put("d", &format!("k{n}"), "0").await;
    }
    let (_, position) = server.device("alice", "laptop").await.open("d").await;
    assert_eq!(position.version, 10);
    phone.put("d", "k3", "1").await;
    phone.put("d", "k3", "2").await;
    phone.write("d", &[change("remove k4")]).await;
    let mut laptop = server.device("alice", "laptop").await;
    let (changed, position) = laptop.open_at("d", Some(position)).await;
    let seen: Vec<_> = changed.iter().map(|r| (r.key.as_str(), r.version, r.content.value().is_some())).collect();
    assert_eq!(seen, [("k3", 12, true), ("k4", 13, false)]);
    assert_eq!(position.version, 13);
    // The next open sends nothing twice.
    let (changed, _) = laptop.open_at("d", Some(position)).await;
    assert!(changed.is_empty());
}

#[tokio::test]
async fn a_position_of_another_epoch_or_ahead_of_the_server_is_reset() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "a", "1").await;
    phone.put("d", "gone", "1").await;
    phone.write("d", &[change("remove gone")]).await;
    let (_, here) = phone.open("d").await;
    let elsewhere = Position { epoch: Epoch::new("another-epoch").unwrap(), version: 2 };
    let ahead = Position { version: 99, ..here };
    for position in [elsewhere, ahead] {
        phone.send_message(ClientMessage::Open { dataset: name("d"), position: Some(position) }).await;
        let ServerMessage::Changes { from: 0, to: 3, reset: true, more: false, records, .. } = phone.receive().await else {
            panic!("no reset")
        };
        assert_eq!(records.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["a"], "a snapshot has no tombstones");
    }
}

#[tokio::test]
async fn a_long_catch_up_is_sent_in_pages_and_large_values_are_not_split() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    phone.put("d", "large", &large).await;
    let patch: Vec<_> = (0..1000).map(|n| change(&format!("put k{n} \"{}\"", "y".repeat(500)))).collect();
    phone.write("d", &patch).await;
    phone.put("d", "last", "1").await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.send_message(ClientMessage::Open { dataset: name("d"), position: None }).await;
    let (mut pages, mut seen, mut at) = (0, std::collections::BTreeMap::new(), 0);
    loop {
        let ServerMessage::Changes { from, to, more, records, .. } = laptop.receive().await else { panic!("not changes") };
        assert_eq!(from, at, "pages follow each other");
        (at, pages) = (to, pages + 1);
        seen.extend(records.into_iter().map(|record| (record.key.clone(), record)));
        if !more {
            break;
        }
    }
    assert_eq!((at, seen.len()), (3, 1002));
    assert!(pages >= 6, "{pages} pages");
    assert_eq!(seen[&key("large")].content, Content::Value(value(&large)));
}

#[tokio::test]
async fn data_and_identity_survive_a_restart() {
    let mut server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "a", "1").await;
    let (_, before) = phone.open("d").await;
    let identity = phone.welcome.identity.clone();
    drop(phone);
    server.restart().await;
    let mut phone = server.device("alice", "phone").await;
    assert_eq!((phone.welcome.identity.clone(), phone.welcome.patch), (identity, 1));
    let (records, after) = phone.open("d").await;
    assert_eq!((records.len(), after), (1, before));
}

#[tokio::test]
async fn a_user_sees_no_data_of_another_user() {
    let server = TestServer::start().await;
    let (mut alice, mut bob) = (server.device("alice", "phone").await, server.device("bob", "phone").await);
    assert_ne!(alice.welcome.identity, bob.welcome.identity);
    bob.open("d").await;
    alice.put("d", "secret", "1").await;
    bob.assert_quiet().await;
    assert_eq!(bob.open("d").await.0.len(), 0);
    let listed = server.http("bob", "other").get("/v1/datasets").await;
    assert_eq!(listed.json()["datasets"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn reads_writes_and_acknowledgements_work_over_http() {
    let server = TestServer::start().await;
    let (http, mut phone) = (server.http("alice", "woken"), server.device("alice", "phone").await);
    phone.open("d").await;
    let written = http.post("/v1/datasets/d/write", r#"{"id":1,"changes":[{"key":"a","op":"put","value":1}]}"#).await;
    assert_eq!((written.status, written.json()["version"].as_u64()), (200, Some(1)));
    assert_eq!(phone.receive_changes().await.2[0].device.as_str(), "woken");
    let changes = http.get("/v1/datasets/d/changes").await.json();
    assert_eq!((changes["to"].as_u64(), changes["records"][0]["key"].as_str()), (Some(1), Some("a")));
    let epoch = changes["epoch"].as_str().unwrap().to_owned();
    phone.put("d", "b", "2").await;
    let since = http.get(&format!("/v1/datasets/d/changes?epoch={epoch}&version=1")).await.json();
    assert_eq!((since["from"].as_u64(), since["records"].as_array().map(Vec::len)), (Some(1), Some(1)));
    assert_eq!(http.post("/v1/datasets/d/ack", r#"{"version":2}"#).await.status, 200);
    assert_eq!(http.post("/v1/datasets/d/ack", r#"{"version":3}"#).await.status, 409);
    let conflict = http.post("/v1/datasets/d/write", r#"{"id":2,"changes":[{"key":"b","op":"put","value":3,"base":0}]}"#).await;
    assert_eq!((conflict.status, conflict.json()["records"][0]["version"].as_u64()), (409, Some(2)));
    let again = http.post("/v1/datasets/d/write", r#"{"id":2,"changes":[{"key":"b","op":"put","value":3,"base":0}]}"#).await;
    assert_eq!((again.status, again.body), (409, conflict.body), "the same answer again");
    let listed = http.get("/v1/datasets").await.json();
    assert_eq!((listed["datasets"][0]["dataset"].as_str(), listed["datasets"][0]["records"].as_u64()), (Some("d"), Some(2)));
}

#[tokio::test]
async fn http_pages_never_split_a_version() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    let patch: Vec<_> = (0..500).map(|n| change(&format!("put k{n} \"{}\"", "y".repeat(1000)))).collect();
    phone.write("d", &patch).await;
    for n in 0..100 {
        phone.put("d", &format!("n{n}"), &format!("\"{}\"", "z".repeat(1000))).await;
    }
    let http = server.http("alice", "woken");
    let first = http.get("/v1/datasets/d/changes").await.json();
    let (mut at, mut count) = (first["to"].as_u64().unwrap(), first["records"].as_array().unwrap().len());
    assert!(at >= 1 && first["more"].as_bool().unwrap(), "all of the first version, and not all later ones");
    assert_eq!(count as u64, 500 + at - 1, "complete versions");
    let epoch = first["epoch"].as_str().unwrap();
    loop {
        let next = http.get(&format!("/v1/datasets/d/changes?epoch={epoch}&version={at}")).await.json();
        assert_eq!(next["from"].as_u64(), Some(at));
        at = next["to"].as_u64().unwrap();
        count += next["records"].as_array().unwrap().len();
        if !next["more"].as_bool().unwrap() {
            break;
        }
    }
    assert_eq!((at, count), (101, 600));
}

#[tokio::test]
async fn the_limits_of_a_pool_are_enforced_and_announced() {
    let pool = "[pools.demo.limits]\nkey_bytes = 10\nvalue_bytes = 100\nchanges_per_patch = 3\nrecords = 4\ndataset_bytes = 300\ndatasets = 2\ndevices = 2";
    let server = TestServer::with_pool(TestPool { pool, ..TestPool::default() }).await;
    let mut phone = server.device("alice", "phone").await;
    assert_eq!(phone.welcome.limits.records, 4);
    let long = "x".repeat(90);
    let refused = [
        (vec![change("put 12345678901 1")], RefusalCode::TooLarge),
        (vec![change(&format!("put k \"{}\"", "x".repeat(100)))], RefusalCode::TooLarge),
        (vec![], RefusalCode::TooManyChanges),
        (vec![change("put a 1"); 4], RefusalCode::TooManyChanges),
        (vec![change("add k \"x\"")], RefusalCode::WrongType),
        (vec![change("add k 1").with_base(1)], RefusalCode::BadRequest),
        (vec![change("put k")], RefusalCode::BadRequest),
        (vec![change("remove k 1")], RefusalCode::BadRequest),
    ];
    for (patch, code) in refused {
        phone.send_patch("d", &patch).await;
        assert_eq!(phone.receive_refusal().await, code, "{patch:?}");
    }
    for k in 0..3 {
        phone.put("d", &format!("k{k}"), &format!("\"{long}\"")).await;
    }
    phone.send_patch("d", &[change(&format!("put k3 \"{long}\""))]).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::DatasetFull);
    phone.put("d", "k3", "1").await;
    phone.send_patch("d", &[change("put k4 1")]).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::TooManyRecords);
    phone.write("d", &[change("remove k0"), change("put k4 1")]).await;
    phone.put("e", "k", "1").await;
    phone.send_patch("f", &[change("put k 1")]).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::TooManyDatasets);
    let _laptop = server.device("alice", "laptop").await;
    let third = TestDevice::connect_refused(&server.url(), &token("alice"), "tablet").await;
    assert_eq!(third.code(), Some(driftless_protocol::CloseCode::TooManyDevices));
    assert_eq!(server.http("alice", "watch").post("/v1/datasets/d/ack", "{\"version\":1}").await.status, 403);
}
