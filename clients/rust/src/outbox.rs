//! Patches that were not answered yet.
//!
//! - A patch gets its number when it is first handed out, never before the server has said which numbers it knows.
//! - Numbers increase; a patch keeps its number and its changes until it is answered, over any number of connections.
//! - The numbers on their way lie within [`limits::PATCH_WINDOW`] of each other, as the server forgets results beyond it.
//! - Patches to one dataset go in their order: behind one that is held, none of its dataset goes.
//!
//! When the history changes (`PROTOCOL.md` §8) the bases of unanswered patches are lowered, and a number stands for other changes than
//! before: the server that applied the patch earlier and whose answer was lost says `patch_reused`. It hardly can after a restored backup:
//! a patch whose base is above `shared` was written after its device had seen that version, so it was applied above `shared`, which the
//! backup does not have, or never; the others are not lowered. After a merge, and after a second restore from another backup, it can.
//! So the bases as they were are kept, and after `patch_reused` the patch is sent with them, under the same number. That is safe: the
//! server has just said that it has decided a patch of this number, so it applies nothing under it. It either repeats what became of exactly
//! these changes, which may be a conflict as well, or says `patch_reused` again. No write is lost unnoticed and none is applied twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driftless_protocol::{Change, ClientMessage, DatasetName, Key, limits};

/// Times that the bases of one patch are kept as they were before. Histories change rarely, and a patch waits for seconds, or for as long as
/// its device is away; of one that lived through more changes the oldest bases go.
const EARLIER: usize = 8;

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
    numbered: BTreeMap<u64, Numbered<T>>,
    unsent: BTreeSet<u64>,
    held: BTreeSet<u64>,
    next: u64,
}

