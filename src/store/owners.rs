//! The owners whose rows a group's jobs have read or written: each with its fence, what is known and what was decided of its rows, and which of
//! them have to be committed together.
//!
//! Pure but for the fences and rows, which it asks the caller for. Invariant: the fence of an owner is taken before the first read of its rows.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::engine::{Batch, Bytes, CommitOutcome, Fence, Owner};
use super::row_cache::{KnownRows, RowCache};

/// The owners of a group.
#[derive(Default)]
pub(super) struct GroupOwners {
    /// What is known of owners that the group has not noted.
    cache: RowCache,
    places: HashMap<Owner, usize>,
    noted: Vec<NotedOwner>,
    /// The owner that was noted last, and its place: most reads of a job are of one owner.
    last: (Bytes, usize),
    /// The owners of the job that is being decided.
    job: Vec<usize>,
}

/// A row that a group writes.
pub(super) struct WrittenRow {
    /// The place of its owner.
    pub owner: usize,
    /// `None` deletes it.
    pub value: Option<Bytes>,
}

/// Rows that a group's jobs have decided; `None` deletes one.
pub(super) type DecidedRows = BTreeMap<Bytes, Option<Bytes>>;

struct NotedOwner {
    owner: Owner,
    /// The rows as the engine has them, since the owner's fence was taken.
    known: KnownRows,
    decided: DecidedRows,
    /// The place of an owner with which a job has joined it; its own if none has.
    joined_to: usize,
}

/// The part of a group that a job belongs to: its outcome is that of one of the group's batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobPart(Option<usize>);

/// The owners of a group whose batches are being committed.
pub(super) struct CommittedOwners {
    cache: RowCache,
    /// With the rows as they are if the batch is applied.
    known: Vec<(Owner, KnownRows)>,
    /// The batch of each owner.
    batches: Vec<usize>,
}

/// What became of the parts of a group.
#[derive(Debug)]
pub struct GroupOutcomes {
    outcomes: Vec<CommitOutcome>,
    /// The batch of each owner.
    batches: Vec<usize>,
}

impl GroupOwners {
    pub(super) fn new(cache: RowCache) -> GroupOwners {
        GroupOwners { cache, ..GroupOwners::default() }
    }

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
                let ((owner, known), place) = (self.cache.take(id, fence), self.noted.len());
                self.places.insert(owner.clone(), place);
                self.noted.push(NotedOwner { owner, known, decided: DecidedRows::new(), joined_to: place });
                place
            }
        };
        self.last.0.clear();
        self.last.0.extend_from_slice(id);
        self.last.1 = place;
        place
    }

    /// A row as the group's jobs have decided it, or else as it is known, or else as `read` finds it.
    pub(super) fn row<E>(&mut self, place: usize, key: &[u8], read: impl FnOnce() -> Result<Option<Bytes>, E>) -> Result<Option<Bytes>, E> {
        let NotedOwner { known, decided, .. } = &mut self.noted[place];
        if let Some(row) = decided.get(key).or_else(|| known.get(key)) {
            return Ok(row.clone());
        }
        let row = read()?;
        known.note_read(key, &row);
        Ok(row)
    }

    /// What the group's jobs have decided of an owner's rows.
    pub(super) fn decided(&self, place: usize) -> &DecidedRows {
        &self.noted[place].decided
    }

    /// What the group's jobs have decided.
    pub(super) fn all_decided(&self) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        self.noted.iter().flat_map(|noted| &noted.decided)
    }

    /// Keeps the rows of the job, and joins its owners: they are committed together or not at all.
    pub(super) fn keep_job(&mut self, rows: impl IntoIterator<Item = (Bytes, WrittenRow)>) -> JobPart {
        for (key, row) in rows {
            self.noted[row.owner].decided.insert(key, row.value);
        }
        let mut joined = None;
        while let Some(place) = self.job.pop() {
            let root = self.root(place);
            self.noted[root].joined_to = *joined.get_or_insert(root);
        }
        JobPart(joined)
    }

    /// Whether the fences of the job's owners are still those that were taken.
    pub(super) fn is_job_current(&self, fence: impl Fn(&Owner) -> Fence) -> bool {
        self.job.iter().map(|place| &self.noted[*place]).all(|noted| fence(&noted.owner) == noted.known.fence())
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

    /// What was decided as batches, one for all owners that jobs have joined.
    pub(super) fn into_batches(mut self) -> (Vec<Batch>, CommittedOwners) {
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
        let mut all_known = Vec::with_capacity(self.noted.len());
        for (NotedOwner { owner, mut known, decided, .. }, batch) in self.noted.into_iter().zip(&of_owner) {
            let batch = &mut batches[*batch];
            batch.fences.push((owner.clone(), known.fence()));
            decided.iter().for_each(|(key, row)| known.note_written(key, row));
            batch.rows.extend(decided);
            all_known.push((owner, known));
        }
        for ((_, known), batch) in all_known.iter_mut().zip(&of_owner) {
            if !batches[*batch].rows.is_empty() {
                known.note_commit();
            }
        }
        (batches, CommittedOwners { cache: self.cache, known: all_known, batches: of_owner })
    }
}

