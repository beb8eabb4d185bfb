//! What a device does when the history changes, or when the server has forgotten the device (`PROTOCOL.md` §8): it lowers bases, and writes again
//! what the new history does not have.
//!
//! - A patch that has a number when the identity is merged may have been applied before the merge, at a version of the former identity's
//!   history. Such a patch is ambiguous: its answer moves no position, the device opens the dataset again instead.
//! - A key that an unanswered patch names, or that the app writes before the new history is complete, is not offered again: the app's write is newer.

use driftless_protocol::{Change, DatasetName, Op, Record, RefusalCode};

use super::DeviceState;
use crate::device::command::PatchOrigin;
use crate::device::event::Event;
use crate::device::open_dataset::SyncStatus;
use crate::device::outcome::WriteOutcome;
use crate::device::reoffer::{self, AppWrites, SplitReoffer};
use crate::{DisconnectReason, OutboxPatch, Welcome};

impl DeviceState {
    /// Checks the identity of a session. Returns the former identity if it was merged into this one; any other identity than the former is an error.
    pub(super) fn check_identity(&mut self, welcome: &Welcome) -> Result<Option<String>, DisconnectReason> {
        match &self.identity {
            Some(before) if *before == welcome.identity => return Ok(None),
            Some(before) if !welcome.merged.contains(before) => return Err(DisconnectReason::OtherIdentity),
            Some(_) | None => {}
        }
        Ok(self.identity.replace(welcome.identity.clone()))
    }

    /// Whether the server had forgotten this device since the session before.
    pub(super) fn note_known_since(&mut self, welcome: &Welcome) -> bool {
        let Some(now_ms) = welcome.known_since_ms else { return false };
        self.known_since_ms.replace(now_ms).is_some_and(|before_ms| before_ms != now_ms)
    }

    /// The server has no outcome of this device's patches any more. All unanswered ones are sent again, for what they put or remove is the same
    /// if it is applied twice; but an `add` would count twice: a patch with one is answered as one whose outcome is no longer known.
    pub(super) fn device_forgotten(&mut self) {
        let is_computed = |changes: &[Change]| changes.iter().any(|change| change.op == Op::Add);
        let numbers: Vec<u64> = self.outbox.unanswered_numbers().collect();
        for id in numbers {
            if self.outbox.changes(id).is_some_and(is_computed) {
                let message = "the server had forgotten this device: the patch may have been applied before".to_owned();
                self.answer(id, WriteOutcome::Refused { code: RefusalCode::PatchExpired, message });
            }
        }
    }

    /// The identity `from` was merged into `to`, whose history has nothing that this device has received.
    pub(super) fn identity_merged(&mut self, from: String, to: String) {
        self.history_changes.merged();
        self.outbox.lower_all_bases();
        self.ambiguous = self.outbox.unanswered_numbers().collect();
        self.events.push(Event::IdentityMerged { from, to });
        for (dataset, open) in &mut self.open {
            let former = std::mem::take(&mut open.replica);
            if former.epoch().is_some() {
                let (dataset, from) = (dataset.clone(), former.version());
                self.events.push(Event::Changed { dataset, from, to: 0, reset: true, records: Vec::new() });
            }
            open.candidates.merged(former);
            open.candidates.remove_keys(&self.outbox.pending_keys(dataset));
        }
    }

    /// The page that comes next begins the history of a restored store. The replica's records are kept aside as candidates.
    pub(super) fn store_restored(&mut self, dataset: &DatasetName, shared: Option<u64>) {
        let Some(open) = self.open.get_mut(dataset) else { return };
        let last_shared = shared.unwrap_or(0);
        self.history_changes.restored(dataset, last_shared);
        self.outbox.lower_bases(dataset, last_shared);
        open.candidates.restored(std::mem::take(&mut open.replica), shared);
        open.candidates.remove_keys(&self.outbox.pending_keys(dataset));
    }

    /// The replica has the whole new history: writes again what that history does not have.
    pub(super) fn reoffer_missing(&mut self, dataset: &DatasetName) {
        let Some(open) = self.open.get_mut(dataset) else { return };
        let comparison = std::mem::take(&mut open.candidates).compare(&open.replica);
        let reoffered = comparison.reoffers.len();
        self.push_reoffers(dataset, reoffer::split_into_patches(comparison.reoffers, self.limits.changes_per_patch));
        if let Some(shared) = comparison.restored {
            self.events.push(Event::StoreRestored { dataset: dataset.clone(), shared, reoffered });
        }
    }

    /// The app writes. Its changes are newer than those that are offered again, whether these are candidates, unsent or unanswered.
    pub(super) fn supersede_reoffers(&mut self, dataset: &DatasetName, changes: &[Change]) {
        if let Some(open) = self.open.get_mut(dataset) {
            open.candidates.remove_keys(changes.iter().map(|change| &change.key));
        }
        let written = AppWrites::from_changes(changes);
        for (other, reoffered, context) in self.outbox.contexts_mut() {
            match context {
                PatchOrigin::Reoffer(app_writes) if other == dataset => app_writes.note_written(&written, reoffered),
                PatchOrigin::Reoffer(_) | PatchOrigin::App { .. } => {}
            }
        }
        self.outbox.revise_unnumbered(|patch| match &patch.context {
            PatchOrigin::Reoffer(app_writes) => patch.changes.retain(|change| !app_writes.is_overwritten(&change.key)),
            PatchOrigin::App { .. } => {}
        });
    }

    /// The server answered a patch of reoffers. Each change that was not applied is either sent again or reported to the app.
    pub(super) fn reoffer_answered(&mut self, dataset: DatasetName, reoffered: Vec<Change>, app_writes: &AppWrites, outcome: WriteOutcome) {
        match outcome {
            WriteOutcome::Written { .. } => {}
            WriteOutcome::Conflict { records } => {
                let SplitReoffer { retry, conflicting } = reoffer::after_conflict(reoffered, &records, app_writes);
                self.push_reoffers(&dataset, reoffer::split_into_patches(retry, self.limits.changes_per_patch));
                self.report_conflicting(dataset, conflicting, records);
            }
            WriteOutcome::Refused { code, message } if reoffered.len() == 1 => {
                self.events.push(Event::ReofferRefused { dataset, ours: reoffered, code, message });
            }
            WriteOutcome::Refused { code, message } => {
                tracing::debug!(%dataset, %code, message, "reoffer refused, retrying in smaller patches");
                let (halves, conflicting) = reoffer::after_refusal(reoffered, app_writes);
                self.push_reoffers(&dataset, halves);
                self.report_conflicting(dataset, conflicting, Vec::new());
            }
        }
    }

    /// An ambiguous patch was answered, perhaps with the repeated answer of the former identity.
    pub(super) fn ambiguous_answered(&mut self, dataset: &DatasetName) {
        if self.open.contains_key(dataset) {
            self.reopen(dataset.clone(), SyncStatus::Pending);
        }
    }

    fn push_reoffers(&mut self, dataset: &DatasetName, patches: Vec<Vec<Change>>) {
        for changes in patches {
            let context = PatchOrigin::Reoffer(AppWrites::default());
            self.outbox.push(OutboxPatch { dataset: dataset.clone(), changes, context });
        }
    }

    fn report_conflicting(&mut self, dataset: DatasetName, ours: Vec<Change>, records: Vec<Record>) {
        if !ours.is_empty() {
            self.events.push(Event::ReofferConflict { dataset, ours, records });
        }
    }
}