/// A patch that was handed out at least once.
#[derive(Debug)]
struct Numbered<T> {
    patch: Patch<T>,
    /// The bases of its changes before each lowering, the newest last.
    earlier: VecDeque<Vec<Option<u64>>>,
    /// How many of those this connection's server was asked for, beginning with the newest.
    asked: usize,
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
        // It may be another server's store by now, which is asked for the patch as it should be first.
        self.numbered.values_mut().for_each(|numbered| numbered.asked = 0);
    }

    /// The next `write` to send on this connection, if there is one that may go now: to a dataset that is `ready` and has nothing held.
    pub fn next_write(&mut self, ready: impl Fn(&DatasetName) -> bool) -> Option<ClientMessage> {
        let held: BTreeSet<&DatasetName> = self.held.iter().filter_map(|id| Some(&self.numbered.get(id)?.patch.dataset)).collect();
        let may_go = |patch: &Patch<T>| !held.contains(&patch.dataset) && ready(&patch.dataset);
        let again = self.unsent.iter().copied().find(|id| self.numbered.get(id).is_some_and(|numbered| may_go(&numbered.patch)));
        if let Some(id) = again {
            self.unsent.remove(&id);
            return self.message(id);
        }
        let oldest = self.numbered.first_key_value().map_or(self.next, |(id, _)| *id);
        if self.next.saturating_sub(oldest) >= limits::PATCH_WINDOW {
            return None;
        }
        let at = self.waiting.iter().position(may_go)?;
        let patch = self.waiting.remove(at)?;
        let id = self.next;
        self.next += 1;
        self.numbered.insert(id, Numbered { patch, earlier: VecDeque::new(), asked: 0 });
        self.message(id)
    }

    /// Takes out the patch that was answered; `None` if no such patch is waited for.
    pub fn answered(&mut self, id: u64) -> Option<Patch<T>> {
        self.unsent.remove(&id);
        self.held.remove(&id);
        Some(self.numbered.remove(&id)?.patch)
    }

    /// The server cannot take this patch now: it stays, and is sent again after [`Outbox::release`]. False if it is not waited for.
    pub fn hold(&mut self, id: u64) -> bool {
        self.numbered.contains_key(&id) && self.held.insert(id)
    }

    /// Sends what was held again, with the same numbers.
    pub fn release(&mut self) {
        self.unsent.append(&mut self.held);
    }

    /// The server knows this number with other changes. True if the patch had other bases before: then it is sent with those, to learn
    /// whether it was applied so.
    pub fn reused(&mut self, id: u64) -> bool {
        let Some(numbered) = self.numbered.get_mut(&id) else { return false };
        let more = numbered.asked < numbered.earlier.len();
        if more {
            numbered.asked += 1;
            self.unsent.insert(id);
        }
        more
    }

    /// The dataset's history is another one: it has what this device saw up to version `shared`, and nothing that it saw after it.
    pub fn lower(&mut self, dataset: &DatasetName, shared: u64) {
        self.lower_where(|patch| patch.dataset == *dataset, shared);
    }

    /// Nothing that this device saw is in the history of any dataset.
    pub fn lower_all(&mut self) {
        self.lower_where(|_| true, 0);
    }

    /// The keys that unanswered patches to a dataset name.
    pub fn keys(&self, dataset: &DatasetName) -> BTreeSet<Key> {
        let patches = self.waiting.iter().chain(self.numbered.values().map(|numbered| &numbered.patch));
        patches.filter(|patch| patch.dataset == *dataset).flat_map(|patch| &patch.changes).map(|change| change.key.clone()).collect()
    }

    /// Numbers that were handed out and not answered.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.numbered.keys().copied()
    }

    /// The tickets of all patches, with what they belong to.
    pub fn tickets_mut(&mut self) -> impl Iterator<Item = (&DatasetName, &[Change], &mut T)> {
        let patches = self.numbered.values_mut().map(|numbered| &mut numbered.patch).chain(&mut self.waiting);
        patches.map(|patch| (&patch.dataset, patch.changes.as_slice(), &mut patch.ticket))
    }

    /// Looks at each patch that has no number yet, which may still be changed; drops it if that left it without changes.
    pub fn revise_waiting(&mut self, mut revise: impl FnMut(&mut Patch<T>)) {
        self.waiting.retain_mut(|patch| {
            let before = patch.changes.len();
            revise(patch);
            before == 0 || !patch.changes.is_empty()
        });
    }

    /// What the owner of a patch that is on its way wants back.
    pub fn ticket(&self, id: u64) -> Option<&T> {
        self.numbered.get(&id).map(|numbered| &numbered.patch.ticket)
    }

    /// Patches that were not answered yet.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.numbered.len()
    }

    /// True if everything is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lower_where(&mut self, meant: impl Fn(&Patch<T>) -> bool, shared: u64) {
        for patch in self.waiting.iter_mut().filter(|patch| meant(patch)) {
            lower(&mut patch.changes, shared);
        }
        for numbered in self.numbered.values_mut().filter(|numbered| meant(&numbered.patch)) {
            let before = numbered.patch.changes.iter().map(|change| change.base).collect();
            if lower(&mut numbered.patch.changes, shared) {
                numbered.earlier.push_back(before);
            }
            if numbered.earlier.len() > EARLIER {
                numbered.earlier.pop_front();
            }
        }
    }

    fn message(&self, id: u64) -> Option<ClientMessage> {
        let Numbered { patch, earlier, asked } = self.numbered.get(&id)?;
        let mut changes = patch.changes.clone();
        if let Some(bases) = earlier.len().checked_sub(*asked).and_then(|at| earlier.get(at)) {
            changes.iter_mut().zip(bases).for_each(|(change, base)| change.base = *base);
        }
        Some(ClientMessage::Write { id, dataset: patch.dataset.clone(), changes, offer: false })
    }
}

