//! Tombstones go while devices are away and while they are there; an operator sees it.

use std::collections::BTreeMap;

use driftless_protocol::{Content, Position, Record, ServerMessage};

use crate::support::{Http, Server, TestPool, change, name, soon};

/// Everything may go at once, so that nobody waits for a month.
const HASTY: TestPool = TestPool { pool: "retention.tombstone_s = 0\nretention.history_s = 1", server: "" };

async fn reaped(server: &Server, what: &str, count: f64) {
    soon("reaping", async {
        while server.metric(&format!("driftless_reaper_reaped_total{{outcome=\"{what}\"}}")).await < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_device_behind_the_horizon_is_told_so_and_gets_what_there_is() {
    let server = Server::with(HASTY).await;
    let mut phone = server.phone("alice", "phone").await;
    phone.put("d", "stays", "1").await;
    phone.put("d", "goes", "1").await;
    let mut laptop = server.phone("alice", "laptop").await;
    let (_, position) = laptop.open("d").await;
    drop(laptop);
    phone.write("d", &[change("remove goes")]).await;
    reaped(&server, "tombstones", 1.0).await;
    assert!(server.metric("driftless_reaper_reaped_total{outcome=\"horizons\"}").await >= 1.0);
    reaped(&server, "versions", 3.0).await;

    let mut laptop = server.phone("alice", "laptop").await;
    laptop.say(driftless_protocol::ClientMessage::Open { dataset: name("d"), position: Some(position.clone()) }).await;
    let ServerMessage::Changes { from: 0, to: 3, reset: true, shared: None, more: false, records, .. } = laptop.hear().await else {
        panic!("no reset")
    };
    assert_eq!(records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["stays"]);
    // At the horizon it goes on as if nothing had happened.
    let (records, at) = laptop.open_at("d", Some(Position { version: 3, ..position.clone() })).await;
    assert_eq!((records.len(), at.version), (0, 3));
    // Plain HTTP says the same.
    let Position { epoch, version } = &position;
    let answer = server.http("alice", "laptop").get(&format!("/v1/datasets/d/changes?epoch={epoch}&version={version}")).await.json();
    assert_eq!((answer["reset"].as_bool(), answer["from"].as_u64(), answer["to"].as_u64()), (Some(true), Some(0), Some(3)));
}

/// A device that has seconds for each visit: it asks for one page, and goes on from what the last answer said.
struct Visitor {
    http: Http,
    next: String,
    held: BTreeMap<String, u64>,
}

impl Visitor {
    fn of(server: &Server) -> Visitor {
        Visitor { http: server.http("alice", "visitor"), next: String::new(), held: BTreeMap::new() }
    }

    /// One answer; records of it become part of what the visitor has. Returns where it ends, what it says to pass back, and whether it began anew.
    async fn page(&mut self) -> (u64, Option<u64>, bool, bool) {
        let answer = self.http.get(&format!("/v1/datasets/d/changes{}", self.next)).await;
        let page: ServerMessage = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
        let ServerMessage::Changes { epoch, to, reset, more, fresh_until, records, .. } = page else { panic!("{page:?}") };
        if reset {
            self.held.clear();
        }
        for Record { key, content, version, .. } in records {
            match content {
                Content::Value(_) => self.held.insert(key.to_string(), version),
                Content::Removed => self.held.remove(key.as_str()),
            };
        }
        let mark = fresh_until.map_or(String::new(), |version| format!("&fresh_until={version}"));
        self.next = format!("?epoch={epoch}&version={to}{mark}");
        (to, fresh_until, reset, more)
    }

    fn has(&self) -> Vec<&str> {
        self.held.keys().map(String::as_str).collect()
    }
}

#[tokio::test]
async fn plain_requests_come_to_an_end_below_the_horizon() {
    let server = Server::with(HASTY).await;
    let mut phone = server.phone("alice", "phone").await;
    let text = format!("\"{}\"", "x".repeat(40_000));
    for name in ["a", "b", "c", "d", "e", "f"] {
        phone.put("d", name, &text).await;
    }
    phone.put("d", "goes", "1").await;
    phone.write("d", &[change("remove goes")]).await;
    reaped(&server, "tombstones", 1.0).await;

    // From nothing: each answer ends far below the horizon, and the next one goes on there.
    let mut visitor = Visitor::of(&server);
    assert_eq!(visitor.page().await, (2, Some(8), false, true));
    assert_eq!(visitor.page().await, (4, Some(8), false, true));
    let halfway = (visitor.next.clone(), visitor.held.clone());
    // What a server says to one that has begun with something, or lies.
    for wrong in ["", "&fresh_until=0", "&fresh_until=7", "&fresh_until=9", "&fresh_until=18446744073709551615"] {
        visitor.next = halfway.0.replace("&fresh_until=8", wrong);
        assert_eq!(visitor.page().await, (2, Some(8), true, true), "{wrong}");
    }
    (visitor.next, visitor.held) = halfway;

    // What is written meanwhile comes, too.
    phone.put("d", "a", "1").await;
    phone.put("d", "new", "1").await;
    while visitor.page().await.3 {}
    assert_eq!(visitor.has(), ["a", "b", "c", "d", "e", "f", "new"]);
    assert_eq!((visitor.held["a"], visitor.page().await), (9, (10, None, false, false)), "nothing is left to be passed back");

    // On the way through a tombstone goes that is newer than the beginning: once more, and then to the end.
    let mut visitor = Visitor::of(&server);
    assert_eq!(visitor.page().await, (3, Some(10), false, true));
    phone.write("d", &[change("remove b")]).await;
    reaped(&server, "tombstones", 2.0).await;
    let (_, mark, reset, _) = visitor.page().await;
    assert_eq!((mark, reset), (Some(11), true));
    let mut more = true;
    while more {
        let (_, _, reset, goes_on) = visitor.page().await;
        assert!(!reset, "it would never end");
        more = goes_on;
    }
    assert_eq!(visitor.has(), ["a", "c", "d", "e", "f", "new"]);
}

#[tokio::test]
async fn a_live_session_that_lags_behind_the_horizon_begins_again() {
    let server = Server::with(HASTY).await;
    let (mut writer, mut reader) = (server.phone("alice", "writer").await, server.phone("alice", "reader").await);
    reader.open("d").await;
    // Much is on its way to a reader that takes nothing, while records come and go behind it.
    let text = format!("\"{}\"", "x".repeat(60_000));
    for n in 0..200 {
        writer.put("d", &format!("k{}", n % 5), &text).await;
        writer.write("d", &[change(&format!("remove k{}", n % 5))]).await;
    }
    let last = writer.put("d", "end", "1").await;
    reaped(&server, "tombstones", 5.0).await;
    let mut held = BTreeMap::new();
    let mut at = 0;
    while at < last {
        let ServerMessage::Changes { from, to, reset, records, .. } = reader.hear().await else { panic!("not changes") };
        if reset {
            held.clear();
        } else {
            assert_eq!(from, at, "no gap");
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
async fn bounds_that_were_lowered_below_what_is_there_leave_reading_and_removing() {
    let mut server = Server::start().await;
    let mut phone = server.phone("alice", "phone").await;
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
    let mut phone = server.phone("alice", "phone").await;
    let (records, _) = phone.open("d").await;
    assert_eq!(records.len(), 20, "all of it can be read");
    assert!(matches!(phone.ask("d", &[change("put new 1")]).await, ServerMessage::Refused { .. }), "no more of it");
    assert!(matches!(phone.ask("d", &[change("put k1 1")]).await, ServerMessage::Written { .. }), "what is smaller is taken");
    for n in 0..20 {
        assert!(matches!(phone.ask("d", &[change(&format!("remove k{n}"))]).await, ServerMessage::Written { .. }), "k{n} may go");
    }
    assert!(matches!(phone.ask("d", &[change("put n 1")]).await, ServerMessage::Written { .. }), "and then there is room");
}
