//! The state machine of a device: what it has, and how it reacts to messages and commands. No I/O; time is an argument.
//!
//! - On each connection the device sends `open` again for every open dataset, at its replica's position.
//! - It acknowledges every page that completes an answer, and every own patch that moves a position.
//! - Every patch is answered once; only its answer removes it from the outbox.
//! - No patch is sent to a dataset whose history may be another one than the history that the patch's bases belong to.

mod history_change;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driftless_protocol::{ClientMessage, DatasetName, DeviceId, Limits, PushLost, Record, RefusalCode, Registration, ServerMessage};
use tokio::sync::oneshot;

use super::command::{ListReply, PatchOrigin, ReplicaReader};
use super::event::Event;
use super::generation::{HistoryChanges, HistoryGeneration};
use super::open_dataset::{HistoryStatus, OpenDataset, SyncStatus};
use super::outcome::{ListError, WriteOutcome};
use super::send_queue::SendQueue;
use crate::replica::ChangesPage;
use crate::{ApplyResult, DisconnectReason, Outbox, OutboxPatch, Welcome};

pub(crate) struct DeviceState {
    device: DeviceId,
    online: bool,
    identity: Option<String>,
    /// Since when the server has what this device did, as the last session said it.
    known_since_ms: Option<u64>,
    limits: Limits,
    history_changes: HistoryChanges,
    open: BTreeMap<DatasetName, OpenDataset>,
    outbox: Outbox<PatchOrigin>,
    /// Numbers of unanswered patches that may have been applied before the identity was merged, at versions of its former history.
    ambiguous: BTreeSet<u64>,
    lists: VecDeque<ListReply>,
    push: PushIntent,
    send_queue: SendQueue,
    events: Vec<Event>,
    retry: bool,
}

/// What the app asked for about pushes.
enum PushIntent {
    Unset,
    /// Sent on each connection, which keeps the registration fresh.
    Register(Registration),
    /// Sent on each connection until the server confirms it.
    Unregister,
}

impl DeviceState {
    pub(crate) fn new(device: DeviceId, generation: HistoryGeneration) -> DeviceState {
        DeviceState {
            device,
            online: false,
            identity: None,
            known_since_ms: None,
            limits: Limits::default(),
            history_changes: HistoryChanges::new(generation),
            open: BTreeMap::new(),
            outbox: Outbox::new(),
            ambiguous: BTreeSet::new(),
            lists: VecDeque::new(),
            push: PushIntent::Unset,
            send_queue: SendQueue::default(),
            events: Vec::new(),
            retry: false,
        }
    }

    /// A session began: queues all requests again. Fails if the session has another identity than the one before, unless that was merged into it.
    pub(crate) fn connected(&mut self, welcome: Welcome) -> Result<(), DisconnectReason> {
        let former = self.check_identity(&welcome)?;
        let is_forgotten = self.note_known_since(&welcome);
        self.online = true;
        self.limits = welcome.limits;
        let (identity, known, push_lost) = (welcome.identity.clone(), welcome.patch, welcome.push_lost);
        self.events.push(Event::Connected(welcome));
        if let Some(former) = former {
            self.identity_merged(former, identity);
        } else if is_forgotten {
            self.device_forgotten();
        }
        if let Some(PushLost { reason, at_ms }) = push_lost {
            self.events.push(Event::PushLost { reason, at_ms });
        }
        self.outbox.connected(known);
        self.open.iter().for_each(|(dataset, open)| self.send_queue.push(open.open_message(dataset)));
        self.lists.iter().for_each(|_| self.send_queue.push(ClientMessage::List));
        self.queue_push();
        Ok(())
    }

    /// The app registers for pushes, or unregisters.
    pub(crate) fn set_push(&mut self, registration: Option<Registration>) {
        self.push = registration.map_or(PushIntent::Unregister, PushIntent::Register);
        if self.online {
            self.queue_push();
        }
    }

