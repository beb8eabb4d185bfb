//! Backups made while writes go on, and stores restored from them.

use std::path::Path;

use driftless_protocol::{Epoch, Op, Position};

use super::erasing::{fill, finish_job};
use crate::store::engine::{Batch, Owner, ROW_BYTES};
use crate::store::job_steps::{STEP_BYTES, STEP_ROWS};
use crate::store::keys::{self, RowKind};
use crate::store::support::{CONFIG, all, dataset, epoch, key, me, patch, store, write};
use crate::store::{
    BackupDamage, BackupHeader, BackupPart, BackupRefused, BackupTicket, BackupWriter, ReadStart, RestoreError, Store, restore,
};

/// Makes a backup; `meanwhile` runs before each of its steps.
pub(super) fn backup(store: &Store, mut meanwhile: impl FnMut(usize)) -> Vec<u8> {
    let (ticket, header) = begin(store);
    let mut writer = BackupWriter::default();
    let mut bytes = writer.begin(&header).expect("is encoded");
    for step in 0.. {
        meanwhile(step);
        let (part, _) = next_part(store, &ticket);
        bytes.extend(writer.rows(&part.rows).expect("is encoded"));
        if part.last {
            bytes.extend(writer.end().expect("is encoded"));
            break;
        }
    }
    bytes
}

fn begin(store: &Store) -> (BackupTicket, BackupHeader) {
    let mut group = store.group();
    let begun = group.begin_backup(7).expect("begins").expect("no other backup");
    group.commit().expect("commits");
    begun
}

/// The next part, and the work that it was for the writer.
fn next_part(store: &Store, ticket: &BackupTicket) -> (BackupPart, usize) {
    let mut group = store.group();
    let part = group.continue_backup(ticket).expect("reads").expect("goes on");
    let work = group.work_bytes();
    group.commit().expect("commits");
    (part, work)
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

/// A step reads as much as its bounds say, with the last rows that it reads at a time, which may be the largest. What writers have changed since the
/// last step is handed over, and not looked at.
#[test]
fn a_step_is_bounded_work_for_the_writer_whatever_was_written_meanwhile() {
    const MOST_WORK: usize = STEP_BYTES + 32 * ROW_BYTES + (STEP_ROWS + 32) * 256;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let text = format!("\"{}\"", "x".repeat(400_000));
    let large = |id: u64, number: u64| patch(id, "phone", &[(&format!("k{number}"), Op::Put, &text)]);
    for number in 1..=12 {
        write(&store, &large(number, number));
    }
    let small: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
    let small: Vec<_> = small.iter().map(|name| (name.as_str(), Op::Put, "1")).collect();
    (13..=15).for_each(|id| drop(write(&store, &patch(id, "phone", &small))));
    let (ticket, _) = begin(&store);
    let (mut most_work, mut most_rows, mut steps, mut id) = (0, 0, 0, 15);
    loop {
        if steps == 4 {
            for number in 1..=30 {
                id += 1;
                write(&store, &large(id, number % 12));
            }
        }
        let (part, work) = next_part(&store, &ticket);
        (most_work, most_rows, steps) = (most_work.max(work), most_rows.max(part.rows.len()), steps + 1);
        if part.last {
            break;
        }
    }
    assert!((STEP_BYTES / 2..MOST_WORK).contains(&most_work) && steps >= 8, "{most_work} bytes in the largest of {steps} steps");
    assert!(most_rows > 300, "the step after the writes has all that they changed: {most_rows} rows");
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
    let row = |number: u32| keys::pointer(&me(), &dataset(), &key(&format!("k{number}")));
    store.engine.commit(vec![Batch::unfenced((1..2000).map(|number| (row(number), Some(vec![7]))).collect())]).expect("commits");
    for (is_stale, captured) in [(false, 1), (true, 0)] {
        let (ticket, _) = begin(&store);
        let part = |store: &Store| store.group().continue_backup(&ticket).expect("reads").expect("goes on");
        let first = part(&store).rows.len();
        let mut group = store.group();
        group.view.decide(vec![(row(1), Some(vec![8]))]);
        if is_stale {
            let owner = Owner::from(keys::owner(&row(1)));
            let fences = vec![(owner.clone(), store.engine.fence(&owner))];
            store.engine.commit(vec![Batch { fences, rows: vec![(row(2), Some(vec![9]))] }]).expect("commits");
        }
        group.commit().expect("commits");
        let (second, all) = (part(&store), store.engine.scan(&[], &[u8::MAX], usize::MAX).expect("scans").len());
        assert!(second.last && first < all);
        assert_eq!(first + second.rows.len(), all + captured, "stale: {is_stale}");
    }
}