/// Lowers the bases that are higher; false if none is.
pub(crate) fn lower(changes: &mut [Change], shared: u64) -> bool {
    let mut lowered = false;
    for base in changes.iter_mut().filter_map(|change| change.base.as_mut()).filter(|base| **base > shared) {
        *base = shared;
        lowered = true;
    }
    lowered
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
        std::iter::from_fn(|| match outbox.next_write(|_| true) {
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
        let Some(ClientMessage::Write { id: 1, changes, .. }) = outbox.next_write(|_| true) else { panic!("1 is first") };
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

    fn based(key: &str, dataset: &str, base: u64) -> Patch<u64> {
        let change = Change::new(Key::new(key).expect("a key"), Op::Put, driftless_protocol::Value::from(1)).with_base(base);
        Patch { dataset: DatasetName::new(dataset).expect("a name"), changes: vec![change], ticket: base }
    }

    /// The number and the bases of the next patch that may go.
    fn next(outbox: &mut Outbox<u64>) -> Option<(u64, Vec<Option<u64>>)> {
        match outbox.next_write(|_| true)? {
            ClientMessage::Write { id, changes, .. } => Some((id, changes.into_iter().map(|change| change.base).collect())),
            other => panic!("not a write: {other:?}"),
        }
    }

    #[test]
    fn a_held_patch_holds_up_its_dataset_and_no_other() {
        let mut outbox = Outbox::new();
        [("d", 1), ("d", 2), ("other", 3)].iter().for_each(|(dataset, base)| outbox.push(based("k", dataset, *base)));
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(1)])));
        outbox.hold(1);
        assert_eq!(next(&mut outbox), Some((2, vec![Some(3)])), "the later write of the same key must not come first");
        assert_eq!(next(&mut outbox), None);
        outbox.release();
        assert_eq!(sent(&mut outbox), [1, 3]);
    }

    #[test]
    fn a_dataset_that_is_not_ready_waits_and_others_go() {
        let mut outbox = Outbox::new();
        outbox.push(based("k", "d", 1));
        outbox.connected(0);
        sent(&mut outbox);
        outbox.push(based("k", "other", 2));
        outbox.connected(1);
        let other = |dataset: &DatasetName| dataset.as_str() == "other";
        assert!(matches!(outbox.next_write(other), Some(ClientMessage::Write { id: 2, .. })));
        assert_eq!(outbox.next_write(other), None);
        assert_eq!(sent(&mut outbox), [1]);
    }

    #[test]
    fn bases_are_lowered_to_what_both_histories_have_and_never_raised() {
        let mut outbox = Outbox::new();
        [("a", "d", 9), ("b", "d", 2), ("c", "other", 9)].iter().for_each(|(key, dataset, base)| outbox.push(based(key, dataset, *base)));
        outbox.connected(0);
        next(&mut outbox);
        outbox.lower(&DatasetName::new("d").expect("a name"), 4);
        outbox.connected(0);
        let bases = std::iter::from_fn(|| next(&mut outbox)).collect::<Vec<_>>();
        assert_eq!(bases, [(1, vec![Some(4)]), (2, vec![Some(2)]), (3, vec![Some(9)])]);
        outbox.lower_all();
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(0)])));
    }

    #[test]
    fn a_number_that_is_known_is_asked_for_with_each_of_its_earlier_bases() {
        let mut outbox = Outbox::new();
        outbox.push(based("k", "d", 9));
        outbox.connected(0);
        next(&mut outbox);
        assert!(!outbox.reused(1), "it never was anything else");
        outbox.lower(&DatasetName::new("d").expect("a name"), 4);
        outbox.lower(&DatasetName::new("d").expect("a name"), 7);
        outbox.lower_all();
        let asked = |outbox: &mut Outbox<u64>| outbox.reused(1).then(|| next(outbox)).flatten();
        assert_eq!(asked(&mut outbox), Some((1, vec![Some(4)])));
        assert_eq!(asked(&mut outbox), Some((1, vec![Some(9)])));
        assert_eq!(asked(&mut outbox), None, "then it is another patch");

        outbox.connected(1);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(0)])), "the next server may not know it at all");
        assert_eq!(asked(&mut outbox), Some((1, vec![Some(4)])));
    }

    #[test]
    fn what_waits_may_be_revised_and_goes_when_nothing_is_left_of_it() {
        let mut outbox = Outbox::new();
        outbox.push(based("a", "d", 1));
        outbox.push(based("b", "d", 2));
        outbox.push(Patch { changes: Vec::new(), ..based("c", "d", 3) });
        outbox.revise_waiting(|patch| patch.changes.retain(|change| change.key.as_str() != "a"));
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(2)])));
        assert_eq!(next(&mut outbox), Some((2, Vec::new())), "an empty patch of the app is the server's to answer");
    }
}
