//! What a device knows and what follows from what it hears. No I/O; time is an argument.
//!
//! - Every open dataset is asked for again on each connection, at its replica's position.
//! - Every page that ends an answer and every own patch that moves a position is acknowledged.
//! - Every patch is answered once; nothing but its answer takes it out of the outbox.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use driftless_protocol::{ClientMessage, DatasetName, DeviceId, Record, RefusalCode, ServerMessage};
use tokio::sync::oneshot;

use super::outgoing::Outgoing;
use super::{Event, ListError, ListReply, Look, Outcome, Ticket};
use crate::replica::Page;
use crate::{End, Outbox, Patch, Replica, Taken, Welcome};

/// A dataset that the app wants.
struct Open {
    replica: Replica,
    answer: Answer,
    /// Who waits for the answer to be complete.
    waiting: Vec<oneshot::Sender<Option<u64>>>,
}

/// How far the server's answer to `open` is on this connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was asked, or will be with the next connection.
    Awaited,
    /// The server could not give it; it is asked again later.
    Held,
    /// Everything came; changes follow as they happen.
    Complete,
}

/// The state of a device.
pub(crate) struct Machine {
    device: DeviceId,
    online: bool,
    identity: Option<String>,
    open: BTreeMap<DatasetName, Open>,
    outbox: Outbox<Ticket>,
    lists: VecDeque<ListReply>,
    outgoing: Outgoing,
    events: Vec<Event>,
    retry: bool,
}

impl Machine {
    pub(crate) fn new(device: DeviceId) -> Machine {
        Machine {
            device,
            online: false,
            identity: None,
            open: BTreeMap::new(),
            outbox: Outbox::new(),
            lists: VecDeque::new(),
            outgoing: Outgoing::default(),
            events: Vec::new(),
            retry: false,
        }
    }

    /// A session began: asks for everything again. Refuses another identity than the first.
    pub(crate) fn connected(&mut self, welcome: Welcome) -> Result<(), End> {
        match &self.identity {
            Some(before) if *before != welcome.identity => return Err(End::OtherIdentity),
            _ => self.identity = Some(welcome.identity.clone()),
        }
        self.online = true;
        self.outbox.connected(welcome.patch);
        for (dataset, open) in &self.open {
            self.outgoing.push(ClientMessage::Open { dataset: dataset.clone(), position: open.replica.position() });
        }
        self.lists.iter().for_each(|_| self.outgoing.push(ClientMessage::List));
        self.events.push(Event::Connected(welcome));
        Ok(())
    }

