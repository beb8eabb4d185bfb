//! The reads that wait for a thread: each owner has a queue of its own, and the owner that has had the least is next.
//!
//! What an owner has had is counted in bytes (start-time fair queueing): a read costs [`READ_BYTES`] when it begins, and what it returned
//! when it ends. An owner that had nothing to read begins with as much as the one whose turn it is, so it neither waits for what it did not use
//! nor is paid back for it. However many reads one owner has queued, another one waits for at most one read of each owner before it, and no
//! owner has more than [`OWNER_THREADS`] reads under way: some threads are left for the others, also if all of its reads wait for the disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// What every read costs, in bytes: it looks at a few rows, which cost 256 each in the writer's budget too.
pub(super) const READ_BYTES: usize = 1024;

/// Reads of one owner that may be under way at the same time: one waits for the disk while another computes. Four owners must misbehave at
/// once before all of the eight threads are taken.
pub(super) const OWNER_THREADS: usize = 2;

pub(super) struct ReadQueue<O, J> {
    /// The owners that have reads, waiting or under way.
    owners: HashMap<O, OwnerReads<J>>,
    /// Those that may have another thread, the one that has had the least first.
    turns: BTreeMap<TurnKey, O>,
    /// What the owner whose turn was last had had by then, in bytes.
    served_bytes: u64,
    next_turn: u64,
}

/// What its owner has had, in bytes, and a number that is unique: of two that have had the same, the one that waited longer is first.
type TurnKey = (u64, u64);

struct OwnerReads<J> {
    jobs: VecDeque<J>,
    under_way: usize,
    served_bytes: u64,
    turn: Option<TurnKey>,
}

impl<O, J> Default for ReadQueue<O, J> {
    fn default() -> ReadQueue<O, J> {
        ReadQueue { owners: HashMap::new(), turns: BTreeMap::new(), served_bytes: 0, next_turn: 0 }
    }
}

impl<O: Clone + Eq + Hash, J> ReadQueue<O, J> {
    /// Whether [`ReadQueue::begin`] has a read. Others may wait for the end of one that is under way.
    pub(super) fn is_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    pub(super) fn push(&mut self, owner: O, job: J) {
        let idle = || OwnerReads { jobs: VecDeque::new(), under_way: 0, served_bytes: 0, turn: None };
        self.owners.entry(owner.clone()).or_insert_with(idle).jobs.push_back(job);
        self.give_turn(&owner);
    }

    /// Takes the next read. [`ReadQueue::end`] must follow when it is over.
    pub(super) fn begin(&mut self) -> Option<(O, J)> {
        let ((served_bytes, _), owner) = self.turns.pop_first()?;
        self.served_bytes = served_bytes;
        let reads = self.owners.get_mut(&owner)?;
        reads.turn = None;
        let job = reads.jobs.pop_front()?;
        reads.under_way += 1;
        reads.served_bytes += READ_BYTES as u64;
        self.give_turn(&owner);
        Some((owner, job))
    }

    /// Notes that a read is over, and how many bytes it returned.
    pub(super) fn end(&mut self, owner: &O, returned_bytes: usize) {
        let Some(reads) = self.owners.get_mut(owner) else { return };
        reads.under_way -= 1;
        reads.served_bytes += returned_bytes as u64;
        if let Some(turn) = reads.turn.take() {
            self.turns.remove(&turn);
        }
        if reads.jobs.is_empty() && reads.under_way == 0 {
            self.owners.remove(owner);
        } else {
            self.give_turn(owner);
        }
    }

    /// Gives an owner a turn, if it has a read that may begin and no turn yet.
    fn give_turn(&mut self, owner: &O) {
        let Some(reads) = self.owners.get_mut(owner) else { return };
        if reads.turn.is_some() || reads.jobs.is_empty() || reads.under_way >= OWNER_THREADS {
            return;
        }
        reads.served_bytes = reads.served_bytes.max(self.served_bytes);
        let turn = (reads.served_bytes, self.next_turn);
        self.next_turn += 1;
        reads.turn = Some(turn);
        self.turns.insert(turn, owner.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does reads one after the other, each of which returns so many bytes, and says whose they were.
    fn done(queue: &mut ReadQueue<&'static str, usize>, most: usize) -> Vec<&'static str> {
        let mut owners = Vec::new();
        while owners.len() < most
            && let Some((owner, returned_bytes)) = queue.begin()
        {
            queue.end(&owner, returned_bytes);
            owners.push(owner);
        }
        owners
    }

    #[test]
    fn owners_take_turns_and_each_ones_reads_keep_their_order() {
        let mut queue = ReadQueue::default();
        for (owner, read) in [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("c", 1)] {
            queue.push(owner, read);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.begin().inspect(|(owner, _)| queue.end(owner, 0))).collect();
        assert_eq!(order, [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("a", 3)]);
        assert!(queue.owners.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn turns_go_by_the_bytes_and_not_by_the_number_of_reads() {
        let mut queue = ReadQueue::default();
        (0..100).for_each(|_| queue.push("large", 256 * 1024 - READ_BYTES));
        (0..1000).for_each(|_| queue.push("small", 0));
        let order = done(&mut queue, 1000);
        let large = order.iter().filter(|owner| **owner == "large").count();
        assert!((3..=5).contains(&large), "256 small reads cost as much as a large one: {large}");
    }

    /// However many reads of whatever size one owner has queued, another one's waits for one turn only.
    #[test]
    fn a_bystander_waits_for_one_read_of_everybody_else() {
        let mut queue = ReadQueue::default();
        (0..10_000).for_each(|_| queue.push("hostile", 256 * 1024));
        done(&mut queue, 50);
        for _ in 0..100 {
            queue.push("bystander", 300);
            let order = done(&mut queue, 2);
            assert!(order.contains(&"bystander"), "{order:?}");
        }
    }

    #[test]
    fn nobody_is_paid_back_for_the_time_without_reads() {
        let mut queue = ReadQueue::default();
        queue.push("late", 0);
        (0..1000).for_each(|_| queue.push("busy", 100_000));
        done(&mut queue, 500);
        (0..1000).for_each(|_| queue.push("late", 100_000));
        let order = done(&mut queue, 100);
        let late = order.iter().filter(|owner| **owner == "late").count();
        assert!((49..=51).contains(&late), "from here on both have as much: {late}");
    }

    #[test]
    fn one_owner_never_has_all_threads() {
        let mut queue = ReadQueue::default();
        (0..10).for_each(|read| queue.push("hostile", read));
        let under_way: Vec<_> = std::iter::from_fn(|| queue.begin()).collect();
        assert_eq!(under_way.len(), OWNER_THREADS);
        assert!(!queue.is_ready(), "the others wait until one is over");
        queue.push("bystander", 0);
        assert_eq!(queue.begin(), Some(("bystander", 0)));
        queue.end(&"hostile", 0);
        assert_eq!(queue.begin(), Some(("hostile", 2)));
        assert_eq!(queue.begin(), None);
    }
}
