//! Backups made while writes go on, and stores restored from them.

use std::path::Path;

use driftless_protocol::{Epoch, Op, Position};

use super::erasing::{fill, finish_job};
use crate::store::engine::{Batch, Owner};
use crate::store::keys::{self, RowKind};
use crate::store::support::{CONFIG, all, dataset, epoch, me, patch, store, write};
use crate::store::{BackupDamage, BackupRefused, BackupTicket, ReadStart, RestoreError, Store, restore};

/// Makes a backup; `meanwhile` runs before each of its steps.
pub(super) fn backup(store: &Store, mut meanwhile: impl FnMut(usize)) -> Vec<u8> {
    let (ticket, mut bytes) = begin(store);
    for step in 0.. {
        meanwhile(step);
        let mut group = store.group();
        let part = group.continue_backup(&ticket).expect("reads").expect("goes on");
        group.commit().expect("commits");
        bytes.extend(part.bytes);
        if part.last {
            break;
        }
    }
    bytes
}

fn begin(store: &Store) -> (BackupTicket, Vec<u8>) {
    let mut group = store.group();
    let (ticket, part) = group.begin_backup(7).expect("begins").expect("no other backup");
    group.commit().expect("commits");
    (ticket, part.bytes)
}

pub(super) fn restored(folder: &Path, bytes: &[u8], name: &str) -> Result<Store, RestoreError> {
    let file = folder.join(format!("{name}.backup"));
    std::fs::write(&file, bytes).expect("writes");
    let to = folder.join(name);
    restore(&file, &to, &CONFIG, &epoch(name), |_, _| {})?;
    Ok(Store::open(&to, &CONFIG, &epoch("unused")).expect("opens"))
}

fn rows(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans");
    // The store's own rows, and the epochs in heads, are meant to differ.
    rows.into_iter().filter(|(key, _)| !RowKind::Meta.is_of(key) && !RowKind::Head.is_of(key)).collect()
}

fn put(id: u64, name: &str) -> crate::store::Patch {
    let text = format!("\"{}\"", "x".repeat(500));
    patch(id, "phone", &[(name, Op::Put, &text)])
}

#[test]
fn a_backup_made_while_writes_go_on_is_the_store_as_it_was_at_one_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path().join("own").as_path());
    fill(&store);
    for id in 3..=3000 {
        write(&store, &put(id, &format!("k{id}")));
    }
    let (mut id, mut expected) = (3000, Vec::new());
    let bytes = backup(&store, |step| {
        // Writes behind the backup's point and ahead of it: new keys, known keys, removals.
        for name in ["k3", "k1500", "k2999", "a", "zz"] {
            id += 1;
            write(&store, &put(id, name));
        }
        id += 1;
        write(&store, &patch(id, "phone", &[(&format!("k{}", 10 + step), Op::Remove, "")]));
        expected = rows(&store);
    });
    let copy = restored(folder.path(), &bytes, "copy").expect("restores");
    assert_eq!(rows(&copy).len(), expected.len());
    assert!(rows(&copy) == expected, "row by row");
    assert_eq!(all(&copy).len(), all(&store).len());
}

#[test]
fn a_restored_store_has_an_epoch_of_its_own_and_knows_its_earlier_epochs() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path().join("own").as_path());
    fill(&store);
    let bytes = backup(&store, |_| {});
    write(&store, &put(3, "later"));
    let copy = restored(folder.path(), &bytes, "second").expect("restores");
    assert_eq!(*copy.epoch(), epoch("second"));
    let shared = |store: &Store, epoch: &Epoch, version| match store
        .start(&me(), &dataset(), Some(&Position { epoch: epoch.clone(), version }.into()))
        .expect("reads")
    {
        ReadStart::Reset { shared, .. } => shared,
        other => panic!("{other:?}"),
    };
    assert_eq!(shared(&copy, &epoch("first"), 3), Some(2), "the device has seen version 3, the copy has version 2");
    assert_eq!(shared(&copy, &epoch("unknown"), 3), None);
    // A backup of the copy, after a write, is restored, too.
    write(&copy, &put(9, "more"));
    let again = restored(folder.path(), &backup(&copy, |_| {}), "third").expect("restores");
    assert_eq!(shared(&again, &epoch("first"), 3), Some(2));
    assert_eq!(shared(&again, &epoch("second"), 3), Some(3));
}

#[test]
fn a_damaged_backup_makes_no_store_and_the_error_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path().join("own").as_path());
    fill(&store);
    let bytes = backup(&store, |_| {});
    let mut flipped = bytes.clone();
    let at = bytes.len() / 2;
    flipped[at] ^= 1;
    let error = restored(folder.path(), &flipped, "flipped").err().expect("is refused");
    assert!(matches!(error, RestoreError::Damaged(BackupDamage::Block { .. })), "{error}");
    assert!(error.to_string().contains("at byte"), "{error}");
    assert!(restored(folder.path(), &bytes[..bytes.len() - 1], "cut").is_err());
    assert!(!folder.path().join("flipped").exists() && !folder.path().join("cut").exists());
    // The leftovers of an interrupted restore are replaced; a store in the folder is not.
    std::fs::create_dir_all(folder.path().join("good/.restoring/x")).expect("makes");
    drop(restored(folder.path(), &bytes, "good").expect("restores"));
    assert!(matches!(restored(folder.path(), &bytes, "good"), Err(RestoreError::NotEmpty(_))));
}

#[test]
fn there_is_one_backup_at_a_time_and_dropping_its_ticket_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let (ticket, _) = begin(&store);
    assert_eq!(store.group().begin_backup(7).expect("reads").err(), Some(BackupRefused::Busy));
    drop(ticket);
    let (second, _) = begin(&store);
    let mut group = store.group();
    assert!(group.continue_backup(&second).expect("reads").expect("goes on").last);
    group.commit().expect("commits");
    assert_eq!(store.group().continue_backup(&second).expect("reads").err(), Some(BackupRefused::TooSlow), "it has ended");
}

#[test]
fn an_erasure_under_way_goes_on_in_the_restored_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path().join("own").as_path());
    fill(&store);
    let mut group = store.group();
    group.erase(&me()).expect("decides");
    group.commit().expect("commits");
    let copy = restored(folder.path(), &backup(&store, |_| {}), "copy").expect("restores");
    assert_eq!(copy.background_jobs(None, 9).expect("reads"), [me()]);
    finish_job(&copy, &me());
    assert_eq!(rows(&copy), []);
}

#[test]
fn a_backup_has_the_rows_of_a_batch_behind_its_point_unless_the_batch_is_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let row = |version| keys::record(&me(), &dataset(), version, 0);
    store.engine.commit(vec![Batch::unfenced((1..2000).map(|version| (row(version), Some(vec![7]))).collect())]).expect("commits");
    for (is_stale, captured) in [(false, 1), (true, 0)] {
        let (ticket, _) = begin(&store);
        let part = |store: &Store| store.group().continue_backup(&ticket).expect("reads").expect("goes on");
        let first = part(&store).rows;
        let mut group = store.group();
        group.view.decide(vec![(row(1), Some(vec![8]))]);
        if is_stale {
            let owner = Owner::from(keys::owner(&row(1)));
            let fences = vec![(owner.clone(), store.engine.fence(&owner))];
            store.engine.commit(vec![Batch { fences, rows: vec![(row(2), Some(vec![9]))] }]).expect("commits");
        }
        group.commit().expect("commits");
        let (second, all) = (part(&store), store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len() as u64);
        assert!(second.last && first < all);
        assert_eq!(first + second.rows, all + captured, "stale: {is_stale}");
    }
}
