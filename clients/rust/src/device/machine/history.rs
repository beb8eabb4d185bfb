//! What follows when the history changes (`PROTOCOL.md` §8): bases are lowered, and what the new history does not have is offered again.
//!
//! - A patch that has a number when the identity is merged may have been applied before, at a version of the former identity's history:
//!   its answer moves no position, the dataset is asked for again instead.
//! - Whatever an unanswered patch names, or the app writes before the new history is here, is not offered: it is newer.

use driftless_protocol::{Change, DatasetName, Record};

use super::Machine;
use crate::device::dataset::Answer;
use crate::device::offers::{self, Overtaken, Sorted};
use crate::device::{Event, Outcome, Ticket};
use crate::{End, Patch, Welcome};

impl Machine {
    /// Whose data this session has; the identity before if it was merged into this one. Refuses any other.
    pub(super) fn identify(&mut self, welcome: &Welcome) -> Result<Option<String>, End> {
        match &self.identity {
            Some(before) if *before == welcome.identity => return Ok(None),
            Some(before) if !welcome.merged.contains(before) => return Err(End::OtherIdentity),
            Some(_) | None => {}
        }
        Ok(self.identity.replace(welcome.identity.clone()))
    }

    /// This device was the identity `from`: nothing that it saw is in the history of `to`.
    pub(super) fn moved(&mut self, from: String, to: String) {
        self.ages.moved();
        self.outbox.lower_all();
        self.crossed = self.outbox.numbers().collect();
        self.events.push(Event::Moved { from, to });
        for (dataset, open) in &mut self.open {
            let had = std::mem::take(&mut open.replica);
            if had.epoch().is_some() {
                let (dataset, from) = (dataset.clone(), had.version());
                self.events.push(Event::Changed { dataset, from, to: 0, reset: true, records: Vec::new() });
            }
            open.former.merged(had);
            open.former.overtaken(&self.outbox.keys(dataset));
        }
    }

    /// This page begins the history of a restored store. What the replica had is kept aside.
    pub(super) fn restored(&mut self, dataset: &DatasetName, shared: Option<u64>) {
        let Some(open) = self.open.get_mut(dataset) else { return };
        let known = shared.unwrap_or(0);
        self.ages.restored(dataset, known);
        self.outbox.lower(dataset, known);
        open.former.restored(std::mem::take(&mut open.replica), shared);
        open.former.overtaken(&self.outbox.keys(dataset));
    }

    /// Everything of the new history is here: offers what it does not have.
    pub(super) fn compare(&mut self, dataset: &DatasetName) {
        let Some(open) = self.open.get_mut(dataset) else { return };
        let comparison = std::mem::take(&mut open.former).compare(&open.replica);
        let offered = comparison.offers.len();
        self.offer(dataset, offers::cut(comparison.offers, self.limits.changes_per_patch));
        if let Some(shared) = comparison.restored {
            self.events.push(Event::Restored { dataset: dataset.clone(), shared, offered });
        }
    }

    /// The app writes: its patch is newer than what was here before the history changed, wherever that is by now.
    pub(super) fn overtake(&mut self, dataset: &DatasetName, changes: &[Change]) {
        if let Some(open) = self.open.get_mut(dataset) {
            open.former.overtaken(changes.iter().map(|change| &change.key));
        }
        let written = Overtaken::of(changes);
        for (other, offered, ticket) in self.outbox.tickets_mut() {
            match ticket {
                Ticket::Offer(overtaken) if other == dataset => overtaken.by(&written, offered),
                Ticket::Offer(_) | Ticket::App { .. } => {}
            }
        }
        self.outbox.revise_waiting(|patch| match &patch.ticket {
            Ticket::Offer(overtaken) => patch.changes.retain(|offer| !overtaken.replaces(&offer.key)),
            Ticket::App { .. } => {}
        });
    }

    /// What became of an offer: what is not applied goes again or is told, one or the other.
    pub(super) fn offer_answered(&mut self, dataset: DatasetName, offered: Vec<Change>, overtaken: &Overtaken, outcome: Outcome) {
        match outcome {
            Outcome::Written { .. } => {}
            Outcome::Conflict { records } => {
                let Sorted { again, met } = offers::after_conflict(offered, &records, overtaken);
                self.offer(&dataset, offers::cut(again, self.limits.changes_per_patch));
                self.offer_met(dataset, met, records);
            }
            Outcome::Refused { code, message } if offered.len() == 1 => {
                self.events.push(Event::OfferRefused { dataset, ours: offered, code, message });
            }
            Outcome::Refused { code, message } => {
                tracing::debug!(%dataset, %code, message, "what is offered again goes in smaller patches");
                let (halves, met) = offers::after_refusal(offered, overtaken);
                self.offer(&dataset, halves);
                self.offer_met(dataset, met, Vec::new());
            }
        }
    }

    /// The answer to a patch that crossed a merge: it may be the repeated one of the former identity.
    pub(super) fn crossed(&mut self, dataset: &DatasetName) {
        if self.open.contains_key(dataset) {
            self.reopen(dataset.clone(), Answer::Awaited);
        }
    }

    fn offer(&mut self, dataset: &DatasetName, patches: Vec<Vec<Change>>) {
        for changes in patches {
            self.outbox.push(Patch { dataset: dataset.clone(), changes, ticket: Ticket::Offer(Overtaken::default()) });
        }
    }

    fn offer_met(&mut self, dataset: DatasetName, ours: Vec<Change>, records: Vec<Record>) {
        if !ours.is_empty() {
            self.events.push(Event::OfferConflict { dataset, ours, records });
        }
    }
}