    fn queue_push(&mut self) {
        match &self.push {
            PushIntent::Unset => {}
            PushIntent::Register(registration) => self.send_queue.push(ClientMessage::Register(registration.clone())),
            PushIntent::Unregister => self.send_queue.push(ClientMessage::Unregister),
        }
    }

    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.retry = false;
        self.send_queue.clear();
        self.open.values_mut().for_each(OpenDataset::disconnected);
    }

    pub(crate) fn open(&mut self, dataset: DatasetName) {
        if let Entry::Vacant(place) = self.open.entry(dataset.clone()) {
            let message = place.insert(OpenDataset::new()).open_message(&dataset);
            self.queue(message);
        }
    }

    pub(crate) fn close(&mut self, dataset: DatasetName) {
        if let Some(open) = self.open.remove(&dataset) {
            answer_waiters(open.waiters, None);
            self.queue(ClientMessage::Close { dataset });
        }
    }

    /// The app waits until the replica is complete.
    pub(crate) fn synced(&mut self, dataset: &DatasetName, reply: oneshot::Sender<Option<u64>>) {
        match self.open.get_mut(dataset) {
            Some(open) if open.status != SyncStatus::Synced => open.waiters.push(reply),
            open => answer_waiters(vec![reply], open.map(|open| open.replica.version())),
        }
    }

    pub(crate) fn list(&mut self, reply: ListReply) {
        self.lists.push_back(reply);
        self.queue(ClientMessage::List);
    }

    /// The app writes a patch whose changes it made in this generation.
    pub(crate) fn write(&mut self, mut patch: OutboxPatch<PatchOrigin>, generation: u64) {
        self.history_changes.lower_bases(generation, &patch.dataset, &mut patch.changes);
        self.supersede_reoffers(&patch.dataset, &patch.changes);
        self.outbox.push(patch);
    }

    pub(crate) fn read(&self, dataset: &DatasetName, reader: ReplicaReader) {
        reader(self.open.get(dataset).map(|open| &open.replica));
    }

    pub(crate) fn ping(&mut self) {
        self.queue(ClientMessage::Ping);
    }

    pub(crate) fn renew(&mut self, token: String) {
        self.queue(ClientMessage::Renew { token });
    }

    /// The message to send next on this connection.
    pub(crate) fn next_message(&mut self) -> Option<ClientMessage> {
        let ready = |dataset: &DatasetName| self.open.get(dataset).is_none_or(OpenDataset::can_send_patches);
        let next = self.send_queue.pop().or_else(|| self.outbox.next_write(ready));
        match next {
            // A reoffer must conflict with a newer write also where the dataset's policy is that the last writer wins.
            Some(ClientMessage::Write { id, dataset, changes, offer: _ }) => {
                let offer = matches!(self.outbox.context(id), Some(PatchOrigin::Reoffer(_)));
                Some(ClientMessage::Write { id, dataset, changes, offer })
            }
            other => other,
        }
    }

    /// How many messages besides patches wait to be sent.
    pub(crate) fn queued_messages(&self) -> usize {
        self.send_queue.len()
    }

    /// The events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Returns true once after a request was deferred: the caller schedules [`DeviceState::retry`].
    pub(crate) fn take_retry(&mut self) -> bool {
        std::mem::take(&mut self.retry)
    }

    /// Repeats the requests that the server could not answer.
    pub(crate) fn retry(&mut self) {
        self.outbox.retry_deferred();
        for (dataset, open) in &mut self.open {
            if std::mem::take(&mut open.ack_deferred) {
                self.send_queue.push_ack(dataset, open.replica.version());
            }
            if open.status == SyncStatus::Deferred {
                open.status = SyncStatus::Pending;
                self.send_queue.push(open.open_message(dataset));
            }
        }
    }

    /// The message exceeds the protocol's bound and was not sent.
    pub(crate) fn too_large(&mut self, message: &ClientMessage, why: String) {
        match message {
            ClientMessage::Write { id, .. } => self.answer(*id, WriteOutcome::Refused { code: RefusalCode::TooLarge, message: why }),
            other => tracing::warn!(message = ?other, why, "message too large, not sent"),
        }
    }

    /// The server sent a message, at `now_ms` milliseconds since 1970 (UTC). An error ends the session.
    pub(crate) fn received(&mut self, message: ServerMessage, now_ms: u64) -> Result<(), DisconnectReason> {
        match message {
            ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until: _, records } => {
                return self.changes(dataset, ChangesPage { epoch, from, to, reset, records }, shared, more);
            }
            ServerMessage::Written { id, version, records } => self.written(id, version, records, now_ms),
            ServerMessage::Conflict { id, records, .. } => self.answer(id, WriteOutcome::Conflict { records }),
            ServerMessage::Refused { id: Some(id), code, message, .. } => self.refused_patch(id, code, message),
            ServerMessage::Refused { id: None, dataset, code, message } => self.refused(dataset, code, message),
            ServerMessage::Datasets { datasets } => {
                if let Some(reply) = self.lists.pop_front() {
                    // The caller may have dropped its future; the send error is ignored.
                    let _ = reply.send(Ok(datasets));
                }
            }
            ServerMessage::Registered { provider, app } => self.events.push(Event::Registered { provider, app }),
            ServerMessage::Unregistered => {
                if matches!(self.push, PushIntent::Unregister) {
                    self.push = PushIntent::Unset;
                }
                self.events.push(Event::Unregistered);
            }
            ServerMessage::Linked { logins } => self.events.push(Event::Linked { logins }),
            ServerMessage::Bye { code, reason, message, reconnect_after_ms } => {
                return Err(DisconnectReason::Closed { code, reason, message, reconnect_after_ms });
            }
            ServerMessage::Welcome { .. } | ServerMessage::Renew { .. } | ServerMessage::Renewed { .. } | ServerMessage::Pong => {}
        }
        Ok(())
    }

    fn changes(&mut self, dataset: DatasetName, page: ChangesPage, shared: Option<u64>, more: bool) -> Result<(), DisconnectReason> {
        let Some(open) = self.open.get_mut(&dataset) else { return Ok(()) };
        let (from, reset) = (open.replica.version(), page.reset);
        if open.starts_other_history(&page) {
            self.store_restored(&dataset, shared);
        }
        let Some(open) = self.open.get_mut(&dataset) else { return Ok(()) };
        let records = match (open.replica.apply(page), open.status) {
            (ApplyResult::Applied(records), _) => records,
            // A page of an earlier `open` that was in flight when the device sent this one.
            (ApplyResult::Gap, SyncStatus::Pending | SyncStatus::Deferred) => return Ok(()),
            (ApplyResult::Gap, SyncStatus::Synced) => {
                return Err(DisconnectReason::ProtocolError(format!("gap in the changes of {dataset}")));
            }
        };
        open.history = HistoryStatus::Known;
        let to = open.replica.version();
        if reset || to != from || !records.is_empty() {
            self.events.push(Event::Changed { dataset: dataset.clone(), from, to, reset, records });
        }
        if !more {
            self.complete(dataset, to);
        }
        Ok(())
    }

    /// The replica is complete up to this version.
    fn complete(&mut self, dataset: DatasetName, to: u64) {
        if to > 0 {
            self.send_queue.push_ack(&dataset, to);
        }
        self.reoffer_missing(&dataset);
        let Some(open) = self.open.get_mut(&dataset) else { return };
        if open.status != SyncStatus::Synced {
            open.status = SyncStatus::Synced;
            answer_waiters(std::mem::take(&mut open.waiters), Some(to));
            self.events.push(Event::Synced { dataset, version: to });
        }
    }

    fn written(&mut self, id: u64, version: u64, results: Vec<Record>, now_ms: u64) {
        let ambiguous = self.ambiguous.remove(&id);
        let Some(OutboxPatch { dataset, changes, context }) = self.outbox.answered(id) else { return };
        if ambiguous {
            self.ambiguous_answered(&dataset);
        } else if let Some(open) = self.open.get_mut(&dataset) {
            let from = open.replica.version();
            let records = open.replica.apply_own_write(version, &changes, results.clone(), &self.device, now_ms);
            let to = open.replica.version();
            if to != from {
                self.send_queue.push_ack(&dataset, to);
            }
            if to != from || !records.is_empty() {
                self.events.push(Event::Changed { dataset: dataset.clone(), from, to, reset: false, records });
            }
        }
        self.deliver(OutboxPatch { dataset, changes, context }, WriteOutcome::Written { version, records: results });
    }

    fn refused_patch(&mut self, id: u64, code: RefusalCode, message: String) {
        match code {
            RefusalCode::Unavailable | RefusalCode::ReadOnly => self.retry |= self.outbox.defer(id),
            RefusalCode::PatchReused if self.outbox.retry_with_earlier_bases(id) => {}
            _ => self.answer(id, WriteOutcome::Refused { code, message }),
        }
    }

    fn answer(&mut self, id: u64, outcome: WriteOutcome) {
        self.ambiguous.remove(&id);
        if let Some(patch) = self.outbox.answered(id) {
            self.deliver(patch, outcome);
        }
    }

    fn deliver(&mut self, patch: OutboxPatch<PatchOrigin>, outcome: WriteOutcome) {
        match patch.context {
            PatchOrigin::App { reply, .. } => {
                // The caller may have dropped its future; the send error is ignored.
                let _ = reply.send(outcome);
            }
            PatchOrigin::Reoffer(app_writes) => self.reoffer_answered(patch.dataset, patch.changes, &app_writes, outcome),
        }
    }

    fn refused(&mut self, dataset: Option<String>, code: RefusalCode, message: String) {
        let open = dataset.as_deref().and_then(|name| self.open.get_key_value(name)).map(|(name, _)| name.clone());
        match (code, open) {
            (RefusalCode::NotOpen | RefusalCode::HelloAgain | RefusalCode::UnknownType, _) => {
                tracing::debug!(?dataset, %code, message, "refused");
            }
            (RefusalCode::Unavailable, Some(name)) => self.reopen(name, SyncStatus::Deferred),
            (RefusalCode::ReadOnly, Some(name)) => self.defer_ack(&name),
            (RefusalCode::AheadOfServer, Some(name)) => self.reopen(name, SyncStatus::Pending),
            (RefusalCode::Unavailable, None) if dataset.is_none() && !self.lists.is_empty() => {
                if let Some(reply) = self.lists.pop_front() {
                    // The caller may have dropped its future; the send error is ignored.
                    let _ = reply.send(Err(ListError::Refused { code, message }));
                }
            }
            (_, open) => {
                if let Some(open) = open.and_then(|name| self.open.get_mut(&name)) {
                    // The server will not say more about this dataset's history; patches to it must not wait for that.
                    open.history = HistoryStatus::Known;
                }
                self.events.push(Event::Refused { dataset, code, message });
            }
        }
    }

    /// A read-only store refused a message without a patch number: only an acknowledgement writes and has none.
    fn defer_ack(&mut self, dataset: &DatasetName) {
        if let Some(open) = self.open.get_mut(dataset) {
            open.ack_deferred = true;
            self.retry = true;
        }
    }

    fn reopen(&mut self, dataset: DatasetName, status: SyncStatus) {
        let Some(open) = self.open.get_mut(&dataset) else { return };
        open.status = status;
        if status == SyncStatus::Deferred {
            self.retry = true;
        } else {
            let message = open.open_message(&dataset);
            self.queue(message);
        }
    }

    /// Queues a message for this connection. Without a connection it is dropped: [`DeviceState::connected`] queues all requests again.
    fn queue(&mut self, message: ClientMessage) {
        if self.online {
            self.send_queue.push(message);
        }
    }
}

fn answer_waiters(waiters: Vec<oneshot::Sender<Option<u64>>>, version: Option<u64>) {
    for reply in waiters {
        // The caller may have dropped its future; the send error is ignored.
        let _ = reply.send(version);
    }
}
