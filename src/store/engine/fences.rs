//! The fences of an engine that only this process writes to: counters in memory.
//!
//! Owners share counters. A batch can be stale because of another owner's commit, and is decided again; none is taken for current that is not.
//! After a restart nobody holds a fence of before.

use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::{Batch, CommitOutcome, Fence, Owner};

/// 64 KiB. Two owners of a group share a counter by chance once in some groups: then what a writer knows of them is read again, and where several
/// writers decide at once one of them decides again.
const COUNTERS: usize = 8192;

pub(super) struct Fences(Box<[AtomicU64]>);

impl Fences {
    pub(super) fn new() -> Fences {
        Fences((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }

    fn counter(&self, owner: &Owner) -> &AtomicU64 {
        &self.0[crc32fast::hash(owner.as_ref()) as usize % COUNTERS]
    }

    pub(super) fn of(&self, owner: &Owner) -> Fence {
        self.counter(owner).load(Ordering::SeqCst)
    }

    /// To be asked while no other commit goes on, of all batches of a call before any of their fences is raised.
    pub(super) fn outcome(&self, batch: &Batch) -> CommitOutcome {
        let stands = batch.fences.iter().all(|(owner, fence)| self.of(owner) == *fence);
        if stands { CommitOutcome::Applied } else { CommitOutcome::Stale }
    }

    /// The rows of these owners have changed, and the changes are visible: a reader that took the fence after this has read them.
    pub(super) fn raise<'a>(&self, owners: impl Iterator<Item = &'a Owner>) {
        for owner in owners {
            self.counter(owner).fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Any rows may have changed.
    pub(super) fn raise_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_stale_once_the_fence_of_one_of_its_owners_was_raised() {
        let (fences, owner) = (Fences::new(), |name: &str| Owner::from(name.as_bytes()));
        let batch =
            |names: &[&str]| Batch { fences: names.iter().map(|name| (owner(name), fences.of(&owner(name)))).collect(), rows: Vec::new() };
        let (both, one, other) = (batch(&["a", "b"]), batch(&["a"]), batch(&["b"]));
        assert_eq!([&both, &one, &other].map(|batch| fences.outcome(batch)), [CommitOutcome::Applied; 3]);
        fences.raise([owner("b")].iter());
        assert_eq!(
            [&both, &one, &other].map(|batch| fences.outcome(batch)),
            [CommitOutcome::Stale, CommitOutcome::Applied, CommitOutcome::Stale]
        );
        assert_eq!(fences.outcome(&batch(&["a", "b"])), CommitOutcome::Applied, "decided again");
        fences.raise_all();
        assert_eq!(fences.outcome(&one), CommitOutcome::Stale);
        assert_eq!(fences.outcome(&Batch::default()), CommitOutcome::Applied, "it depends on nothing");
    }
}
