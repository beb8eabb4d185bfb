//! The jobs that wait for the writer: each identity has a queue of its own, and the queues have turns.
//!
//! Reads have another queue (`read_queue`), because they run beside each other and end in any order. Its order by bytes would cost the writer more for
//! each job than the turns here do.
//!
//! One identity's jobs keep their order. However many it has submitted, a job of another one waits for its turn only, and a turn costs at most
//! [`TURN_WORK_BYTES`] and one job. After much work an identity rests for as long as it may take at [`PACE_BYTES_PER_S`]: what it has the
//! disk write is waited for by everybody else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foldhash::HashMap;

use super::job::JobOwner;

/// Work that one identity may have in a group ([`Group::work_bytes`](crate::store::Group::work_bytes)) before its other jobs wait for the next one.
pub(super) const TURN_WORK_BYTES: usize = 1024 * 1024;

/// The least work in a group after which its identity rests.
const PACED_WORK_BYTES: usize = 64 * 1024;

/// Work that one identity may have in a second. An ordinary write is some KiB of it, a patch at its bounds up to 8 MiB.
const PACE_BYTES_PER_S: u64 = 16 * 1024 * 1024;

/// Jobs by their owners.
pub(super) struct JobQueue<J> {
    queues: HashMap<JobOwner, OwnerQueue<J>>,
    /// The owners that have jobs and may have them in this group, in the order of their turns.
    turns: VecDeque<JobOwner>,
    /// Those that have jobs and have had their part of this group, or rest.
    resting: Vec<JobOwner>,
    /// Whose job was taken last.
    current: Option<JobOwner>,
    jobs: usize,
}

struct OwnerQueue<J> {
    jobs: VecDeque<J>,
    /// The work of this owner's jobs in the group.
    work_bytes: usize,
    rests_until: Option<Instant>,
    /// Whether the owner is in `turns` or `resting`.
    is_listed: bool,
}

impl<J> Default for JobQueue<J> {
    fn default() -> JobQueue<J> {
        JobQueue { queues: HashMap::default(), turns: VecDeque::new(), resting: Vec::new(), current: None, jobs: 0 }
    }
}

impl<J> OwnerQueue<J> {
    fn of(job: J) -> OwnerQueue<J> {
        OwnerQueue { jobs: VecDeque::from([job]), work_bytes: 0, rests_until: None, is_listed: true }
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

    /// Whether [`JobQueue::next`] has a job.
    pub(super) fn is_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// When the first owner that has jobs has rested.
    pub(super) fn rested_at(&self) -> Option<Instant> {
        self.resting.iter().filter_map(|owner| self.queues.get(owner)?.rests_until).min()
    }

    pub(super) fn push(&mut self, owner: JobOwner, job: J) {
        self.jobs += 1;
        let Some(queue) = self.queues.get_mut(&owner) else {
            self.turns.push_back(owner.clone());
            self.queues.insert(owner, OwnerQueue::of(job));
            return;
        };
        queue.jobs.push_back(job);
        if queue.is_listed || self.current.as_ref() == Some(&owner) {
            return;
        }
        queue.is_listed = true;
        match queue.rests_until {
            None => self.turns.push_back(owner),
            Some(_) => self.resting.push(owner),
        }
    }

    /// Puts a job before the others of its owner, once the group that it was taken for has ended.
    pub(super) fn put_back(&mut self, owner: JobOwner, job: J) {
        self.jobs += 1;
        let Some(queue) = self.queues.get_mut(&owner) else {
            self.turns.push_front(owner.clone());
            self.queues.insert(owner, OwnerQueue::of(job));
            return;
        };
        queue.jobs.push_front(job);
        if !std::mem::replace(&mut queue.is_listed, true) {
            self.turns.push_front(owner);
        }
    }

    /// Gives turns to those that have rested by now; to everybody, if nobody is to wait.
    pub(super) fn begin_group(&mut self, now: Instant, may_wait: bool) {
        let queues = &mut self.queues;
        let mut has_rested = |owner: &mut JobOwner| {
            let Some(queue) = queues.get_mut(owner) else { return true };
            let has_rested = !may_wait || queue.rests_until.is_none_or(|until| until <= now);
            if has_rested {
                queue.rests_until = None;
            }
            has_rested
        };
        self.turns.extend(self.resting.extract_if(.., &mut has_rested));
    }

    /// The next job of this group. [`JobQueue::charge`] comes before the next call.
    pub(super) fn next(&mut self) -> Option<J> {
        let owner = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&owner)?;
        queue.is_listed = false;
        let job = queue.jobs.pop_front();
        self.jobs -= usize::from(job.is_some());
        self.current = Some(owner);
        job
    }

    /// Notes the work of the job that was taken last. Its owner has another turn in this group unless it has had its part.
    pub(super) fn charge(&mut self, work_bytes: usize) {
        let Some(owner) = self.current.take() else { return };
        let Some(queue) = self.queues.get_mut(&owner) else { return };
        queue.work_bytes += work_bytes;
        queue.is_listed = !queue.jobs.is_empty();
        match (queue.is_listed, queue.work_bytes < TURN_WORK_BYTES) {
            (false, _) => {}
            (true, true) => self.turns.push_back(owner),
            (true, false) => self.resting.push(owner),
        }
    }

