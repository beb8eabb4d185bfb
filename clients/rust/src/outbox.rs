//! The patches of one device that the server has not answered: those that were never sent, and those whose answer has not arrived.
//!
//! - A patch gets its number when it is first sent. The caller calls [`Outbox::connected`] with the highest number that the server knows
//!   before the first [`Outbox::next_write`].
//! - Numbers increase. A patch keeps its number, across connections, until it is answered; its changes stay the same too, except for their bases.
//! - Unanswered numbers lie within [`limits::PATCH_WINDOW`] of each other, because the server forgets answers beyond it.
//! - Patches to one dataset are first sent in order. While one is deferred, no other patch to its dataset is sent.
//!
//! # When a dataset's history changes
//!
//! After a restore or a merge (`PROTOCOL.md` §8) the server no longer has every version that this device has received. Every base above
//! `shared`, the last version that both have, is lowered to `shared`. The patch keeps its number, but its changes now differ from those that
//! were sent. If the server had already answered those, and the answer was lost, it refuses the patch with `patch_reused`: the number was used
//! for other changes.
//!
//! - After one restore this hardly happens. A patch whose base is above `shared` was applied above `shared`, if at all, and the backup does not
//!   have those versions, so the restored server does not know the number.
//! - It can happen after a merge, and after a second restore, from another backup that has those versions.
//!
//! So the outbox keeps the earlier bases. After each `patch_reused` it sends the patch again, under the same number, with the next earlier set,
//! the newest first. This cannot apply the patch twice: the server has decided this number, so it either repeats its answer to exactly these
//! changes (which may be a conflict) or refuses again. If it refuses every set, the caller gets `patch_reused` as the answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driftless_protocol::{Change, ClientMessage, DatasetName, Key, limits};

/// How many sets of earlier bases a patch keeps; the oldest is dropped first. A set is added only when a history changes while the patch is
/// unanswered, so eight are ample. If the server had answered a dropped set, the caller gets `patch_reused` in place of that answer.
const MAX_EARLIER_BASES: usize = 8;

/// A patch that the server has not answered.
#[derive(Debug)]
pub struct OutboxPatch<T> {
    /// The dataset that the patch writes to.
    pub dataset: DatasetName,
    /// The changes, which the server applies in order, all or none.
    pub changes: Vec<Change>,
    /// Any value of the caller; [`Outbox::answered`] returns it with the patch.
    pub context: T,
}

/// The unanswered patches of a device, sent or not. The outbox has no bound: the caller must bound what it adds.
#[derive(Debug)]
pub struct Outbox<T> {
    /// Patches that were never sent, in the order in which they were added.
    unnumbered: VecDeque<OutboxPatch<T>>,
    numbered: BTreeMap<u64, NumberedPatch<T>>,
    /// Numbered patches that have to be sent on this connection.
    unsent: BTreeSet<u64>,
    /// Numbered patches that the server cannot take now.
    deferred: BTreeSet<u64>,
    next_number: u64,
}

/// A patch that was sent at least once.
#[derive(Debug)]
struct NumberedPatch<T> {
    patch: OutboxPatch<T>,
    /// The sets of bases that its changes had before each lowering, the newest last; one base per change.
    earlier_bases: VecDeque<Vec<Option<u64>>>,
    /// How many of those were sent on this connection, counted from the newest; 0: the present bases are sent.
    tried_bases: usize,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox {
            unnumbered: VecDeque::new(),
            numbered: BTreeMap::new(),
            unsent: BTreeSet::new(),
            deferred: BTreeSet::new(),
            next_number: 1,
        }
    }
}

impl<T> Outbox<T> {
    /// An empty outbox.
    pub fn new() -> Outbox<T> {
        Outbox::default()
    }

    /// Appends a patch; it has no number yet.
    pub fn push(&mut self, patch: OutboxPatch<T>) {
        self.unnumbered.push_back(patch);
    }

    /// A session began. `known` is the highest number of this device's patches that the server knows. All numbered patches are sent again with
    /// their numbers, and new numbers begin above the highest number that either side knows.
    pub fn connected(&mut self, known: u64) {
        self.next_number = self.next_number.max(known.saturating_add(1));
        self.deferred.clear();
        self.unsent = self.numbered.keys().copied().collect();
        // The server's store may have been restored in the meantime, so the patch is first sent with its present bases.
        self.numbered.values_mut().for_each(|numbered| numbered.tried_bases = 0);
    }

