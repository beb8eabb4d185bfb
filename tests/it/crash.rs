//! The server dies in the middle of writes: nothing acknowledged is lost, and the devices converge without help.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use driftless_client::{Device, Event, Events, Outcome, Settings, Tokens};
use driftless_protocol::{Content, DeviceId, Op, Value};
use tempfile::TempDir;

use crate::support::{Binary, change, key, name, soon, token};

/// How often it is killed.
const ROUNDS: usize = 6;

fn device(url: &str, id: &str) -> (Device, Events) {
    let settings = Settings::new(url, DeviceId::new(id).unwrap(), Tokens::fixed(token("alice"))).unwrap();
    Device::connect(settings)
}

/// Writes on and on; notes what was acknowledged, and counts on a shared record.
async fn keep_writing(phone: Device, id: &'static str, acknowledged: Arc<Mutex<BTreeMap<String, u64>>>) {
    for n in 1.. {
        let changes = vec![change(&format!("put {id}.{n} {n}")), change(&format!("put {id}.last {n}")), change("add count 1")];
        let Ok(outcome) = phone.write(&name("d"), changes).await else { return };
        assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
        let mut known = acknowledged.lock().unwrap();
        known.insert(format!("{id}.{n}"), n);
        known.insert(format!("{id}.last"), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_writes_it_loses_nothing_it_acknowledged() {
    let data = TempDir::new().unwrap();
    let mut server = Binary::start(data.path(), "127.0.0.1:0", &[]).await;
    let address = server.address().to_owned();
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let (mut devices, mut writers) = (Vec::new(), Vec::new());
    for id in ["phone", "laptop", "tablet"] {
        let (device, events) = device(&server.url, id);
        device.open(&name("d")).await.unwrap();
        writers.push(tokio::spawn(keep_writing(device.clone(), id, Arc::clone(&acknowledged))));
        devices.push((device, events));
    }
    for round in 0..ROUNDS {
        let before = acknowledged.lock().unwrap().len();
        soon("more acknowledged writes", async {
            while acknowledged.lock().unwrap().len() < before + 100 + 37 * round {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.kill().await;
        server = Binary::start(data.path(), &address, &[]).await;
    }
    for writer in &writers {
        writer.abort();
    }
    // One more write of each ends what was on its way: a device's patches are answered in order.
    for (device, _) in &devices {
        assert!(matches!(soon("the last write", device.write(&name("d"), vec![change("put end 1")])).await, Ok(Outcome::Written { .. })));
    }
    let head = devices[0].0.list().await.unwrap()[0].version;
    let mut replicas = Vec::new();
    for (device, events) in &mut devices {
        converged(device, events, head).await;
        replicas.push(device.records(&name("d")).await.unwrap().unwrap());
    }
    let known = acknowledged.lock().unwrap();
    let value = |at: &str| match replicas[0].get(&key(at)).map(|record| &record.content) {
        Some(Content::Value(value)) => value.clone(),
        other => panic!("{at} was acknowledged and is {other:?}"),
    };
    for (at, n) in known.iter().filter(|(at, _)| !at.ends_with("last")) {
        assert_eq!(value(at), Value::from(*n as i64), "{at}");
    }
    // Each patch was applied once, however often it was sent: the shared count is the number of patches.
    let patches = replicas[0].keys().filter(|key| key.as_str().contains('.') && !key.as_str().ends_with("last")).count();
    assert_eq!(value("count"), Value::from(patches as i64));
    assert_eq!(head as usize, patches + devices.len(), "versions are dense: one for each patch");
    for replica in &replicas[1..] {
        assert_eq!(contents(replica), contents(&replicas[0]), "every device has the same");
    }
    assert_eq!(change("add count 1").op, Op::Add);
}

fn contents(replica: &BTreeMap<driftless_protocol::Key, driftless_protocol::Record>) -> Vec<(&str, &Content, u64)> {
    replica.values().map(|record| (record.key.as_str(), &record.content, record.version)).collect()
}

async fn converged(device: &Device, events: &mut Events, version: u64) {
    soon("convergence", async {
        while device.position(&name("d")).await.unwrap().is_none_or(|position| position.version < version) {
            let next = events.find(|event| matches!(event, Event::Synced { .. } | Event::Changed { .. } | Event::Missed { .. })).await;
            assert!(next.is_some(), "the device ended");
        }
    })
    .await;
}
