//! A backup is restored while devices have newer records: they offer the server what it lost, removed records stay removed or conflict, and
//! unsent writes are applied once. With the real binary, its commands, and the real client library.

use std::path::Path;

use driftless_client::{Device, Event, Events, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{ClientMessage, Content, DeviceId, ServerMessage, Value};
use tempfile::TempDir;

use crate::support::{DriftlessProcess, TestPool, TestServer, change, driftless, key, name, token, wait_for};

fn connect(url: &str, id: &str) -> (Device, Events) {
    connect_as("alice", url, id)
}

fn connect_as(person: &str, url: &str, id: &str) -> (Device, Events) {
    let settings = Settings::new(url, DeviceId::new(id).unwrap(), TokenSource::fixed(token(person))).unwrap();
    Device::connect(settings)
}

/// Runs an operator command, which must succeed.
async fn run_command(arguments: &[&str]) -> String {
    let output = wait_for("the command's end", driftless().args(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn write(device: &Device, text: &str) -> u64 {
    match wait_for(text, device.write(&name("d"), vec![change(text)])).await.unwrap() {
        WriteOutcome::Written { version, .. } => version,
        other => panic!("{text}: {other:?}"),
    }
}

async fn wait_for_event(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    wait_for(what, async {
        loop {
            let event = events.recv().await.expect("the device runs");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

async fn wait_for_version(device: &Device, events: &mut Events, version: u64) {
    while device.position(&name("d")).await.unwrap().is_none_or(|position| position.version < version) {
        wait_for_event(events, "a change", |event| matches!(event, Event::Changed { .. })).await;
    }
}

async fn contents(device: &Device) -> Vec<(String, Value)> {
    let records = device.records(&name("d")).await.unwrap().unwrap();
    let value = |content: &Content| content.value().cloned().unwrap();
    records.values().map(|record| (record.key.to_string(), value(&record.content))).collect()
}

async fn start_restored(file: &Path, folder: &Path, listen: &str) -> DriftlessProcess {
    run_command(&["restore", file.to_str().unwrap(), "--data", folder.to_str().unwrap()]).await;
    DriftlessProcess::start(folder, listen, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_recovers_its_devices_records_but_not_removed_ones() {
    let folder = TempDir::new().unwrap();
    let (first, second, file) = (folder.path().join("first"), folder.path().join("second"), folder.path().join("demo.backup"));
    let server = DriftlessProcess::start(&first, "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    let ((phone, mut phone_events), (laptop, mut laptop_events)) = (connect(&url, "phone"), connect(&url, "laptop"));
    for one in [&phone, &laptop] {
        one.open(&name("d")).await.unwrap();
        wait_for("the first answer", one.synced(&name("d"))).await.unwrap();
    }
    for text in ["put kept 1", "put changed 1", "put removed-before 1", "remove removed-before", "put removed 1", "add count 5"] {
        write(&phone, text).await;
    }
    run_command(&["backup", file.to_str().unwrap(), "--url", &url]).await;

    // After the backup: a new record, a changed one, an addition, and a record that is removed again while the laptop is offline.
    for text in ["put new 1", "put changed 2", "add count 1"] {
        write(&phone, text).await;
    }
    let seen = write(&phone, "put comes-and-goes 1").await;
    wait_for_version(&laptop, &mut laptop_events, seen).await;
    laptop.go_offline().await.unwrap();
    write(&phone, "remove comes-and-goes").await;
    write(&phone, "remove removed").await;
    phone.go_offline().await.unwrap();
    // Written offline, with a base that the server will lose.
    let based = phone.put_if_unchanged(&name("d"), key("changed"), Value::from(3)).await.unwrap().unwrap();
    let unsent = tokio::spawn({
        let phone = phone.clone();
        async move { phone.write(&name("d"), vec![based, change("put offline 1")]).await }
    });
    server.kill().await;

    let server = start_restored(&file, &second, &listen).await;
    phone.go_online().await.unwrap();
    let event = wait_for_event(&mut phone_events, "the restore", |event| matches!(event, Event::StoreRestored { .. })).await;
    // Offered are new, count, and the removals of removed and comes-and-goes. Changed is not: the unsent write names it.
    assert_eq!(event, Event::StoreRestored { dataset: name("d"), shared: Some(6), reoffered: 4 });
    assert!(
        matches!(wait_for("the unsent write", unsent).await.unwrap(), Ok(WriteOutcome::Written { .. })),
        "applied, and no conflict with itself"
    );
    let last = write(&phone, "put end 1").await;
    wait_for_version(&phone, &mut phone_events, last).await;
    let expected: Vec<(String, Value)> = [("changed", 3), ("count", 6), ("end", 1), ("kept", 1), ("new", 1), ("offline", 1)]
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .into();
    assert_eq!(contents(&phone).await, expected);

    // The laptop missed a removal and a newer value. Its old records are not applied: its app gets the conflicts.
    laptop.go_online().await.unwrap();
    let conflict = wait_for_event(&mut laptop_events, "the conflict", |event| matches!(event, Event::ReofferConflict { .. })).await;
    let Event::ReofferConflict { ours, records, .. } = conflict else { unreachable!() };
    assert_eq!(ours.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["changed", "comes-and-goes"]);
    let now: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.content.value().cloned())).collect();
    assert_eq!(now, [("changed", Some(Value::from(3))), ("comes-and-goes", None)]);
    wait_for_version(&laptop, &mut laptop_events, last).await;
    assert_eq!(contents(&laptop).await, expected);

    // A new device gets the same records.
    let (tablet, _tablet_events) = connect(&url, "tablet");
    tablet.open(&name("d")).await.unwrap();
    wait_for("the first answer", tablet.synced(&name("d"))).await.unwrap();
    assert_eq!(contents(&tablet).await, expected);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_signed_up_after_the_backup_keeps_all_data_on_the_restored_server() {
    let folder = TempDir::new().unwrap();
    let (first, second, file) = (folder.path().join("first"), folder.path().join("second"), folder.path().join("demo.backup"));
    let server = DriftlessProcess::start(&first, "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    run_command(&["backup", file.to_str().unwrap(), "--url", &url]).await;
    let (phone, mut events) = connect_as("bob", &url, "phone");
    phone.open(&name("d")).await.unwrap();
    wait_for("the first answer", phone.synced(&name("d"))).await.unwrap();
    write(&phone, "put kept 1").await;
    write(&phone, "put note \"only here\"").await;
    let before = contents(&phone).await;
    phone.go_offline().await.unwrap();
    server.kill().await;

    let server = start_restored(&file, &second, &listen).await;
    phone.go_online().await.unwrap();
    let event = wait_for_event(&mut events, "the restore", |event| matches!(event, Event::StoreRestored { .. })).await;
    assert_eq!(event, Event::StoreRestored { dataset: name("d"), shared: Some(0), reoffered: 2 });
    let last = write(&phone, "add visits 1").await;
    wait_for_version(&phone, &mut events, last).await;
    let (laptop, _laptop_events) = connect_as("bob", &url, "laptop");
    laptop.open(&name("d")).await.unwrap();
    wait_for("the first answer", laptop.synced(&name("d"))).await.unwrap();
    let after = contents(&laptop).await;
    assert_eq!(after[..2], before);
    server.kill().await;
}

#[tokio::test]
async fn a_record_offered_again_does_not_win_under_last_writer_wins() {
    let server = TestServer::with_pool(TestPool { pool: "conflicts = \"last-writer-wins\"", ..TestPool::default() }).await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    laptop.put("d", "k", "1").await;
    laptop.put("d", "k", "2").await;
    let offer = |id, offer| ClientMessage::Write { id, dataset: name("d"), changes: vec![change("put k 3").with_base(1)], offer };
    phone.send_message(offer(1, true)).await;
    let ServerMessage::Conflict { records, .. } = phone.receive().await else { panic!("no conflict") };
    assert_eq!(records[0].content, Content::Value(Value::from(2)));
    phone.send_message(offer(2, false)).await;
    assert!(matches!(phone.receive().await, ServerMessage::Written { version: 3, .. }), "any other write wins");
}
