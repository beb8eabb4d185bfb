//! Keeps a reserve of disk space free: a write that would use it is refused before it reaches the engine.
//!
//! sled cannot be opened on a full disk, and a commit that meets one has an unknown outcome. A write that is refused here has a known
//! outcome, and reads go on.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Bytes;
use super::error::EngineError;

/// How long a measurement is used. Bytes written since are subtracted from it.
const MEASURED_FOR: Duration = Duration::from_millis(100);

/// A commit of at most this many bytes that deletes more rows than it sets may use half of the reserve: deleting is how space is freed.
const FREEING_BYTES: u64 = 256 * 1024;

/// Checks the free space of a folder's file system.
pub(super) struct FreeSpace {
    folder: PathBuf,
    reserve_bytes: u64,
    /// The last measurement, in bytes.
    free: Mutex<Option<(Instant, u64)>>,
}

/// The space that a commit needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SpaceDemand {
    bytes: u64,
    frees_rows: bool,
}

impl FreeSpace {
    pub(super) fn new(folder: &Path, reserve_mib: u64) -> FreeSpace {
        FreeSpace { folder: folder.to_owned(), reserve_bytes: reserve_mib.saturating_mul(1 << 20), free: Mutex::new(None) }
    }

    /// Fails if these rows would use the reserve. If the free space cannot be measured, nothing is refused.
    pub(super) fn check(&self, rows: &[(Bytes, Option<Bytes>)]) -> Result<(), EngineError> {
        if self.reserve_bytes == 0 {
            return Ok(());
        }
        let demand = demand(rows);
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = known.and_then(|(at, free)| (at.elapsed() < MEASURED_FOR).then_some(free));
        if !free.is_some_and(|free| fits(free, self.reserve_bytes, demand)) {
            free = measure(&self.folder);
            *known = free.map(|free| (Instant::now(), free));
        }
        let Some(free) = free else { return Ok(()) };
        if !fits(free, self.reserve_bytes, demand) {
            return Err(self.full(free));
        }
        if let Some((_, free)) = known.as_mut() {
            *free = free.saturating_sub(demand.bytes);
        }
        Ok(())
    }

    /// Fails if the flusher must not write to the tree. Flushing may use a quarter of the reserve; the rest is for deleting rows and for
    /// opening the store.
    pub(super) fn check_for_flush(&self) -> Result<(), EngineError> {
        let free = measure(&self.folder).filter(|free| *free < self.reserve_bytes - self.reserve_bytes / 4);
        free.map_or(Ok(()), |free| Err(self.full(free)))
    }

    fn full(&self, free: u64) -> EngineError {
        EngineError::Full(format!(
            "{} MiB are free where {} is, and {} MiB are reserved (store.reserve_mib); free some space there",
            free >> 20,
            self.folder.display(),
            self.reserve_bytes >> 20
        ))
    }
}

/// Bytes that are free for this process; `None`: unknown. A file system without a size, such as ramfs and some in user space, says that it has no
/// blocks at all.
fn measure(folder: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(folder).ok().filter(|answer| answer.f_blocks > 0)?;
    Some(answer.f_bavail.saturating_mul(answer.f_frsize))
}

fn demand(rows: &[(Bytes, Option<Bytes>)]) -> SpaceDemand {
    let (mut bytes, mut sets, mut deletes) = (0, 0u64, 0u64);
    for (key, row) in rows {
        bytes += (key.len() + row.as_ref().map_or(0, Vec::len)) as u64;
        *(if row.is_some() { &mut sets } else { &mut deletes }) += 1;
    }
    SpaceDemand { bytes, frees_rows: deletes > sets && bytes <= FREEING_BYTES }
}

fn fits(free: u64, reserve_bytes: u64, demand: SpaceDemand) -> bool {
    let kept_bytes = if demand.frees_rows { reserve_bytes / 2 } else { reserve_bytes };
    free >= kept_bytes.saturating_add(demand.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::batch::RowBatch;

    fn rows(sets: usize, deletes: usize, bytes: usize) -> RowBatch {
        let set = (0..sets).map(|n| (vec![n as u8], Some(vec![0; bytes])));
        set.chain((0..deletes).map(|n| (vec![n as u8], None))).collect()
    }

    #[test]
    fn a_write_must_leave_the_reserve() {
        let write = demand(&rows(2, 0, 99));
        assert_eq!(write, SpaceDemand { bytes: 200, frees_rows: false });
        assert!(fits(1200, 1000, write));
        assert!(!fits(1199, 1000, write));
        assert!(!fits(u64::MAX - 1, u64::MAX, write), "no sum overflows");
    }

    #[test]
    fn small_commits_that_free_rows_may_use_half_of_the_reserve() {
        let deleting = demand(&rows(1, 2, 9));
        assert_eq!(deleting, SpaceDemand { bytes: 12, frees_rows: true });
        assert!(fits(512, 1000, deleting));
        assert!(!fits(511, 1000, deleting));
        assert!(!demand(&rows(1, 1, 9)).frees_rows, "as many set as deleted");
        assert!(!demand(&rows(1, 9, FREEING_BYTES as usize)).frees_rows, "large");
    }

    #[test]
    fn a_disk_without_the_reserve_refuses_writes_and_says_what_to_do() {
        let folder = tempfile::tempdir().expect("folder");
        FreeSpace::new(folder.path(), 0).check(&rows(1, 0, 9)).expect("without a reserve nothing is refused");
        FreeSpace::new(folder.path(), 1).check(&rows(1, 0, 9)).expect("a byte is free");
        let refused = FreeSpace::new(folder.path(), u64::MAX).check(&rows(1, 0, 9)).expect_err("no disk has as much").to_string();
        assert!(refused.contains("store.reserve_mib") && refused.contains("free some space"), "{refused}");
        for unmeasured in ["/nowhere/at/all", "/proc"] {
            FreeSpace::new(Path::new(unmeasured), 1).check(&rows(1, 0, 9)).expect("space that cannot be measured refuses nothing");
        }
    }
}
