//! Patches that were not answered yet.
//!
//! - A patch gets its number when it is first handed out, never before the server has said which numbers it knows.
//! - Numbers increase; a patch keeps its number and its changes until it is answered, over any number of connections.
//! - The numbers on their way lie within [`limits::PATCH_WINDOW`] of each other, as the server forgets results beyond it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driftless_protocol::{Change, ClientMessage, DatasetName, limits};

/// A patch and what its owner wants back with the answer.
#[derive(Debug)]
pub struct Patch<T> {
    /// Where to.
    pub dataset: DatasetName,
    /// Applied in order, all or none.
    pub changes: Vec<Change>,
    /// Handed back with the answer.
    pub ticket: T,
}

/// What a device still has to write. Unbounded by itself: who adds patches bounds them.
#[derive(Debug)]
pub struct Outbox<T> {
    waiting: VecDeque<Patch<T>>,
    numbered: BTreeMap<u64, Patch<T>>,
    unsent: BTreeSet<u64>,
    held: BTreeSet<u64>,
    next: u64,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { waiting: VecDeque::new(), numbered: BTreeMap::new(), unsent: BTreeSet::new(), held: BTreeSet::new(), next: 1 }
    }
}

impl<T> Outbox<T> {
    /// Nothing to write.
    pub fn new() -> Outbox<T> {
        Outbox::default()
    }

    /// Adds a patch behind all others.
    pub fn push(&mut self, patch: Patch<T>) {
        self.waiting.push_back(patch);
    }

    /// A connection was welcomed by a server that knows this device's patches up to `known`: everything that has
    /// a number is sent again with it, and new numbers begin after both sides' highest.
    pub fn connected(&mut self, known: u64) {
        self.next = self.next.max(known.saturating_add(1));
        self.held.clear();
        self.unsent = self.numbered.keys().copied().collect();
    }

    /// The next `write` to send on this connection, if there is one that may go now.
    pub fn next_write(&mut self) -> Option<ClientMessage> {
        if let Some(id) = self.unsent.pop_first() {
            return self.message(id);
        }
        let oldest = self.numbered.first_key_value().map_or(self.next, |(id, _)| *id);
        if self.next.saturating_sub(oldest) >= limits::PATCH_WINDOW {
            return None;
        }
        let patch = self.waiting.pop_front()?;
        let id = self.next;
        self.next += 1;
        self.numbered.insert(id, patch);
        self.message(id)
    }

    /// Takes out the patch that was answered; `None` if no such patch is waited for.
    pub fn answered(&mut self, id: u64) -> Option<Patch<T>> {
        self.unsent.remove(&id);
        self.held.remove(&id);
        self.numbered.remove(&id)
    }

    /// The server cannot take this patch now: it stays, and is sent again after [`Outbox::release`]. False if it is not waited for.
    pub fn hold(&mut self, id: u64) -> bool {
        self.numbered.contains_key(&id) && self.held.insert(id)
    }

    /// Sends what was held again, with the same numbers.
    pub fn release(&mut self) {
        self.unsent.append(&mut self.held);
    }

    /// Patches that were not answered yet.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.numbered.len()
    }

    /// True if everything is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn message(&self, id: u64) -> Option<ClientMessage> {
        let patch = self.numbered.get(&id)?;
        Some(ClientMessage::Write { id, dataset: patch.dataset.clone(), changes: patch.changes.clone() })
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Key, Op};

    use super::*;

    fn patch(ticket: u64) -> Patch<u64> {
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, driftless_protocol::Value::from(ticket as i64));
        Patch { dataset: DatasetName::new("d").expect("a name"), changes: vec![change], ticket }
    }

    /// The numbers of everything that may go now.
    fn sent(outbox: &mut Outbox<u64>) -> Vec<u64> {
        std::iter::from_fn(|| match outbox.next_write() {
            Some(ClientMessage::Write { id, .. }) => Some(id),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn numbers_begin_after_the_highest_that_either_side_knows() {
        let mut outbox = Outbox::new();
        outbox.push(patch(0));
        outbox.connected(41);
        assert_eq!(sent(&mut outbox), [42]);
        outbox.answered(42);
        outbox.push(patch(1));
        outbox.connected(7);
        assert_eq!(sent(&mut outbox), [43], "a server that was restored knows less");
    }

    #[test]
    fn unanswered_patches_are_sent_again_with_their_numbers_before_new_ones() {
        let mut outbox = Outbox::new();
        (0..3).for_each(|n| outbox.push(patch(n)));
        outbox.connected(0);
        assert_eq!(sent(&mut outbox), [1, 2, 3]);
        assert_eq!(outbox.answered(2).map(|patch| patch.ticket), Some(1));
        outbox.push(patch(3));
        outbox.connected(3);
        let Some(ClientMessage::Write { id: 1, changes, .. }) = outbox.next_write() else { panic!("1 is first") };
        assert_eq!(changes, patch(0).changes);
        assert_eq!(sent(&mut outbox), [3, 4]);
        assert!(outbox.answered(2).is_none(), "a second answer is nobody's");
    }

    #[test]
    fn the_numbers_on_their_way_stay_within_the_window() {
        let mut outbox = Outbox::new();
        (0..200).for_each(|n| outbox.push(patch(n)));
        outbox.connected(0);
        assert_eq!(sent(&mut outbox), (1..=64).collect::<Vec<_>>());
        (2..=64).for_each(|id| assert!(outbox.answered(id).is_some()));
        assert_eq!(sent(&mut outbox), [0; 0], "1 is still out: 65 would push its result out of the server's memory");
        outbox.answered(1);
        assert_eq!(sent(&mut outbox), (65..=128).collect::<Vec<_>>());
    }

    #[test]
    fn what_the_server_cannot_take_now_is_held_and_goes_again_with_its_number() {
        let mut outbox = Outbox::new();
        (0..2).for_each(|n| outbox.push(patch(n)));
        outbox.connected(0);
        assert_eq!(sent(&mut outbox), [1, 2]);
        assert!(outbox.hold(1));
        assert_eq!(sent(&mut outbox), [0; 0]);
        outbox.release();
        assert_eq!(sent(&mut outbox), [1]);
        assert!(!outbox.hold(9));
    }
}
