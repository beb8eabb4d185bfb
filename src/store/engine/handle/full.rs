//! A small file system of its own that is filled up: writes are refused or fail, reads go on where they can, nothing acknowledged is lost, and
//! once there is space again so are writes.
//!
//! Needs root and a loop device; without them the tests say so and do nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// The file system's size: several of sled's segments.
const DISK_MIB: u64 = 128;

/// What is left of it for the store.
const LEFT_MIB: u64 = 80;

/// What is kept free: the rows of the journal have to go into the tree, too.
const RESERVE_MIB: u64 = 32;

/// Rows of a commit, of 32 KiB each.
const ROWS: u32 = 8;

/// An ext4 on a file, until it is dropped.
struct Disk {
    mount: PathBuf,
    _ground: tempfile::TempDir,
}

impl Disk {
    fn new() -> Option<Disk> {
        let ground = tempfile::tempdir().expect("folder");
        let (image, mount) = (ground.path().join("image"), ground.path().join("mount"));
        std::fs::create_dir(&mount).expect("is made");
        std::fs::File::create(&image).and_then(|file| file.set_len(DISK_MIB << 20)).expect("is made");
        let run = |name: &str, arguments: &[&str], paths: &[&Path]| {
            Command::new(name).args(arguments).args(paths).output().is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.ext4", &["-q", "-F", "-m0"], &[&image]) && run("mount", &["-o", "loop"], &[&image, &mount]);
        if !made {
            eprintln!("NOT TESTED: a full disk needs root, mkfs.ext4 and a loop device");
        }
        made.then_some(Disk { mount, _ground: ground })
    }

    fn store(&self) -> PathBuf {
        self.mount.join("store")
    }

    /// Takes space until only so much is left; may be called again.
    fn fill(&self, left_mib: u64) {
        let about = rustix::fs::statvfs(&self.mount).expect("is known");
        let free = about.f_bavail * about.f_frsize;
        let file = std::fs::File::options().append(true).create(true).open(self.ballast()).expect("is made");
        let (has, bytes) = (file.metadata().expect("is there").len(), free.saturating_sub(left_mib << 20));
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), has, bytes).expect("is taken");
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("is removed");
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

fn config(engine: Kind, reserve_mib: u64) -> EngineConfig {
    EngineConfig { engine, cache_mib: 16, reserve_mib, ..EngineConfig::default() }
}

fn key(n: u32, row: u32) -> Bytes {
    format!("{n:08}.{row}").into_bytes()
}

fn batch(n: u32) -> Batch {
    Batch { guards: Vec::new(), rows: (0..ROWS).map(|row| (key(n, row), Some(vec![n as u8; 32 * 1024]))).collect() }
}

/// Commits until it no longer goes: how many did, and what the next one met.
fn commit_until_it_fails(handle: &Handle) -> (u32, EngineError) {
    for n in 0.. {
        if let Err(error) = handle.commit(vec![batch(n)]) {
            return (n, error);
        }
    }
    unreachable!("the disk is not endless");
}

/// Everything that was acknowledged is there, and of the next commit all or nothing.
fn check(handle: &Handle, commits: u32) {
    check_what_can_be_read(handle, commits, |error| panic!("{error}"));
}

fn check_what_can_be_read(handle: &Handle, commits: u32, failed: impl Fn(EngineError)) {
    for n in 0..=commits {
        let keys: Vec<Bytes> = (0..ROWS).map(|row| key(n, row)).collect();
        let rows = match keys.iter().map(|key| handle.get(key)).collect::<Result<Vec<_>, _>>() {
            Ok(rows) => rows,
            Err(error) => return failed(error),
        };
        let whole = rows.iter().all(|row| row.as_ref().is_some_and(|row| row.len() == 32 * 1024 && row[0] == n as u8));
        assert!(whole || (n == commits && rows.iter().all(Option::is_none)), "commit {n} of {commits}");
    }
}

fn a_disk_that_fills_up_refuses_writes_and_loses_nothing(engine: Kind) {
    let Some(disk) = Disk::new() else { return };
    disk.fill(LEFT_MIB);
    let config = config(engine, RESERVE_MIB);
    let handle = Handle::open(&disk.store(), &config).expect("opens");
    let (commits, error) = commit_until_it_fails(&handle);
    assert!(matches!(error, EngineError::Full(_)), "{error}");
    assert!(commits > 10, "{commits}");
    check(&handle, commits);
    let even = Batch { guards: Vec::new(), rows: vec![(b"gone".to_vec(), None), (b"note".to_vec(), Some(b"erased".to_vec()))] };
    // Rows that are still on their way into the tree free a file of the journal when they are there.
    let refused = (0..100).find_map(|_| {
        disk.fill(RESERVE_MIB - 1);
        handle.commit(vec![even.clone()]).err()
    });
    assert!(matches!(refused, Some(EngineError::Full(_))), "as much set as deleted: {refused:?}");
    let frees = Batch { rows: vec![(b"none".to_vec(), None)], ..even };
    handle.commit(vec![frees]).expect("what deletes more than it sets has half of the reserve");
    drop(handle);
    let handle = Handle::open(&disk.store(), &config).expect("the reserve is enough to open it again");
    check(&handle, commits);
    disk.fill(RESERVE_MIB - 1);
    assert!(matches!(handle.commit(vec![batch(commits)]), Err(EngineError::Full(_))));
    disk.free();
    handle.commit(vec![batch(commits)]).expect("there is space again");
    drop(handle);
    check(&Handle::open(&disk.store(), &config).expect("opens"), commits + 1);
}

/// Without a reserve the engine itself meets the end of the disk.
fn an_engine_that_meets_a_full_disk_recovers(engine: Kind) {
    let Some(disk) = Disk::new() else { return };
    disk.fill(LEFT_MIB / 2);
    let config = config(engine, 0);
    let handle = Handle::open(&disk.store(), &config).expect("opens");
    let (mut commits, error) = commit_until_it_fails(&handle);
    assert!(matches!(error, EngineError::Full(_) | EngineError::Io(_)), "{error}");
    // It may open on what is left, or say that it cannot.
    for _ in 0..2 {
        match handle.recover() {
            // A tree that has met the end of the disk may not be read any more.
            Ok(()) => check_what_can_be_read(&handle, commits, |error| println!("{}: {error}", engine.name())),
            Err(error) => println!("{}: {error}", engine.name()),
        }
    }
    disk.free();
    // The engine may have met the end of the disk while it moved rows: the next commit is told, and finds the store failed.
    while let Err(error) = handle.recover().and_then(|()| handle.commit(vec![batch(commits)]).map(drop)) {
        println!("{}: {error}", engine.name());
        assert!(matches!(error, EngineError::Io(_)) && handle.is_failed(), "{error}");
    }
    check(&handle, commits + 1);
    commits += 1;
    drop(handle);
    check(&Handle::open(&disk.store(), &config).expect("opens"), commits);
}

#[test]
fn sled_on_a_disk_that_fills_up() {
    a_disk_that_fills_up_refuses_writes_and_loses_nothing(Kind::Sled);
}

#[test]
fn redb_on_a_disk_that_fills_up() {
    a_disk_that_fills_up_refuses_writes_and_loses_nothing(Kind::Redb);
}

#[test]
fn sled_that_meets_a_full_disk() {
    an_engine_that_meets_a_full_disk_recovers(Kind::Sled);
}

#[test]
fn redb_that_meets_a_full_disk() {
    an_engine_that_meets_a_full_disk_recovers(Kind::Redb);
}
