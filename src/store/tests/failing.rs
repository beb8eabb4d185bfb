//! Failing writes: a store whose write failed is closed until it recovers, and a backup does not miss its rows.

use driftless_protocol::Op;

use crate::store::memory::{FaultPoint, Memory};
use crate::store::support::{all, epoch, me, patch, sign_in, sign_in_device};
use crate::store::{DatasetRules, Store, StoreError};

#[test]
fn a_store_whose_write_failed_is_closed_until_it_recovers() {
    let memory = Memory::default();
    let store = Store::in_memory(&memory, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    memory.fail_nth(FaultPoint::Flush, 1);
    let mut group = store.group();
    sign_in_device(&mut group, &patch(1, "phone", &[]));
    group.write(&patch(1, "phone", &[("a", Op::Put, "1")]), &DatasetRules::default(), 7).expect("is decided");
    assert!(matches!(group.commit(), Err(StoreError::Io(_))));
    assert!(store.is_failed());
    store.recover().expect("recovers");
    assert!(!store.is_failed());
    all(&store);
    assert_eq!(*Store::in_memory(&memory, &epoch("second")).expect("opens").epoch(), epoch("first"));
}

#[test]
fn a_backup_ends_with_a_write_of_unknown_outcome() {
    let memory = Memory::default();
    let store = Store::in_memory(&memory, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    for (id, call, continues) in [(1, FaultPoint::Flush, false), (2, FaultPoint::Answer, false), (3, FaultPoint::Space, true)] {
        let (ticket, _) = store.group().begin_backup(7).expect("begins").expect("is alone");
        memory.fail_nth(call, 1);
        let mut group = store.group();
        sign_in_device(&mut group, &patch(id, "phone", &[]));
        group.write(&patch(id, "phone", &[("a", Op::Put, "1")]), &DatasetRules::default(), 7).expect("is decided");
        assert!(group.commit().is_err());
        if store.is_failed() {
            store.recover().expect("recovers");
        }
        let next = store.group().continue_backup(&ticket).expect("reads");
        // The rows of the failed write may be found later, and would be missing from the backup.
        assert_eq!(next.is_ok(), continues, "{call:?}");
    }
}
