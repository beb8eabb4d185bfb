//! A backup is restored while devices hold more than it does: what the server has lost comes back, what was removed stays removed or is
//! told, unsent writes are applied once. With the real binary, its commands, and the real client library.

use std::path::Path;

use driftless_client::{Device, Event, Events, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{ClientMessage, Content, DeviceId, ServerMessage, Value};
use tempfile::TempDir;

use crate::support::{Binary, Server, TestPool, change, driftless, key, name, soon, token};

fn device(url: &str, id: &str) -> (Device, Events) {
    device_of("alice", url, id)
}

fn device_of(person: &str, url: &str, id: &str) -> (Device, Events) {
    let settings = Settings::new(url, DeviceId::new(id).unwrap(), TokenSource::fixed(token(person))).unwrap();
    Device::connect(settings)
}

/// Runs a command of the operator's, which must succeed.
async fn operate(arguments: &[&str]) -> String {
    let output = soon("the command's end", driftless().args(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn write(device: &Device, text: &str) -> u64 {
    match soon(text, device.write(&name("d"), vec![change(text)])).await.unwrap() {
        WriteOutcome::Written { version, .. } => version,
        other => panic!("{text}: {other:?}"),
    }
}

async fn until(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    soon(what, async {
        loop {
            let event = events.recv().await.expect("the device lives");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

async fn reaches(device: &Device, events: &mut Events, version: u64) {
    while device.position(&name("d")).await.unwrap().is_none_or(|position| position.version < version) {
        until(events, "a change", |event| matches!(event, Event::Changed { .. })).await;
    }
}

async fn contents(device: &Device) -> Vec<(String, Value)> {
    let records = device.records(&name("d")).await.unwrap().unwrap();
    let value = |content: &Content| content.value().cloned().unwrap();
    records.values().map(|record| (record.key.to_string(), value(&record.content))).collect()
}

async fn restored(file: &Path, folder: &Path, listen: &str) -> Binary {
    operate(&["restore", file.to_str().unwrap(), "--data", folder.to_str().unwrap()]).await;
    Binary::start(folder, listen, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_gets_back_what_its_devices_have_and_nothing_that_was_removed() {
    let folder = TempDir::new().unwrap();
    let (first, second, file) = (folder.path().join("first"), folder.path().join("second"), folder.path().join("demo.backup"));
    let server = Binary::start(&first, "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    let ((phone, mut phone_events), (laptop, mut laptop_events)) = (device(&url, "phone"), device(&url, "laptop"));
    for one in [&phone, &laptop] {
        one.open(&name("d")).await.unwrap();
        soon("the first answer", one.synced(&name("d"))).await.unwrap();
    }
    for text in ["put kept 1", "put changed 1", "put removed-before 1", "remove removed-before", "put removed 1", "add count 5"] {
        write(&phone, text).await;
    }
    operate(&["backup", file.to_str().unwrap(), "--url", &url]).await;

    // After the backup: a new record, a changed one, one more on the count, and one that comes and goes while the laptop is away.
    for text in ["put new 1", "put changed 2", "add count 1"] {
        write(&phone, text).await;
    }
    let seen = write(&phone, "put comes-and-goes 1").await;
    reaches(&laptop, &mut laptop_events, seen).await;
    laptop.go_offline().await.unwrap();
    write(&phone, "remove comes-and-goes").await;
    write(&phone, "remove removed").await;
    phone.go_offline().await.unwrap();
    // Written offline, in view of what the server is about to lose.
    let based = phone.put_if_unchanged(&name("d"), key("changed"), Value::from(3)).await.unwrap().unwrap();
    let unsent = tokio::spawn({
        let phone = phone.clone();
        async move { phone.write(&name("d"), vec![based, change("put offline 1")]).await }
    });
    server.kill().await;

    let server = restored(&file, &second, &listen).await;
    phone.go_online().await.unwrap();
    let event = until(&mut phone_events, "the restore", |event| matches!(event, Event::StoreRestored { .. })).await;
    // new, count, and the removals of removed and comes-and-goes; changed is named by the write that was not sent yet.
    assert_eq!(event, Event::StoreRestored { dataset: name("d"), shared: Some(6), reoffered: 4 });
    assert!(
        matches!(soon("the unsent write", unsent).await.unwrap(), Ok(WriteOutcome::Written { .. })),
        "applied, and no conflict with itself"
    );
    let last = write(&phone, "put end 1").await;
    reaches(&phone, &mut phone_events, last).await;
    let expected: Vec<(String, Value)> = [("changed", 3), ("count", 6), ("end", 1), ("kept", 1), ("new", 1), ("offline", 1)]
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .into();
    assert_eq!(contents(&phone).await, expected);

    // The laptop missed a removal, and a newer value. What it has does not come back unnoticed: its app is asked.
    laptop.go_online().await.unwrap();
    let conflict = until(&mut laptop_events, "the conflict", |event| matches!(event, Event::ReofferConflict { .. })).await;
    let Event::ReofferConflict { ours, records, .. } = conflict else { unreachable!() };
    assert_eq!(ours.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["changed", "comes-and-goes"]);
    let now: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.content.value().cloned())).collect();
    assert_eq!(now, [("changed", Some(Value::from(3))), ("comes-and-goes", None)]);
    reaches(&laptop, &mut laptop_events, last).await;
    assert_eq!(contents(&laptop).await, expected);

    // And a device that comes from nothing gets the same.
    let (tablet, _tablet_events) = device(&url, "tablet");
    tablet.open(&name("d")).await.unwrap();
    soon("the first answer", tablet.synced(&name("d"))).await.unwrap();
    assert_eq!(contents(&tablet).await, expected);
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_up_after_the_backup_is_at_home_on_the_restored_server_all_the_same() {
    let folder = TempDir::new().unwrap();
    let (first, second, file) = (folder.path().join("first"), folder.path().join("second"), folder.path().join("demo.backup"));
    let server = Binary::start(&first, "127.0.0.1:0", &[]).await;
    let (url, listen) = (server.url.clone(), server.address().to_owned());
    operate(&["backup", file.to_str().unwrap(), "--url", &url]).await;
    let (phone, mut events) = device_of("bob", &url, "phone");
    phone.open(&name("d")).await.unwrap();
    soon("the first answer", phone.synced(&name("d"))).await.unwrap();
    write(&phone, "put kept 1").await;
    write(&phone, "put note \"only here\"").await;
    let before = contents(&phone).await;
    phone.go_offline().await.unwrap();
    server.kill().await;

    let server = restored(&file, &second, &listen).await;
    phone.go_online().await.unwrap();
    let event = until(&mut events, "the restore", |event| matches!(event, Event::StoreRestored { .. })).await;
    assert_eq!(event, Event::StoreRestored { dataset: name("d"), shared: Some(0), reoffered: 2 });
    let last = write(&phone, "add visits 1").await;
    reaches(&phone, &mut events, last).await;
    let (laptop, _laptop_events) = device_of("bob", &url, "laptop");
    laptop.open(&name("d")).await.unwrap();
    soon("the first answer", laptop.synced(&name("d"))).await.unwrap();
    let after = contents(&laptop).await;
    assert_eq!(after[..2], before);
    server.kill().await;
}

#[tokio::test]
async fn what_is_offered_again_is_not_the_last_word_where_the_last_writer_wins() {
    let server = Server::with(TestPool { pool: "conflicts = \"last-writer-wins\"", ..TestPool::default() }).await;
    let (mut phone, mut laptop) = (server.phone("alice", "phone").await, server.phone("alice", "laptop").await);
    laptop.put("d", "k", "1").await;
    laptop.put("d", "k", "2").await;
    let offer = |id, offer| ClientMessage::Write { id, dataset: name("d"), changes: vec![change("put k 3").with_base(1)], offer };
    phone.say(offer(1, true)).await;
    let ServerMessage::Conflict { records, .. } = phone.hear().await else { panic!("no conflict") };
    assert_eq!(records[0].content, Content::Value(Value::from(2)));
    phone.say(offer(2, false)).await;
    assert!(matches!(phone.hear().await, ServerMessage::Written { version: 3, .. }), "any other write wins");
}
