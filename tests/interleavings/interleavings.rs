//! What must hold in whatever order threads meet. A wake-up that is lost shows as a deadlock.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use driftless_interleavings::committer::{Readers, Unavailable, gate};
use driftless_interleavings::hub::{Change, Feed, Mailbox, Mark, Taken};
use driftless_protocol::{DatasetName, Epoch, ServerMessage};
use futures_util::FutureExt;
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

/// Orders that are tried of a story that has too many for all of them. The same every time: seeds are fixed.
const ORDERS: usize = 5_000;

fn try_all(story: impl Fn() + Send + Sync + 'static) {
    shuttle::check_dfs(story, None);
}

fn try_many(story: impl Fn() + Send + Sync + Clone + 'static) {
    let seeded = shuttle::scheduler::RandomScheduler::new_from_seed(1, ORDERS);
    shuttle::Runner::new(seeded, shuttle::Config::default()).run(story.clone());
    let few_changes = shuttle::scheduler::PctScheduler::new_from_seed(1, 3, ORDERS);
    shuttle::Runner::new(few_changes, shuttle::Config::default()).run(story);
}

/// A committer that makes groups durable while somebody reads: what the reader was let through with is durable.
fn committing_and_reading(groups: u64, readers: usize) {
    let (keeper, gate) = gate();
    let (rows, disk) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            let (gate, rows, disk) = (gate.clone(), Arc::clone(&rows), Arc::clone(&disk));
            thread::spawn(move || {
                let entered = gate.enter();
                let read = rows.load(Ordering::SeqCst);
                assert_eq!(block_on(gate.pass(entered)), Ok(()));
                assert!(disk.load(Ordering::SeqCst) >= read, "shown before it was durable");
            })
        })
        .collect();
    for group in 1..=groups {
        keeper.applying();
        rows.store(group, Ordering::SeqCst);
        disk.store(group, Ordering::SeqCst);
        keeper.durable();
    }
    reading.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn nothing_passes_the_gate_before_it_is_durable_and_whoever_waits_is_let_through() {
    try_all(|| committing_and_reading(2, 1));
    try_many(|| committing_and_reading(3, 3));
}

#[test]
fn when_the_committer_goes_nobody_waits_for_it() {
    try_all(|| {
        let (keeper, gate) = gate();
        let rows = Arc::new(AtomicU64::new(0));
        let reader = {
            let rows = Arc::clone(&rows);
            thread::spawn(move || {
                let entered = gate.enter();
                let read = rows.load(Ordering::SeqCst);
                let passed = block_on(gate.pass(entered));
                assert!(read == 0 || passed == Err(Unavailable::Now), "rows of a group that failed were shown");
            })
        };
        keeper.applying();
        rows.store(1, Ordering::SeqCst);
        drop(keeper);
        reader.join().unwrap();
    });
}

#[test]
fn what_was_read_of_a_group_that_failed_is_not_shown_even_after_the_store_was_opened_again() {
    try_all(|| {
        let (keeper, gate) = gate();
        let rows = Arc::new(AtomicU64::new(0));
        let reader = {
            let rows = Arc::clone(&rows);
            thread::spawn(move || {
                let entered = gate.enter();
                let read = rows.load(Ordering::SeqCst);
                let passed = block_on(gate.pass(entered));
                assert!(read == 0 || passed == Err(Unavailable::Now), "a row that is gone was shown");
            })
        };
        keeper.applying();
        rows.store(1, Ordering::SeqCst);
        keeper.fails();
        rows.store(0, Ordering::SeqCst);
        keeper.durable();
        reader.join().unwrap();
    });
}

#[test]
fn no_mark_is_lost_whoever_leaves_it_and_however_often_the_wait_is_dropped() {
    try_many(|| {
        let mailbox = Arc::new(Mailbox::new(1));
        let all = [Mark::Moved, Mark::Tick, Mark::Drain];
        let marking: Vec<_> = all
            .into_iter()
            .map(|mark| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    mailbox.mark(mark);
                    mailbox.mark(Mark::Moved);
                })
            })
            .collect();
        let mut missing = all.to_vec();
        while !missing.is_empty() {
            // A look that waits for nothing, as when a session has something else to do first.
            let found = match mailbox.marks().now_or_never() {
                Some(found) => found,
                None => block_on(mailbox.marks()),
            };
            missing.retain(|mark| !found.has(*mark));
        }
        marking.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A change that is all of a version.
fn change(version: u64, writer: u64) -> Change {
    let dataset = DatasetName::new("d").unwrap();
    let message = ServerMessage::Changes {
        dataset: dataset.clone(),
        epoch: Epoch::new("e").unwrap(),
        from: version - 1,
        to: version,
        reset: false,
        shared: None,
        more: false,
        fresh_until: None,
        records: Vec::new(),
    };
    Change::new(dataset, version, writer, message)
}

/// A session: follows first, reads then, and takes what is published until it has the last version.
fn follow(feed: &Feed, store: &AtomicU64, session: u64, last: u64) {
    let mailbox = Arc::new(Mailbox::new(session));
    feed.join(&mailbox);
    let mut version = store.load(Ordering::SeqCst);
    while version < last {
        match feed.after(version, session) {
            Taken::Nothing => drop(block_on(mailbox.marks())),
            Taken::Change(change) => {
                assert_eq!(change.version(), version + 1, "in order and without a gap");
                version += 1;
            }
            Taken::Own | Taken::Behind => {
                let stored = store.load(Ordering::SeqCst);
                assert!(stored > version, "the store has what was published");
                version = stored;
            }
        }
    }
    feed.leave(&mailbox);
}

#[test]
fn whoever_follows_gets_every_change_and_none_waits_for_ever() {
    try_many(|| {
        let (feed, store) = (Arc::new(Feed::new(DatasetName::new("d").unwrap())), Arc::new(AtomicU64::new(0)));
        let following: Vec<_> = (1..=2)
            .map(|session| {
                let (feed, store) = (Arc::clone(&feed), Arc::clone(&store));
                thread::spawn(move || follow(&feed, &store, session, 3))
            })
            .collect();
        // The second is a write of the first session, which is not woken for it.
        for (version, writer) in [(1, 0), (2, 1), (3, 0)] {
            store.store(version, Ordering::SeqCst);
            feed.publish(change(version, writer));
            assert!(feed.head() >= version);
        }
        following.into_iter().for_each(|session| session.join().unwrap());
    });
}

/// Reads that are handed in by several are all done, whoever sleeps when they come; and the threads end with the last who knows them.
#[test]
fn every_read_is_done_and_the_threads_end() {
    try_many(|| {
        let readers = Arc::new(Readers::start(2));
        let (done, all) = shuttle::sync::mpsc::channel();
        let asking: Vec<_> = (0..2)
            .map(|asker| {
                let (readers, done) = (Arc::clone(&readers), done.clone());
                thread::spawn(move || {
                    for read in 0..2 {
                        let done = done.clone();
                        readers.hand_in(move || done.send((asker, read)).unwrap());
                    }
                })
            })
            .collect();
        let mut found: Vec<_> = (0..4).map(|_| all.recv().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        asking.into_iter().for_each(|asker| asker.join().unwrap());
    });
}