    /// The next `write` to send on this connection: numbered patches first, by number, then new ones while the number window has space. `None`
    /// if no patch may be sent now. A patch may be sent if `is_ready` accepts its dataset and no patch to the dataset is deferred.
    pub fn next_write(&mut self, is_ready: impl Fn(&DatasetName) -> bool) -> Option<ClientMessage> {
        let deferred: BTreeSet<&DatasetName> = self.deferred.iter().filter_map(|id| Some(&self.numbered.get(id)?.patch.dataset)).collect();
        let may_send = |patch: &OutboxPatch<T>| !deferred.contains(&patch.dataset) && is_ready(&patch.dataset);
        let resend = self.unsent.iter().copied().find(|id| self.numbered.get(id).is_some_and(|numbered| may_send(&numbered.patch)));
        if let Some(id) = resend {
            self.unsent.remove(&id);
            return self.message(id);
        }
        let oldest = self.numbered.first_key_value().map_or(self.next_number, |(id, _)| *id);
        if self.next_number.saturating_sub(oldest) >= limits::PATCH_WINDOW {
            return None;
        }
        let at = self.unnumbered.iter().position(may_send)?;
        let patch = self.unnumbered.remove(at)?;
        let id = self.next_number;
        self.next_number += 1;
        self.numbered.insert(id, NumberedPatch { patch, earlier_bases: VecDeque::new(), tried_bases: 0 });
        self.message(id)
    }

    /// Removes and returns a patch whose answer arrived; `None` if no patch with this number is unanswered. After `patch_reused`, first try
    /// [`Outbox::retry_with_earlier_bases`].
    pub fn answered(&mut self, id: u64) -> Option<OutboxPatch<T>> {
        self.unsent.remove(&id);
        self.deferred.remove(&id);
        Some(self.numbered.remove(&id)?.patch)
    }

    /// The server cannot take this patch now: it is sent again after [`Outbox::retry_deferred`], or on the next connection. False if no patch with
    /// this number is unanswered, or it is deferred already.
    pub fn defer(&mut self, id: u64) -> bool {
        self.numbered.contains_key(&id) && self.deferred.insert(id)
    }

    /// Lets deferred patches be sent again, with the same numbers.
    pub fn retry_deferred(&mut self) {
        self.unsent.append(&mut self.deferred);
    }

    /// The server refused the patch with `patch_reused`. True if the patch had other bases before that were not tried on this connection: then
    /// it is sent with those, to learn the server's answer to them. False if there are none left; then the refusal is the patch's answer.
    pub fn retry_with_earlier_bases(&mut self, id: u64) -> bool {
        let Some(numbered) = self.numbered.get_mut(&id) else { return false };
        let has_more = numbered.tried_bases < numbered.earlier_bases.len();
        if has_more {
            numbered.tried_bases += 1;
            self.unsent.insert(id);
        }
        has_more
    }

    /// The dataset's history changed: of the versions that this device has received, the server has those up to `shared` and no later one.
    pub fn lower_bases(&mut self, dataset: &DatasetName, shared: u64) {
        self.lower_where(|patch| patch.dataset == *dataset, shared);
    }

    /// The histories of all datasets changed: the server has none of the versions that this device has received.
    pub fn lower_all_bases(&mut self) {
        self.lower_where(|_| true, 0);
    }

    /// The keys that unanswered patches to a dataset write, sent or not.
    pub fn pending_keys(&self, dataset: &DatasetName) -> BTreeSet<Key> {
        let patches = self.unnumbered.iter().chain(self.numbered.values().map(|numbered| &numbered.patch));
        patches.filter(|patch| patch.dataset == *dataset).flat_map(|patch| &patch.changes).map(|change| change.key.clone()).collect()
    }

    /// The numbers of patches that were sent and not answered.
    pub fn unanswered_numbers(&self) -> impl Iterator<Item = u64> {
        self.numbered.keys().copied()
    }

    /// The contexts of all patches, each with the patch's dataset and changes.
    pub fn contexts_mut(&mut self) -> impl Iterator<Item = (&DatasetName, &[Change], &mut T)> {
        let patches = self.numbered.values_mut().map(|numbered| &mut numbered.patch).chain(&mut self.unnumbered);
        patches.map(|patch| (&patch.dataset, patch.changes.as_slice(), &mut patch.context))
    }

