//! What must hold in every order of the threads' steps. A lost wake-up shows as a deadlock.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use driftless_interleavings::committer::TestReaderPool;
use driftless_interleavings::hub::{NextChange, PublishedChange, SessionSignals, Signal, TestTopic};
use driftless_interleavings::store::TestStore;
use driftless_protocol::{DatasetName, Epoch, ServerMessage};
use futures_util::FutureExt;
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

/// Orders that are tried of a story that has too many to try all. Seeds are fixed, so they are the same in every run.
const ORDERS: usize = 5_000;

fn try_many(story: impl Fn() + Send + Sync + Clone + 'static) {
    let seeded = shuttle::scheduler::RandomScheduler::new_from_seed(1, ORDERS);
    shuttle::Runner::new(seeded, shuttle::Config::default()).run(story.clone());
    let few_changes = shuttle::scheduler::PctScheduler::new_from_seed(1, 3, ORDERS);
    shuttle::Runner::new(few_changes, shuttle::Config::default()).run(story);
}

#[test]
fn no_signal_is_lost_whichever_thread_raises_it_and_however_often_the_wait_is_dropped() {
    try_many(|| {
        let signals = Arc::new(SessionSignals::new(1));
        let all = [Signal::Changed, Signal::Tick, Signal::Drain];
        let raising: Vec<_> = all
            .into_iter()
            .map(|signal| {
                let signals = Arc::clone(&signals);
                thread::spawn(move || {
                    signals.raise(signal);
                    signals.raise(Signal::Changed);
                })
            })
            .collect();
        let mut missing = all.to_vec();
        while !missing.is_empty() {
            // The first wait is dropped at once, as when a session has another event to handle first.
            let found = match signals.wait().now_or_never() {
                Some(found) => found,
                None => block_on(signals.wait()),
            };
            missing.retain(|signal| !found.contains(*signal));
        }
        raising.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn change(version: u64, writer: u64) -> PublishedChange {
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
    PublishedChange::new(dataset, version, writer, message)
}

/// Acts as a session: subscribes, then reads the store, then takes published changes until it has the last version.
fn receive_changes(topic: &TestTopic, store: &AtomicU64, session: u64, last: u64) {
    let signals = Arc::new(SessionSignals::new(session));
    topic.subscribe(&signals);
    let mut version = store.load(Ordering::SeqCst);
    while version < last {
        match topic.next_after(version, session) {
            NextChange::UpToDate => drop(block_on(signals.wait())),
            NextChange::Change(change) => {
                assert_eq!(change.version(), version + 1, "in order and without a gap");
                version += 1;
            }
            NextChange::OwnWrites | NextChange::Lagged => {
                let stored = store.load(Ordering::SeqCst);
                assert!(stored > version, "the store has what was published");
                version = stored;
            }
        }
    }
    topic.unsubscribe(&signals);
}

#[test]
fn every_subscriber_gets_every_change_and_none_waits_for_ever() {
    try_many(|| {
        let (topic, store) = (Arc::new(TestTopic::new(DatasetName::new("d").unwrap())), Arc::new(AtomicU64::new(0)));
        let receiving: Vec<_> = (1..=2)
            .map(|session| {
                let (topic, store) = (Arc::clone(&topic), Arc::clone(&store));
                thread::spawn(move || receive_changes(&topic, &store, session, 3))
            })
            .collect();
        // Version 2 is a write of the first session, which is not signalled for it.
        for (version, writer) in [(1, 0), (2, 1), (3, 0)] {
            store.store(version, Ordering::SeqCst);
            topic.publish(change(version, writer));
            assert!(topic.newest_version() >= version);
        }
        receiving.into_iter().for_each(|session| session.join().unwrap());
    });
}

/// Every read that concurrent callers submit is done, whichever threads sleep at that time, and the threads end when the pool is dropped.
#[test]
fn every_read_is_done_and_the_threads_end() {
    try_many(|| {
        let pool = Arc::new(TestReaderPool::start(2));
        let (done, all) = shuttle::sync::mpsc::channel();
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (pool, done) = (Arc::clone(&pool), done.clone());
                thread::spawn(move || {
                    for read in 0..2 {
                        let done = done.clone();
                        // With one owner for both callers, and with one each.
                        pool.submit(if read == 0 { 0 } else { caller }, move || done.send((caller, read)).unwrap());
                    }
                })
            })
            .collect();
        let mut found: Vec<_> = (0..4).map(|_| all.recv().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

/// Commits, a rotation and a flush beside reads: a read finds what was committed when it began or later, and a scan one state of that.
fn flushing_and_reading() {
    let (store, committed) = (Arc::new(TestStore::default()), Arc::new(AtomicU64::new(0)));
    let reads: [fn(&TestStore) -> u8; 2] = [TestStore::scan, TestStore::get];
    let reading = reads.map(|read| {
        let (store, committed) = (Arc::clone(&store), Arc::clone(&committed));
        thread::spawn(move || {
            let before = committed.load(Ordering::SeqCst);
            let found = u64::from(read(&store));
            assert!(before <= found && found <= committed.load(Ordering::SeqCst) + 1, "a commit is visible before it is counted");
        })
    });
    let commit = |number| {
        store.commit(number);
        committed.store(number.into(), Ordering::SeqCst);
    };
    // A scan that begins between them still needs what the second one replaces.
    commit(1);
    commit(2);
    let frozen = store.rotate();
    let flusher = Arc::clone(&store);
    let flushing = thread::spawn(move || flusher.flush(frozen));
    commit(3);
    flushing.join().unwrap();
    reading.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!((store.scan(), store.get()), (3, 3));
}

#[test]
fn a_scan_sees_one_state_beside_a_flush_and_the_flusher_does_not_wait_for_ever() {
    try_many(flushing_and_reading);
}

/// Reads of one owner that all wait for the disk leave a thread for another owner: here they wait until its read is done.
#[test]
fn reads_that_hang_leave_a_thread_for_the_others() {
    try_many(|| {
        let pool = Arc::new(TestReaderPool::start(3));
        let bystander_is_done = Arc::new((shuttle::sync::Mutex::new(false), shuttle::sync::Condvar::new()));
        let (done, all) = shuttle::sync::mpsc::channel();
        for _ in 0..4 {
            let (bystander_is_done, done) = (Arc::clone(&bystander_is_done), done.clone());
            pool.submit(1, move || {
                let (is_done, changed) = &*bystander_is_done;
                let mut is_done = is_done.lock().unwrap();
                while !*is_done {
                    is_done = changed.wait(is_done).unwrap();
                }
                done.send(()).unwrap();
            });
        }
        pool.submit(2, move || {
            let (is_done, changed) = &*bystander_is_done;
            *is_done.lock().unwrap() = true;
            changed.notify_all();
        });
        (0..4).for_each(|_| all.recv().unwrap());
    });
}
