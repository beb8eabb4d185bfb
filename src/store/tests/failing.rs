use driftless_protocol::Op;

use crate::store::memory::{Call, Memory};
use crate::store::support::{all, epoch, me, patch, sign_in};
use crate::store::{Rules, Store, StoreError};

#[test]
fn a_store_whose_write_failed_is_closed_until_it_recovers() {
    let memory = Memory::default();
    let store = Store::over(&memory, &epoch("first")).expect("opens");
    sign_in(&store, "alice", &me());
    memory.fail_nth(Call::Flush, 1);
    let mut group = store.group();
    group.write(&patch(1, "phone", &[("a", Op::Put, "1")]), &Rules::default(), 7).expect("is decided");
    assert!(matches!(group.commit(), Err(StoreError::Io(_))));
    assert!(store.is_failed());
    store.recover().expect("recovers");
    assert!(!store.is_failed());
    all(&store);
    assert_eq!(*Store::over(&memory, &epoch("second")).expect("opens").epoch(), epoch("first"));
}
