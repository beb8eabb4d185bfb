//! Reaping of tombstones while devices are offline and online, and its metrics.

use std::collections::BTreeMap;

use driftless_protocol::{Content, Position, Record, ServerMessage};

use crate::support::{DeviceHttp, TestPool, TestServer, change, name, wait_for};

/// Tombstones and history expire at once, so that no test waits for a month.
const REAP_AT_ONCE: TestPool = TestPool { pool: "retention.tombstone_s = 0\nretention.history_s = 1", server: "" };

async fn wait_for_reaped(server: &TestServer, what: &str, count: f64) {
    wait_for("reaping", async {
        while server.metric(&format!("driftless_reaper_reaped_total{{outcome=\"{what}\"}}")).await < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_device_behind_the_tombstone_horizon_is_reset_to_the_live_records() {
    let server = TestServer::with_pool(REAP_AT_ONCE).await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "stays", "1").await;
    phone.put("d", "goes", "1").await;
    let mut laptop = server.device("alice", "laptop").await;
    let (_, position) = laptop.open("d").await;
    drop(laptop);
    phone.write("d", &[change("remove goes")]).await;
    wait_for_reaped(&server, "tombstones", 1.0).await;
    assert!(server.metric("driftless_reaper_reaped_total{outcome=\"horizons\"}").await >= 1.0);
    wait_for_reaped(&server, "versions", 3.0).await;

    let mut laptop = server.device("alice", "laptop").await;
    laptop.send_message(driftless_protocol::ClientMessage::Open { dataset: name("d"), position: Some(position.clone()) }).await;
    let ServerMessage::Changes { from: 0, to: 3, reset: true, shared: None, more: false, records, .. } = laptop.receive().await else {
        panic!("no reset")
    };
    assert_eq!(records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["stays"]);
    // From a position at the horizon the device is not reset.
    let (records, at) = laptop.open_at("d", Some(Position { version: 3, ..position.clone() })).await;
    assert_eq!((records.len(), at.version), (0, 3));
    // The same over HTTP.
    let Position { epoch, version } = &position;
    let answer = server.http("alice", "laptop").get(&format!("/v1/datasets/d/changes?epoch={epoch}&version={version}")).await.json();
    assert_eq!((answer["reset"].as_bool(), answer["from"].as_u64(), answer["to"].as_u64()), (Some(true), Some(0), Some(3)));
}

/// A device that reads one page over HTTP each time it runs, and continues with the query that the last page asked for.
struct PollingDevice {
    http: DeviceHttp,
    next_query: String,
    records: BTreeMap<String, u64>,
}

impl PollingDevice {
    fn new(server: &TestServer) -> PollingDevice {
        PollingDevice { http: server.http("alice", "poller"), next_query: String::new(), records: BTreeMap::new() }
    }

    /// Reads one page and applies its records. Returns its `to`, `fresh_until`, `reset` and `more`.
    async fn read_page(&mut self) -> (u64, Option<u64>, bool, bool) {
        let answer = self.http.get(&format!("/v1/datasets/d/changes{}", self.next_query)).await;
        let page: ServerMessage = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        let ServerMessage::Changes { epoch, to, reset, more, fresh_until, records, .. } = page else { panic!("{page:?}") };
        if reset {
            self.records.clear();
        }
        for Record { key, content, version, .. } in records {
            match content {
                Content::Value(_) => self.records.insert(key.to_string(), version),
                Content::Removed => self.records.remove(key.as_str()),
            };
        }
        let mark = fresh_until.map_or(String::new(), |version| format!("&fresh_until={version}"));
        self.next_query = format!("?epoch={epoch}&version={to}{mark}");
        (to, fresh_until, reset, more)
    }

    fn keys(&self) -> Vec<&str> {
        self.records.keys().map(String::as_str).collect()
    }
}

#[tokio::test]
async fn a_device_that_polls_over_http_catches_up_despite_the_tombstone_horizon() {
    let server = TestServer::with_pool(REAP_AT_ONCE).await;
    let mut phone = server.device("alice", "phone").await;
    let text = format!("\"{}\"", "x".repeat(40_000));
    for name in ["a", "b", "c", "d", "e", "f"] {
        phone.put("d", name, &text).await;
    }
    phone.put("d", "goes", "1").await;
    phone.write("d", &[change("remove goes")]).await;
    wait_for_reaped(&server, "tombstones", 1.0).await;

    // Without a position: each page ends far below the horizon, and the next one continues there.
    let mut poller = PollingDevice::new(&server);
    assert_eq!(poller.read_page().await, (2, Some(8), false, true));
    assert_eq!(poller.read_page().await, (4, Some(8), false, true));
    let halfway = (poller.next_query.clone(), poller.records.clone());
    // A device whose `fresh_until` is missing or wrong is reset.
    for wrong in ["", "&fresh_until=0", "&fresh_until=7", "&fresh_until=9", "&fresh_until=18446744073709551615"] {
        poller.next_query = halfway.0.replace("&fresh_until=8", wrong);
        assert_eq!(poller.read_page().await, (2, Some(8), true, true), "{wrong}");
    }
    (poller.next_query, poller.records) = halfway;

    // Records written meanwhile are in later pages.
    phone.put("d", "a", "1").await;
    phone.put("d", "new", "1").await;
    while poller.read_page().await.3 {}
    assert_eq!(poller.keys(), ["a", "b", "c", "d", "e", "f", "new"]);
    assert_eq!((poller.records["a"], poller.read_page().await), (9, (10, None, false, false)), "the last page has no fresh_until");

    // Between two pages a tombstone newer than the first page is reaped: the device is reset once, and then reaches the end.
    let mut poller = PollingDevice::new(&server);
    assert_eq!(poller.read_page().await, (3, Some(10), false, true));
    phone.write("d", &[change("remove b")]).await;
    wait_for_reaped(&server, "tombstones", 2.0).await;
    let (_, mark, reset, _) = poller.read_page().await;
    assert_eq!((mark, reset), (Some(11), true));
    let mut more = true;
    while more {
        let (_, _, reset, goes_on) = poller.read_page().await;
        assert!(!reset, "a second reset");
        more = goes_on;
    }
    assert_eq!(poller.keys(), ["a", "c", "d", "e", "f", "new"]);
}

#[tokio::test]
async fn a_session_that_falls_behind_the_tombstone_horizon_is_reset() {
    let server = TestServer::with_pool(REAP_AT_ONCE).await;
    let (mut writer, mut reader) = (server.device("alice", "writer").await, server.device("alice", "reader").await);
    reader.open("d").await;
    // The reader does not read, so pages fill its socket while records are written and removed.
    let text = format!("\"{}\"", "x".repeat(60_000));
    for n in 0..200 {
        writer.put("d", &format!("k{}", n % 5), &text).await;
        writer.write("d", &[change(&format!("remove k{}", n % 5))]).await;
    }
    let last = writer.put("d", "end", "1").await;
    wait_for_reaped(&server, "tombstones", 5.0).await;
    let mut held = BTreeMap::new();
    let mut at = 0;
    while at < last {
        let ServerMessage::Changes { from, to, reset, records, .. } = reader.receive().await else { panic!("not changes") };
        if reset {
            held.clear();
        } else {
            assert_eq!(from, at, "a gap");
        }
        at = to;
        for record in records {
            match record.content {
                Content::Value(_) => held.insert(record.key.to_string(), record.version),
                Content::Removed => held.remove(record.key.as_str()),
            };
        }
    }
    assert_eq!(held.into_keys().collect::<Vec<_>>(), ["end"]);
}

#[tokio::test]
async fn limits_lowered_below_the_stored_data_still_allow_reads_and_removals() {
    let mut server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    for n in 0..20 {
        phone.put("d", &format!("k{n}"), "\"a value of some length\"").await;
        phone.put(&format!("d{n}"), "k", "1").await;
    }
    drop(phone);
    server
        .restart_with(TestPool {
            pool: "limits = { records = 5, dataset_bytes = 50, datasets = 3, value_bytes = 4, key_bytes = 2, devices = 1 }",
            ..TestPool::default()
        })
        .await;
    let mut phone = server.device("alice", "phone").await;
    let (records, _) = phone.open("d").await;
    assert_eq!(records.len(), 20, "all records can be read");
    assert!(matches!(phone.try_write("d", &[change("put new 1")]).await, ServerMessage::Refused { .. }), "no record can be added");
    assert!(matches!(phone.try_write("d", &[change("put k1 1")]).await, ServerMessage::Written { .. }), "a smaller value is accepted");
    for n in 0..20 {
        assert!(
            matches!(phone.try_write("d", &[change(&format!("remove k{n}"))]).await, ServerMessage::Written { .. }),
            "k{n} can be removed"
        );
    }
    assert!(matches!(phone.try_write("d", &[change("put n 1")]).await, ServerMessage::Written { .. }), "there is space again");
}