impl CommittedOwners {
    /// What is known after the commit, and what became of the group's parts.
    pub(super) fn with_outcomes(self, outcomes: Vec<CommitOutcome>) -> (RowCache, GroupOutcomes) {
        let CommittedOwners { mut cache, known, batches } = self;
        for ((owner, known), batch) in known.into_iter().zip(&batches) {
            if outcomes[*batch] == CommitOutcome::Applied {
                cache.keep(owner, known);
            }
        }
        (cache, GroupOutcomes { outcomes, batches })
    }
}

impl GroupOutcomes {
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
        owners.keep_job([])
    }

    #[test]
    fn owners_that_one_job_joined_share_a_batch_and_others_have_their_own() {
        let mut owners = GroupOwners::default();
        let parts = [&["a"][..], &["b", "c"], &["d"], &["c", "e"], &["a"]].map(|names| noted(&mut owners, names));
        noted(&mut owners, &["f", "d"]);
        owners.note(keys::owner(&row_key("a")), |_| 7);
        owners.note(keys::owner(&row_key("b")), |_| 7);
        owners.drop_job();
        for name in ["a", "b", "c", "d", "e"] {
            let key = row_key(name);
            let owner = owners.note(keys::owner(&key), |_| 7);
            owners.keep_job([(key, WrittenRow { owner, value: None })]);
        }
        let (batches, committed) = owners.into_batches();
        let mut found: Vec<(usize, usize)> = batches.iter().map(|batch| (batch.fences.len(), batch.rows.len())).collect();
        found.sort_unstable();
        assert_eq!(found, [(1, 1), (2, 1), (3, 3)], "a; d and f; b, c and e");
        let stale =
            batches.iter().map(|batch| if batch.fences.len() == 3 { CommitOutcome::Stale } else { CommitOutcome::Applied }).collect();
        let (_, outcomes) = committed.with_outcomes(stale);
        assert_eq!(parts.map(|part| outcomes.of(part) == CommitOutcome::Stale), [false, true, false, true, false]);
        assert_eq!(outcomes.of(JobPart::default()), CommitOutcome::Applied);
    }

    #[test]
    fn the_fence_of_an_owner_is_the_one_before_the_first_read() {
        let mut owners = GroupOwners::default();
        for (name, fence) in [("a", 1), ("b", 2), ("a", 3)] {
            owners.note(keys::owner(&row_key(name)), |_| fence);
        }
        owners.keep_job([]);
        let (batches, _) = owners.into_batches();
        let mut fences: Vec<Fence> = batches[0].fences.iter().map(|(_, fence)| *fence).collect();
        fences.sort_unstable();
        assert_eq!(fences, [1, 2]);
    }
}