    /// Calls `revise` with each patch that was never sent: only those may still be changed. A patch whose last change `revise` removes is dropped
    /// with its context; a patch that had no changes before is kept, and the server answers it.
    pub fn revise_unnumbered(&mut self, mut revise: impl FnMut(&mut OutboxPatch<T>)) {
        self.unnumbered.retain_mut(|patch| {
            let before = patch.changes.len();
            revise(patch);
            before == 0 || !patch.changes.is_empty()
        });
    }

    /// The changes of a patch that was sent and not answered.
    pub fn changes(&self, id: u64) -> Option<&[Change]> {
        self.numbered.get(&id).map(|numbered| numbered.patch.changes.as_slice())
    }

    /// The context of a patch that was sent and not answered.
    pub fn context(&self, id: u64) -> Option<&T> {
        self.numbered.get(&id).map(|numbered| &numbered.patch.context)
    }

    /// How many patches are unanswered, including those that were not sent yet.
    pub fn len(&self) -> usize {
        self.unnumbered.len() + self.numbered.len()
    }

    /// Whether all patches are answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lower_where(&mut self, is_affected: impl Fn(&OutboxPatch<T>) -> bool, shared: u64) {
        for patch in self.unnumbered.iter_mut().filter(|patch| is_affected(patch)) {
            lower_bases(&mut patch.changes, shared);
        }
        for numbered in self.numbered.values_mut().filter(|numbered| is_affected(&numbered.patch)) {
            let before = numbered.patch.changes.iter().map(|change| change.base).collect();
            if lower_bases(&mut numbered.patch.changes, shared) {
                numbered.earlier_bases.push_back(before);
            }
            if numbered.earlier_bases.len() > MAX_EARLIER_BASES {
                numbered.earlier_bases.pop_front();
            }
        }
    }

    fn message(&self, id: u64) -> Option<ClientMessage> {
        let NumberedPatch { patch, earlier_bases, tried_bases } = self.numbered.get(&id)?;
        let mut changes = patch.changes.clone();
        if let Some(bases) = earlier_bases.len().checked_sub(*tried_bases).and_then(|at| earlier_bases.get(at)) {
            changes.iter_mut().zip(bases).for_each(|(change, base)| change.base = *base);
        }
        Some(ClientMessage::Write { id, dataset: patch.dataset.clone(), changes, offer: false })
    }
}