    /// The session ended.
    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.retry = false;
        self.outgoing.clear();
        self.open.values_mut().for_each(|open| open.answer = Answer::Awaited);
    }

    /// The app wants a dataset.
    pub(crate) fn open(&mut self, dataset: DatasetName) {
        if let Entry::Vacant(place) = self.open.entry(dataset.clone()) {
            place.insert(Open { replica: Replica::new(), answer: Answer::Awaited, waiting: Vec::new() });
            self.say(ClientMessage::Open { dataset, position: None });
        }
    }

    /// The app wants it no more.
    pub(crate) fn close(&mut self, dataset: DatasetName) {
        if let Some(open) = self.open.remove(&dataset) {
            tell(open.waiting, None);
            self.say(ClientMessage::Close { dataset });
        }
    }

    /// The app waits for a dataset to be complete.
    pub(crate) fn synced(&mut self, dataset: &DatasetName, reply: oneshot::Sender<Option<u64>>) {
        match self.open.get_mut(dataset) {
            Some(open) if open.answer != Answer::Complete => open.waiting.push(reply),
            open => tell(vec![reply], open.map(|open| open.replica.version())),
        }
    }

    /// The app wants to know the datasets.
    pub(crate) fn list(&mut self, reply: ListReply) {
        self.lists.push_back(reply);
        self.say(ClientMessage::List);
    }

    /// The app writes.
    pub(crate) fn write(&mut self, patch: Patch<Ticket>) {
        self.outbox.push(patch);
    }

    /// The app looks at a replica.
    pub(crate) fn look(&self, dataset: &DatasetName, look: Look) {
        look(self.open.get(dataset).map(|open| &open.replica));
    }

    /// The session has been quiet.
    pub(crate) fn ping(&mut self) {
        self.say(ClientMessage::Ping);
    }

    /// The app gave a fresh token.
    pub(crate) fn renew(&mut self, token: String) {
        self.say(ClientMessage::Renew { token });
    }

    /// What to send next on this connection.
    pub(crate) fn next_message(&mut self) -> Option<ClientMessage> {
        self.outgoing.pop().or_else(|| self.outbox.next_write())
    }

    /// Messages that wait besides patches.
    pub(crate) fn queued(&self) -> usize {
        self.outgoing.len()
    }

    /// What to tell the app.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// True once after something was held: [`Machine::retry`] is wanted after a while.
    pub(crate) fn wants_retry(&mut self) -> bool {
        std::mem::take(&mut self.retry)
    }

    /// Asks again for what the server could not do.
    pub(crate) fn retry(&mut self) {
        self.outbox.release();
        for (dataset, open) in self.open.iter_mut().filter(|(_, open)| open.answer == Answer::Held) {
            open.answer = Answer::Awaited;
            self.outgoing.push(ClientMessage::Open { dataset: dataset.clone(), position: open.replica.position() });
        }
    }

    /// A message did not fit the protocol's bound and was not sent.
    pub(crate) fn too_large(&mut self, message: &ClientMessage, why: String) {
        match message {
            ClientMessage::Write { id, .. } => self.answer(*id, Outcome::Refused { code: RefusalCode::TooLarge, message: why }),
            other => tracing::warn!(message = ?other, why, "not sent"),
        }
    }

    /// The server said something, at `now_ms` since 1970 UTC. An error ends the session.
    pub(crate) fn heard(&mut self, message: ServerMessage, now_ms: u64) -> Result<(), End> {
        match message {
            ServerMessage::Changes { dataset, epoch, from, to, reset, shared: _, more, records } => {
                return self.changes(dataset, Page { epoch, from, to, reset, records }, more);
            }
            ServerMessage::Written { id, version, records } => self.written(id, version, records, now_ms),
            ServerMessage::Conflict { id, records, .. } => self.answer(id, Outcome::Conflict { records }),
            ServerMessage::Refused { id: Some(id), code: RefusalCode::Unavailable, .. } => self.retry |= self.outbox.hold(id),
            ServerMessage::Refused { id: Some(id), code, message, .. } => self.answer(id, Outcome::Refused { code, message }),
            ServerMessage::Refused { id: None, dataset, code, message } => self.refused(dataset, code, message),
            ServerMessage::Datasets { datasets } => {
                if let Some(reply) = self.lists.pop_front() {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(datasets));
                }
            }
            ServerMessage::Bye { code, reason, reconnect_after_ms } => return Err(End::Closed { code, reason, reconnect_after_ms }),
            ServerMessage::Welcome { .. } | ServerMessage::Renew { .. } | ServerMessage::Pong => {}
        }
        Ok(())
    }

    fn changes(&mut self, dataset: DatasetName, page: Page, more: bool) -> Result<(), End> {
        let Some(open) = self.open.get_mut(&dataset) else { return Ok(()) };
        let (from, reset) = (open.replica.version(), page.reset);
        let records = match (open.replica.take(page), open.answer) {
            (Taken::Applied(records), _) => records,
            // A page of an earlier opening that was under way when this one was asked for.
            (Taken::Gap, Answer::Awaited | Answer::Held) => return Ok(()),
            (Taken::Gap, Answer::Complete) => return Err(End::NotUnderstood(format!("changes of {dataset} leave a gap"))),
        };
        let to = open.replica.version();
        if reset || to != from || !records.is_empty() {
            self.events.push(Event::Changed { dataset: dataset.clone(), from, to, reset, records });
        }
        if more {
            return Ok(());
        }
        if to > 0 {
            self.outgoing.ack(&dataset, to);
        }
        if open.answer != Answer::Complete {
            open.answer = Answer::Complete;
            tell(std::mem::take(&mut open.waiting), Some(to));
            self.events.push(Event::Synced { dataset, version: to });
        }
        Ok(())
    }

    fn written(&mut self, id: u64, version: u64, results: Vec<Record>, now_ms: u64) {
        let Some(Patch { dataset, changes, ticket }) = self.outbox.answered(id) else { return };
        if let Some(open) = self.open.get_mut(&dataset) {
            let from = open.replica.version();
            let records = open.replica.written(version, &changes, results.clone(), &self.device, now_ms);
            let to = open.replica.version();
            if to != from {
                self.outgoing.ack(&dataset, to);
            }
            if to != from || !records.is_empty() {
                self.events.push(Event::Changed { dataset, from, to, reset: false, records });
            }
        }
        // Whoever wrote may have gone.
        let _ = ticket.reply.send(Outcome::Written { version, records: results });
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        if let Some(patch) = self.outbox.answered(id) {
            // Whoever wrote may have gone.
            let _ = patch.ticket.reply.send(outcome);
        }
    }

    fn refused(&mut self, dataset: Option<String>, code: RefusalCode, message: String) {
        let open = dataset.as_deref().and_then(|name| self.open.get_key_value(name)).map(|(name, _)| name.clone());
        match (code, open) {
            (RefusalCode::NotOpen | RefusalCode::HelloAgain | RefusalCode::UnknownType, _) => {
                tracing::debug!(?dataset, %code, message, "refused");
            }
            (RefusalCode::Unavailable, Some(name)) => self.reopen(name, Answer::Held),
            (RefusalCode::AheadOfServer, Some(name)) => self.reopen(name, Answer::Awaited),
            (RefusalCode::Unavailable, None) if dataset.is_none() && !self.lists.is_empty() => {
                if let Some(reply) = self.lists.pop_front() {
                    // Whoever asked may have gone.
                    let _ = reply.send(Err(ListError::Refused { code, message }));
                }
            }
            _ => self.events.push(Event::Refused { dataset, code, message }),
        }
    }

    fn reopen(&mut self, dataset: DatasetName, answer: Answer) {
        let Some(open) = self.open.get_mut(&dataset) else { return };
        open.answer = answer;
        if answer == Answer::Held {
            self.retry = true;
        } else {
            let position = open.replica.position();
            self.say(ClientMessage::Open { dataset, position });
        }
    }

    /// Queues a message for this connection. Without one there is nothing to say: the next begins by asking for everything.
    fn say(&mut self, message: ClientMessage) {
        if self.online {
            self.outgoing.push(message);
        }
    }
}

fn tell(waiting: Vec<oneshot::Sender<Option<u64>>>, version: Option<u64>) {
    for reply in waiting {
        // Whoever waited may have gone.
        let _ = reply.send(version);
    }
}
