//! Free space is kept: a write that would eat into the reserve is refused before the engine hears of it.
//!
//! sled cannot be opened on a full disk, and an engine that meets one in the middle of a commit leaves its outcome unknown. A refused write
//! leaves nothing unknown, and reads go on.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Batch, EngineError};

/// How long a measurement holds. What was written since is taken off it.
const MEASURED_FOR: Duration = Duration::from_millis(100);

/// Bytes of rows in a commit that may go below the reserve, if it deletes more rows than it sets: it is how space is freed.
const FREEING_BYTES: u64 = 256 * 1024;

/// The free space of a folder's file system.
pub(super) struct Space {
    folder: PathBuf,
    reserve: u64,
    free: Mutex<Option<(Instant, u64)>>,
}

/// What a commit is going to ask of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Demand {
    bytes: u64,
    frees: bool,
}

impl Space {
    pub(super) fn new(folder: &Path, reserve_mib: u64) -> Space {
        Space { folder: folder.to_owned(), reserve: reserve_mib.saturating_mul(1 << 20), free: Mutex::new(None) }
    }

    /// Whether there is room for these batches and the reserve. If it cannot be measured the engine has to find out.
    pub(super) fn check(&self, batches: &[Batch]) -> Result<(), EngineError> {
        if self.reserve == 0 {
            return Ok(());
        }
        let demand = demand(batches);
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = known.and_then(|(at, free)| (at.elapsed() < MEASURED_FOR).then_some(free));
        if !free.is_some_and(|free| has_room(free, self.reserve, demand)) {
            free = measure(&self.folder);
            *known = free.map(|free| (Instant::now(), free));
        }
        let Some(free) = free else { return Ok(()) };
        if !has_room(free, self.reserve, demand) {
            return Err(self.full(free));
        }
        if let Some((_, free)) = known.as_mut() {
            *free = free.saturating_sub(demand.bytes);
        }
        Ok(())
    }

    /// Whether the engine may move what was committed to where it stays: that takes a quarter of the reserve, and leaves enough of it to free rows
    /// and to open the store.
    pub(super) fn check_for_tree(&self) -> Result<(), EngineError> {
        let free = measure(&self.folder).filter(|free| *free < self.reserve - self.reserve / 4);
        free.map_or(Ok(()), |free| Err(self.full(free)))
    }

    fn full(&self, free: u64) -> EngineError {
        EngineError::Full(format!(
            "{} MiB are left where {} is, and {} MiB are kept free (store.reserve_mib); free some space there",
            free >> 20,
            self.folder.display(),
            self.reserve >> 20
        ))
    }
}

/// Bytes that are free for this process.
fn measure(folder: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(folder).ok()?;
    Some(answer.f_bavail.saturating_mul(answer.f_frsize))
}

fn demand(batches: &[Batch]) -> Demand {
    let (mut bytes, mut sets, mut deletes) = (0, 0u64, 0u64);
    for (key, row) in batches.iter().flat_map(|batch| &batch.rows) {
        bytes += (key.len() + row.as_ref().map_or(0, Vec::len)) as u64;
        *(if row.is_some() { &mut sets } else { &mut deletes }) += 1;
    }
    Demand { bytes, frees: deletes > sets && bytes <= FREEING_BYTES }
}

fn has_room(free: u64, reserve: u64, demand: Demand) -> bool {
    let kept = if demand.frees { reserve / 2 } else { reserve };
    free >= kept.saturating_add(demand.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sets: usize, deletes: usize, bytes: usize) -> Batch {
        let set = (0..sets).map(|n| (vec![n as u8], Some(vec![0; bytes])));
        Batch { guards: Vec::new(), rows: set.chain((0..deletes).map(|n| (vec![n as u8], None))).collect() }
    }

    #[test]
    fn what_is_written_must_leave_the_reserve() {
        let write = demand(&[rows(2, 0, 99)]);
        assert_eq!(write, Demand { bytes: 200, frees: false });
        assert!(has_room(1200, 1000, write));
        assert!(!has_room(1199, 1000, write));
        assert!(!has_room(u64::MAX - 1, u64::MAX, write), "no sum overflows");
    }

    #[test]
    fn small_commits_that_free_rows_have_half_of_it() {
        let frees = demand(&[rows(1, 2, 9)]);
        assert_eq!(frees, Demand { bytes: 12, frees: true });
        assert!(has_room(512, 1000, frees));
        assert!(!has_room(511, 1000, frees));
        assert!(!demand(&[rows(1, 1, 9)]).frees, "as many set as deleted");
        assert!(!demand(&[rows(1, 9, FREEING_BYTES as usize)]).frees, "large");
    }

    #[test]
    fn a_disk_without_the_reserve_refuses_and_says_what_to_do() {
        let folder = tempfile::tempdir().expect("folder");
        Space::new(folder.path(), 0).check(&[rows(1, 0, 9)]).expect("no reserve, no question");
        Space::new(folder.path(), 1).check(&[rows(1, 0, 9)]).expect("a byte is free");
        let refused = Space::new(folder.path(), u64::MAX).check(&[rows(1, 0, 9)]).expect_err("nobody has as much").to_string();
        assert!(refused.contains("store.reserve_mib") && refused.contains("free some space"), "{refused}");
        Space::new(Path::new("/nowhere/at/all"), 1).check(&[rows(1, 0, 9)]).expect("what cannot be measured is not refused");
    }
}