    /// Ends the group: those that had much work in it rest now, all others that have jobs have turns in the next one.
    pub(super) fn end_group(&mut self, now: Instant) {
        let mut is_paced = false;
        self.queues.retain(|owner, queue| {
            if queue.work_bytes >= PACED_WORK_BYTES {
                queue.rests_until = Some(now + rest_after(owner, queue.work_bytes));
                is_paced = true;
            }
            queue.work_bytes = 0;
            !queue.jobs.is_empty() || queue.rests_until.is_some_and(|until| until > now)
        });
        if is_paced {
            let (queues, resting) = (&self.queues, &mut self.resting);
            self.turns.retain(|owner| {
                let rests = queues.get(owner).is_some_and(|queue| queue.rests_until.is_some());
                if rests {
                    resting.push(owner.clone());
                }
                !rests
            });
        }
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

/// How long an owner rests after such work in a group. The steps of the server itself are not paced.
fn rest_after(owner: &JobOwner, work_bytes: usize) -> Duration {
    if *owner == JobOwner::Store {
        return Duration::ZERO;
    }
    Duration::from_micros((work_bytes as u64).saturating_mul(1_000_000) / PACE_BYTES_PER_S)
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
        queue.begin_group(Instant::now(), false);
        while taken.len() < most
            && let Some(job) = queue.next()
        {
            queue.charge(work_bytes);
            taken.push(job);
        }
        queue.end_group(Instant::now());
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
    fn who_has_had_less_comes_first_in_the_next_group() {
        let mut queue = queue_of(&[("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")]);
        assert_eq!(group(&mut queue, TURN_WORK_BYTES, 2), ["a1", "b1"]);
        queue.push(owner("d"), "d1");
        assert_eq!(group(&mut queue, TURN_WORK_BYTES, usize::MAX), ["c1", "d1", "a2"]);
    }

    #[test]
    fn a_job_that_comes_while_its_owners_is_decided_has_one_turn() {
        let mut queue = queue_of(&[("a", "a1")]);
        assert_eq!(queue.next(), Some("a1"));
        queue.push(owner("a"), "a2");
        queue.charge(1);
        assert_eq!(group(&mut queue, 1, usize::MAX), ["a2"]);
        assert!(!queue.is_ready());
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

    /// Takes one job that costs so much, in a group that ends at this time.
    fn take(queue: &mut JobQueue<&'static str>, at: Instant, work_bytes: usize) -> Option<&'static str> {
        queue.begin_group(at, true);
        let job = queue.next();
        queue.charge(work_bytes);
        queue.end_group(at);
        job
    }

    #[test]
    fn after_much_work_an_owner_rests_and_others_do_not() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut queue = queue_of(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")]);
        let much = 2 * PACE_BYTES_PER_S as usize;
        assert_eq!(take(&mut queue, start, much), Some("a1"));
        assert_eq!(queue.rested_at(), Some(start + 2 * second));
        assert_eq!(take(&mut queue, start, PACED_WORK_BYTES - 1), Some("b1"));
        assert_eq!(take(&mut queue, start, 0), Some("b2"), "a little work is nothing to rest from");
        assert!(!queue.is_ready() && take(&mut queue, start + second, 0).is_none());
        assert_eq!(take(&mut queue, start + 2 * second, much), Some("a2"));
        assert_eq!((queue.len(), take(&mut queue, start + 3 * second, 0)), (1, None));
        queue.begin_group(start + 3 * second, false);
        assert_eq!(queue.next(), Some("a3"), "nobody rests while the writer stops");
    }

    #[test]
    fn who_rests_without_a_job_rests_also_with_one_and_is_forgotten_afterwards() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut queue = queue_of(&[("a", "a1")]);
        assert_eq!(take(&mut queue, start, PACE_BYTES_PER_S as usize), Some("a1"));
        assert_eq!(queue.rested_at(), None, "it has no job");
        queue.push(owner("a"), "a2");
        assert_eq!((take(&mut queue, start, 0), queue.rested_at()), (None, Some(start + second)));
        assert_eq!(take(&mut queue, start + second, PACE_BYTES_PER_S as usize), Some("a2"));
        queue.put_back(owner("a"), "a2");
        assert_eq!(take(&mut queue, start + second, 0), Some("a2"), "a job that was stale does not rest again");
        queue.push(JobOwner::Store, "s1");
        queue.push(JobOwner::Store, "s2");
        assert_eq!(take(&mut queue, start + 2 * second, PACE_BYTES_PER_S as usize), Some("s1"));
        assert_eq!(take(&mut queue, start + 2 * second, 0), Some("s2"), "steps of the server itself are not paced");
        assert!(queue.queues.is_empty() && queue.is_empty());
    }
}