/// Lowers the bases above `shared` to it; false if there is none.
pub(crate) fn lower_bases(changes: &mut [Change], shared: u64) -> bool {
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

    fn patch(context: u64) -> OutboxPatch<u64> {
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, driftless_protocol::Value::from(context as i64));
        OutboxPatch { dataset: DatasetName::new("d").expect("a name"), changes: vec![change], context }
    }

    /// The numbers of all patches that may be sent now.
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
        assert_eq!(outbox.answered(2).map(|patch| patch.context), Some(1));
        outbox.push(patch(3));
        outbox.connected(3);
        let Some(ClientMessage::Write { id: 1, changes, .. }) = outbox.next_write(|_| true) else { panic!("1 is first") };
        assert_eq!(changes, patch(0).changes);
        assert_eq!(sent(&mut outbox), [3, 4]);
        assert!(outbox.answered(2).is_none(), "a second answer finds no patch");
    }

    #[test]
    fn unanswered_numbers_stay_within_the_window() {
        let mut outbox = Outbox::new();
        (0..200).for_each(|n| outbox.push(patch(n)));
        outbox.connected(0);
        assert_eq!(sent(&mut outbox), (1..=64).collect::<Vec<_>>());
        (2..=64).for_each(|id| assert!(outbox.answered(id).is_some()));
        assert_eq!(sent(&mut outbox), [0; 0], "1 is unanswered: after 65 the server would forget its result");
        outbox.answered(1);
        assert_eq!(sent(&mut outbox), (65..=128).collect::<Vec<_>>());
    }

    #[test]
    fn a_deferred_patch_is_sent_again_with_its_number() {
        let mut outbox = Outbox::new();
        (0..2).for_each(|n| outbox.push(patch(n)));
        outbox.connected(0);
        assert_eq!(sent(&mut outbox), [1, 2]);
        assert!(outbox.defer(1));
        assert_eq!(sent(&mut outbox), [0; 0]);
        outbox.retry_deferred();
        assert_eq!(sent(&mut outbox), [1]);
        assert!(!outbox.defer(9));
    }

    fn based(key: &str, dataset: &str, base: u64) -> OutboxPatch<u64> {
        let change = Change::new(Key::new(key).expect("a key"), Op::Put, driftless_protocol::Value::from(1)).with_base(base);
        OutboxPatch { dataset: DatasetName::new(dataset).expect("a name"), changes: vec![change], context: base }
    }

    /// The number and the bases of the next patch that may be sent.
    fn next(outbox: &mut Outbox<u64>) -> Option<(u64, Vec<Option<u64>>)> {
        match outbox.next_write(|_| true)? {
            ClientMessage::Write { id, changes, .. } => Some((id, changes.into_iter().map(|change| change.base).collect())),
            other => panic!("not a write: {other:?}"),
        }
    }

    #[test]
    fn a_deferred_patch_delays_its_dataset_and_no_other() {
        let mut outbox = Outbox::new();
        [("d", 1), ("d", 2), ("other", 3)].iter().for_each(|(dataset, base)| outbox.push(based("k", dataset, *base)));
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(1)])));
        outbox.defer(1);
        assert_eq!(next(&mut outbox), Some((2, vec![Some(3)])), "the later write of the same key must not be sent first");
        assert_eq!(next(&mut outbox), None);
        outbox.retry_deferred();
        assert_eq!(sent(&mut outbox), [1, 3]);
    }

    #[test]
    fn a_dataset_that_is_not_ready_delays_no_other() {
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
    fn bases_are_lowered_to_the_last_shared_version_and_never_raised() {
        let mut outbox = Outbox::new();
        [("a", "d", 9), ("b", "d", 2), ("c", "other", 9)].iter().for_each(|(key, dataset, base)| outbox.push(based(key, dataset, *base)));
        outbox.connected(0);
        next(&mut outbox);
        outbox.lower_bases(&DatasetName::new("d").expect("a name"), 4);
        outbox.connected(0);
        let bases = std::iter::from_fn(|| next(&mut outbox)).collect::<Vec<_>>();
        assert_eq!(bases, [(1, vec![Some(4)]), (2, vec![Some(2)]), (3, vec![Some(9)])]);
        outbox.lower_all_bases();
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(0)])));
    }

    #[test]
    fn a_reused_number_is_retried_with_each_of_its_earlier_bases() {
        let mut outbox = Outbox::new();
        outbox.push(based("k", "d", 9));
        outbox.connected(0);
        next(&mut outbox);
        assert!(!outbox.retry_with_earlier_bases(1), "it never had other bases");
        outbox.lower_bases(&DatasetName::new("d").expect("a name"), 4);
        outbox.lower_bases(&DatasetName::new("d").expect("a name"), 7);
        outbox.lower_all_bases();
        let retried = |outbox: &mut Outbox<u64>| outbox.retry_with_earlier_bases(1).then(|| next(outbox)).flatten();
        assert_eq!(retried(&mut outbox), Some((1, vec![Some(4)])));
        assert_eq!(retried(&mut outbox), Some((1, vec![Some(9)])));
        assert_eq!(retried(&mut outbox), None, "then the number belongs to another patch");

        outbox.connected(1);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(0)])), "the next server may not know the patch at all");
        assert_eq!(retried(&mut outbox), Some((1, vec![Some(4)])));
    }

    #[test]
    fn an_unnumbered_patch_may_be_revised_and_is_dropped_when_no_change_is_left() {
        let mut outbox = Outbox::new();
        outbox.push(based("a", "d", 1));
        outbox.push(based("b", "d", 2));
        outbox.push(OutboxPatch { changes: Vec::new(), ..based("c", "d", 3) });
        outbox.revise_unnumbered(|patch| patch.changes.retain(|change| change.key.as_str() != "a"));
        outbox.connected(0);
        assert_eq!(next(&mut outbox), Some((1, vec![Some(2)])));
        assert_eq!(next(&mut outbox), Some((2, Vec::new())), "an empty patch of the app is sent: the server answers it");
    }
}
