//! The jobs that wait for the writer: each identity has a queue of its own, and the queues have turns.
//!
//! Reads have another queue (`read_queue`), because they run beside each other and end in any order. Its order by bytes would cost the writer more for
//! each job than the turns here do.
//!
//! One identity's jobs keep their order. However many it has submitted, a job of another one waits for its turn only, and a turn costs at most
//! [`TURN_WORK_BYTES`] and one job.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::job::JobOwner;

/// Work that one identity may have in a group ([`Group::work_bytes`](crate::store::Group::work_bytes)) before its other jobs wait for the next one.
pub(super) const TURN_WORK_BYTES: usize = 1024 * 1024;

/// Jobs by their owners.
pub(super) struct JobQueue<J> {
    queues: HashMap<JobOwner, OwnerQueue<J>>,
    /// The owners that have jobs and may have them in this group, in the order of their turns.
    turns: VecDeque<JobOwner>,
    /// Those that have jobs and have had their part of this group.
    resting: Vec<JobOwner>,
    /// Whose job was taken last.
    current: Option<JobOwner>,
    jobs: usize,
}

struct OwnerQueue<J> {
    jobs: VecDeque<J>,
    /// The work of this owner's jobs in the group.
    work_bytes: usize,
}

impl<J> Default for JobQueue<J> {
    fn default() -> JobQueue<J> {
        JobQueue { queues: HashMap::default(), turns: VecDeque::new(), resting: Vec::new(), current: None, jobs: 0 }
    }
}

impl<J> JobQueue<J> {
    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.jobs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    pub(super) fn push(&mut self, owner: JobOwner, job: J) {
        self.jobs += 1;
        if let Some(queue) = self.queues.get_mut(&owner) {
            if queue.jobs.is_empty() && self.current.as_ref() != Some(&owner) {
                self.turns.push_back(owner);
            }
            queue.jobs.push_back(job);
            return;
        }
        self.turns.push_back(owner.clone());
        self.queues.insert(owner, OwnerQueue { jobs: VecDeque::from([job]), work_bytes: 0 });
    }

    /// Puts a job before the others of its owner, once the group that it was taken for has ended.
    pub(super) fn put_back(&mut self, owner: JobOwner, job: J) {
        self.jobs += 1;
        if let Some(queue) = self.queues.get_mut(&owner) {
            queue.jobs.push_front(job);
            return;
        }
        self.turns.push_front(owner.clone());
        self.queues.insert(owner, OwnerQueue { jobs: VecDeque::from([job]), work_bytes: 0 });
    }

    /// The next job of this group. [`JobQueue::charge`] comes before the next call.
    pub(super) fn next(&mut self) -> Option<J> {
        let owner = self.turns.pop_front()?;
        let job = self.queues.get_mut(&owner).and_then(|queue| queue.jobs.pop_front());
        self.jobs -= usize::from(job.is_some());
        self.current = Some(owner);
        job
    }

    /// Notes the work of the job that was taken last. Its owner has another turn in this group unless it has had its part.
    pub(super) fn charge(&mut self, work_bytes: usize) {
        let Some(owner) = self.current.take() else { return };
        let Some(queue) = self.queues.get_mut(&owner) else { return };
        queue.work_bytes += work_bytes;
        match (queue.jobs.is_empty(), queue.work_bytes < TURN_WORK_BYTES) {
            (true, _) => {}
            (false, true) => self.turns.push_back(owner),
            (false, false) => self.resting.push(owner),
        }
    }

    /// Ends the group: everybody that has jobs has turns in the next one, those first that still waited for one.
    pub(super) fn end_group(&mut self) {
        self.turns.extend(self.resting.drain(..));
        self.queues.retain(|_, queue| {
            queue.work_bytes = 0;
            !queue.jobs.is_empty()
        });
    }

    /// All jobs, in the order of their turns.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = J> {
        let mut queue = std::mem::take(self);
        std::iter::from_fn(move || {
            queue.turns.extend(queue.resting.drain(..));
            let job = queue.next();
            queue.charge(0);
            job
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Identity;

    fn owner(name: &str) -> JobOwner {
        JobOwner::Identity(Identity::from(name))
    }

    /// Takes the jobs of one group, each of which costs so much.
    fn group(queue: &mut JobQueue<&'static str>, work_bytes: usize, most: usize) -> Vec<&'static str> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(job) = queue.next()
        {
            queue.charge(work_bytes);
            taken.push(job);
        }
        queue.end_group();
        taken
    }

    fn queue_of(jobs: &[(&str, &'static str)]) -> JobQueue<&'static str> {
        let mut queue = JobQueue::default();
        jobs.iter().for_each(|(name, job)| queue.push(owner(name), *job));
        queue
    }

    #[test]
    fn owners_have_turns_and_each_ones_jobs_keep_their_order() {
        let mut queue = queue_of(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]);
        assert_eq!(queue.len(), 6);
        assert_eq!(group(&mut queue, 1, usize::MAX), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.is_empty() && queue.queues.is_empty());
    }

    #[test]
    fn who_has_had_its_part_of_a_group_waits_for_the_next_one() {
        let mut queue = queue_of(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")]);
        assert_eq!(group(&mut queue, TURN_WORK_BYTES / 2, usize::MAX), ["a1", "b1", "a2", "b2"]);
        assert_eq!(group(&mut queue, TURN_WORK_BYTES / 2, usize::MAX), ["a3"]);
    }

    #[test]
    fn who_waited_longer_comes_first_in_the_next_group() {
        let mut queue = queue_of(&[("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")]);
        assert_eq!(group(&mut queue, TURN_WORK_BYTES, 2), ["a1", "b1"]);
        queue.push(owner("d"), "d1");
        assert_eq!(group(&mut queue, TURN_WORK_BYTES, usize::MAX), ["c1", "a2", "d1"]);
    }

    #[test]
    fn a_job_that_comes_while_its_owners_is_decided_has_one_turn() {
        let mut queue = queue_of(&[("a", "a1")]);
        assert_eq!(queue.next(), Some("a1"));
        queue.push(owner("a"), "a2");
        queue.charge(1);
        assert_eq!(group(&mut queue, 1, usize::MAX), ["a2"]);
        queue.push(owner("a"), "a3");
        queue.push(JobOwner::Store, "s1");
        assert_eq!(queue.drain().collect::<Vec<_>>(), ["a3", "s1"]);
        assert!(queue.is_empty());
    }

    /// Whatever one owner submits, another one's job waits for one job of everybody else.
    #[test]
    fn a_bystander_waits_for_one_turn_of_everybody() {
        let mut queue = JobQueue::default();
        (0..10_000).for_each(|_| queue.push(owner("hostile"), "hostile"));
        assert_eq!(group(&mut queue, TURN_WORK_BYTES / 100, 64).len(), 64);
        queue.push(owner("bystander"), "bystander");
        let taken = group(&mut queue, TURN_WORK_BYTES / 100, usize::MAX);
        assert!(taken.iter().position(|job| *job == "bystander").is_some_and(|at| at <= 1), "{:?}", &taken[..9]);
        assert!((100..=102).contains(&taken.len()), "a hundredth of its part for each of the hostile one's jobs: {}", taken.len());
    }
}
