//! The owners whose rows a group's jobs have read or written: each with its fence, and which of them have to be committed together.
//!
//! Pure but for the fences, which it asks the caller for. Invariant: the fence of an owner is taken before the first read of its rows.

use std::collections::HashMap;

use super::engine::{Batch, Bytes, CommitOutcome, Fence, Owner};

/// The owners of a group.
#[derive(Default)]
pub(super) struct GroupOwners {
    places: HashMap<Owner, usize>,
    noted: Vec<NotedOwner>,
    /// The owner that was noted last, and its place: most reads of a job are of one owner.
    last: (Bytes, usize),
    /// The owners of the job that is being decided.
    job: Vec<usize>,
}

/// A row that a group writes.
#[derive(Clone)]
pub(super) struct WrittenRow {
    /// The place of its owner.
    pub owner: usize,
    /// `None` deletes it.
    pub value: Option<Bytes>,
}

struct NotedOwner {
    fence: Fence,
    /// The place of an owner with which a job has joined it; its own if none has.
    joined_to: usize,
}

/// The part of a group that a job belongs to: its outcome is that of one of the group's batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobPart(Option<usize>);

/// What became of the parts of a group.
#[derive(Debug)]
pub struct GroupOutcomes {
    outcomes: Vec<CommitOutcome>,
    /// The batch of each owner.
    batches: Vec<usize>,
}

impl GroupOwners {
    /// Notes that the job reads or writes rows of an owner, and returns the owner's place.
    pub(super) fn note(&mut self, id: &[u8], fence: impl FnOnce(&Owner) -> Fence) -> usize {
        let place = match self.last.0 == id {
            true => self.last.1,
            false => self.place(id, fence),
        };
        if !self.job.contains(&place) {
            self.job.push(place);
        }
        place
    }

    fn place(&mut self, id: &[u8], fence: impl FnOnce(&Owner) -> Fence) -> usize {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                let (owner, place) = (Owner::from(id), self.noted.len());
                self.noted.push(NotedOwner { fence: fence(&owner), joined_to: place });
                self.places.insert(owner, place);
                place
            }
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(id);
        self.last.1 = place;
        place
    }

    /// Joins the owners of the job: they are committed together or not at all.
    pub(super) fn keep_job(&mut self) -> JobPart {
        let mut joined = None;
        while let Some(place) = self.job.pop() {
            let root = self.root(place);
            self.noted[root].joined_to = *joined.get_or_insert(root);
        }
        JobPart(joined)
    }

    /// Forgets the job. What it has noted stays: other jobs may have read it in between.
    pub(super) fn drop_job(&mut self) {
        self.job.clear();
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.noted[place].joined_to != place {
            let above = self.noted[self.noted[place].joined_to].joined_to;
            self.noted[place].joined_to = above;
            place = above;
        }
        place
    }

    /// The rows of the group, each with its owner's place, as batches, one for all owners that jobs have joined; and the batch of each owner.
    pub(super) fn into_batches(mut self, rows: impl IntoIterator<Item = (Bytes, WrittenRow)>) -> (Vec<Batch>, Vec<usize>) {
        let mut batches: Vec<Batch> = Vec::new();
        let mut of_root = vec![None; self.noted.len()];
        let mut of_owner = Vec::with_capacity(self.noted.len());
        for place in 0..self.noted.len() {
            let root = self.root(place);
            let batch = *of_root[root].get_or_insert_with(|| {
                batches.push(Batch::default());
                batches.len() - 1
            });
            of_owner.push(batch);
        }
        for (key, row) in rows {
            batches[of_owner[row.owner]].rows.push((key, row.value));
        }
        for (owner, place) in self.places {
            batches[of_owner[place]].fences.push((owner, self.noted[place].fence));
        }
        (batches, of_owner)
    }
}

impl GroupOutcomes {
    pub(super) fn new(outcomes: Vec<CommitOutcome>, batches: Vec<usize>) -> GroupOutcomes {
        GroupOutcomes { outcomes, batches }
    }

    /// The outcome of a job. One that depends on nothing is never stale.
    pub fn of(&self, part: JobPart) -> CommitOutcome {
        part.0.map_or(CommitOutcome::Applied, |place| self.outcomes[self.batches[place]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Identity, keys};

    fn row_key(name: &str) -> Bytes {
        keys::identity(&Identity::from(name))
    }

    fn noted(owners: &mut GroupOwners, names: &[&str]) -> JobPart {
        names.iter().for_each(|name| {
            owners.note(keys::owner(&row_key(name)), |_| 7);
        });
        owners.keep_job()
    }

    #[test]
    fn owners_that_one_job_joined_share_a_batch_and_others_have_their_own() {
        let mut owners = GroupOwners::default();
        let parts = [&["a"][..], &["b", "c"], &["d"], &["c", "e"], &["a"]].map(|names| noted(&mut owners, names));
        noted(&mut owners, &["f", "d"]);
        owners.note(keys::owner(&row_key("a")), |_| 7);
        owners.note(keys::owner(&row_key("b")), |_| 7);
        owners.drop_job();
        let rows = ["a", "b", "c", "d", "e"].map(|name| {
            let key = row_key(name);
            let owner = owners.note(keys::owner(&key), |_| 7);
            (key, WrittenRow { owner, value: None })
        });
        let (batches, places) = owners.into_batches(rows);
        let mut found: Vec<(usize, usize)> = batches.iter().map(|batch| (batch.fences.len(), batch.rows.len())).collect();
        found.sort_unstable();
        assert_eq!(found, [(1, 1), (2, 1), (3, 3)], "a; d and f; b, c and e");
        let stale =
            batches.iter().map(|batch| if batch.fences.len() == 3 { CommitOutcome::Stale } else { CommitOutcome::Applied }).collect();
        let outcomes = GroupOutcomes::new(stale, places);
        assert_eq!(parts.map(|part| outcomes.of(part) == CommitOutcome::Stale), [false, true, false, true, false]);
        assert_eq!(outcomes.of(JobPart::default()), CommitOutcome::Applied);
    }

    #[test]
    fn the_fence_of_an_owner_is_the_one_before_the_first_read() {
        let mut owners = GroupOwners::default();
        for (name, fence) in [("a", 1), ("b", 2), ("a", 3)] {
            owners.note(keys::owner(&row_key(name)), |_| fence);
        }
        owners.keep_job();
        let (batches, _) = owners.into_batches([]);
        let mut fences: Vec<Fence> = batches[0].fences.iter().map(|(_, fence)| *fence).collect();
        fences.sort_unstable();
        assert_eq!(fences, [1, 2]);
    }
}
