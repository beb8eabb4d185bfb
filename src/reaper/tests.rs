//! Jobs that cannot go on.

use driftless_protocol::{DeviceId, Epoch};

use super::*;
use crate::hub::Hub;
use crate::store::memory::Memory;
use crate::store::{DeviceBound, LoginKey, Store};

fn identity(n: usize) -> Identity {
    Identity::from(format!("local:{n:02}").as_str())
}

/// An erased identity in a store, whose device is still to be deleted.
fn erase(store: &Store, n: usize) {
    let mut group = store.group();
    let subject = n.to_string();
    group.identity(LoginKey { pool: "p", issuer: "i", subject: &subject }, &identity(n), 1).expect("decides");
    let phone = DeviceId::new("phone").expect("a device");
    group.admit(&identity(n), &phone, &DeviceBound::without_sessions(9), 1).expect("decides");
    group.erase(&identity(n)).expect("decides");
    group.commit().expect("commits");
}

#[tokio::test]
async fn jobs_that_cannot_go_on_do_not_hide_the_others_behind_them() {
    let memory = Memory::default();
    let store = Store::in_memory(&memory, &Epoch::new("e").expect("an epoch")).expect("opens");
    (0..=CONCURRENT_JOBS).for_each(|n| erase(&store, n));
    for n in 0..CONCURRENT_JOBS {
        let device_row = format!("#\0\x08local:{n:02}d\0\x05phone");
        assert!(memory.damage(device_row.as_bytes()), "there is no row {device_row:?}");
    }
    let (committer, _writer) = Committer::start(store.clone(), Hub::default(), Metrics::default(), Clock::start()).expect("starts");
    let reader = Reader::start(store.clone()).expect("starts");
    let reaper = Reaper::new(reader, committer, Pools::default(), Clock::start(), Metrics::default());
    let mut position = RoundPosition::default();
    for _ in 0..2 {
        reaper.run_round(&mut position).await.expect("the store works");
    }
    let left = store.background_jobs(None, usize::MAX).expect("reads");
    assert_eq!(left, (0..CONCURRENT_JOBS).map(identity).collect::<Vec<_>>(), "the one behind them is done");
    // They are tried again.
    assert!(position.job.is_none());
    reaper.run_round(&mut position).await.expect("the store works");
    assert_eq!(position.job, Some(identity(CONCURRENT_JOBS - 1)));
}
