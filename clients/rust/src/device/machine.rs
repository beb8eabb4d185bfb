//! What a device knows and what follows from what it hears. No I/O; time is an argument.
//!
//! - Every open dataset is asked for again on each connection, at its replica's position.
//! - Every page that ends an answer and every own patch that moves a position is acknowledged.
//! - Every patch is answered once; nothing but its answer takes it out of the outbox.
//! - No patch goes to a dataset whose history may be another one than that which its bases are of.

mod history;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use driftless_protocol::{ClientMessage, DatasetName, DeviceId, Limits, Record, RefusalCode, Registration, ServerMessage};
use tokio::sync::oneshot;

use super::ages::{Age, Ages};
use super::dataset::{Answer, History, Open};
use super::outgoing::Outgoing;
use super::{Event, ListError, ListReply, Look, Outcome, Ticket};
use crate::replica::Page;
use crate::{End, Outbox, Patch, Taken, Welcome};

/// The state of a device.
pub(crate) struct Machine {
    device: DeviceId,
    online: bool,
    identity: Option<String>,
    limits: Limits,
    ages: Ages,
    open: BTreeMap<DatasetName, Open>,
    outbox: Outbox<Ticket>,
    /// Numbers of unanswered patches that another identity may have applied, which was merged into this one.
    crossed: BTreeSet<u64>,
    lists: VecDeque<ListReply>,
    push: Push,
    outgoing: Outgoing,
    events: Vec<Event>,
    retry: bool,
}

/// What the app wants of pushes.
enum Push {
    /// It did not say.
    Untouched,
    /// To be woken here. Said on each connection: that keeps the registration fresh.
    Wanted(Registration),
    /// Not to be woken; it is to be said.
    Unwanted,
}

impl Machine {
    pub(crate) fn new(device: DeviceId, age: Age) -> Machine {
        Machine {
            device,
            online: false,
            identity: None,
            limits: Limits::default(),
            ages: Ages::new(age),
            open: BTreeMap::new(),
            outbox: Outbox::new(),
            crossed: BTreeSet::new(),
            lists: VecDeque::new(),
            push: Push::Untouched,
            outgoing: Outgoing::default(),
            events: Vec::new(),
            retry: false,
        }
    }

    /// A session began: asks for everything again. Refuses another identity than the first, unless that was merged into it.
    pub(crate) fn connected(&mut self, welcome: Welcome) -> Result<(), End> {
        let former = self.identify(&welcome)?;
        self.online = true;
        self.limits = welcome.limits;
        let (identity, known) = (welcome.identity.clone(), welcome.patch);
        self.events.push(Event::Connected(welcome));
        if let Some(former) = former {
            self.moved(former, identity);
        }
        self.outbox.connected(known);
        self.open.iter().for_each(|(dataset, open)| self.outgoing.push(open.ask(dataset)));
        self.lists.iter().for_each(|_| self.outgoing.push(ClientMessage::List));
        self.ask_for_push();
        Ok(())
    }

    /// The app wants to be woken, or not any more.
    pub(crate) fn push(&mut self, registration: Option<Registration>) {
        self.push = registration.map_or(Push::Unwanted, Push::Wanted);
        if self.online {
            self.ask_for_push();
        }
    }

    fn ask_for_push(&mut self) {
        match &self.push {
            Push::Untouched => {}
            Push::Wanted(registration) => self.outgoing.push(ClientMessage::Register(registration.clone())),
            Push::Unwanted => self.outgoing.push(ClientMessage::Unregister),
        }
    }

    /// The session ended.
    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.retry = false;
        self.outgoing.clear();
        self.open.values_mut().for_each(Open::disconnected);
    }

    /// The app wants a dataset.
    pub(crate) fn open(&mut self, dataset: DatasetName) {
        if let Entry::Vacant(place) = self.open.entry(dataset.clone()) {
            let ask = place.insert(Open::new()).ask(&dataset);
            self.say(ask);
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

    /// The app writes, and made its changes at this age.
    pub(crate) fn write(&mut self, mut patch: Patch<Ticket>, made: u64) {
        self.ages.lower(made, &patch.dataset, &mut patch.changes);
        self.overtake(&patch.dataset, &patch.changes);
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
        let ready = |dataset: &DatasetName| self.open.get(dataset).is_none_or(Open::may_write);
        let next = self.outgoing.pop().or_else(|| self.outbox.next_write(ready));
        match next {
            // What is offered again is never the last word, also where the last writer wins.
            Some(ClientMessage::Write { id, dataset, changes, offer: _ }) => {
                let offer = matches!(self.outbox.ticket(id), Some(Ticket::Offer(_)));
                Some(ClientMessage::Write { id, dataset, changes, offer })
            }
            other => other,
        }
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
        for (dataset, open) in &mut self.open {
            if std::mem::take(&mut open.unacknowledged) {
                self.outgoing.ack(dataset, open.replica.version());
            }
            if open.answer == Answer::Held {
                open.answer = Answer::Awaited;
                self.outgoing.push(open.ask(dataset));
            }
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
            ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until: _, records } => {
                return self.changes(dataset, Page { epoch, from, to, reset, records }, shared, more);
            }
            ServerMessage::Written { id, version, records } => self.written(id, version, records, now_ms),
            ServerMessage::Conflict { id, records, .. } => self.answer(id, Outcome::Conflict { records }),
            ServerMessage::Refused { id: Some(id), code, message, .. } => self.refused_patch(id, code, message),
            ServerMessage::Refused { id: None, dataset, code, message } => self.refused(dataset, code, message),
            ServerMessage::Datasets { datasets } => {
                if let Some(reply) = self.lists.pop_front() {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(datasets));
                }
            }
            ServerMessage::Registered { provider, app } => self.events.push(Event::Registered { provider, app }),
            ServerMessage::Unregistered => {
                if matches!(self.push, Push::Unwanted) {
                    self.push = Push::Untouched;
                }
                self.events.push(Event::Unregistered);
            }
            ServerMessage::Bye { code, reason, reconnect_after_ms } => return Err(End::Closed { code, reason, reconnect_after_ms }),
            ServerMessage::Welcome { .. } | ServerMessage::Renew { .. } | ServerMessage::Pong => {}
        }
        Ok(())
    }

    fn changes(&mut self, dataset: DatasetName, page: Page, shared: Option<u64>, more: bool) -> Result<(), End> {
        let Some(open) = self.open.get_mut(&dataset) else { return Ok(()) };
        let (from, reset) = (open.replica.version(), page.reset);
        if open.is_restored_by(&page) {
            self.restored(&dataset, shared);
        }
        let Some(open) = self.open.get_mut(&dataset) else { return Ok(()) };
        let records = match (open.replica.take(page), open.answer) {
            (Taken::Applied(records), _) => records,
            // A page of an earlier opening that was under way when this one was asked for.
            (Taken::Gap, Answer::Awaited | Answer::Held) => return Ok(()),
            (Taken::Gap, Answer::Complete) => return Err(End::NotUnderstood(format!("changes of {dataset} leave a gap"))),
        };
        open.history = History::Known;
        let to = open.replica.version();
        if reset || to != from || !records.is_empty() {
            self.events.push(Event::Changed { dataset: dataset.clone(), from, to, reset, records });
        }
        if !more {
            self.complete(dataset, to);
        }
        Ok(())
    }

    /// The replica has everything, up to this version.
    fn complete(&mut self, dataset: DatasetName, to: u64) {
        if to > 0 {
            self.outgoing.ack(&dataset, to);
        }
        self.compare(&dataset);
        let Some(open) = self.open.get_mut(&dataset) else { return };
        if open.answer != Answer::Complete {
            open.answer = Answer::Complete;
            tell(std::mem::take(&mut open.waiting), Some(to));
            self.events.push(Event::Synced { dataset, version: to });
        }
    }

    fn written(&mut self, id: u64, version: u64, results: Vec<Record>, now_ms: u64) {
        let crossed = self.crossed.remove(&id);
        let Some(Patch { dataset, changes, ticket }) = self.outbox.answered(id) else { return };
        if crossed {
            self.crossed(&dataset);
        } else if let Some(open) = self.open.get_mut(&dataset) {
            let from = open.replica.version();
            let records = open.replica.written(version, &changes, results.clone(), &self.device, now_ms);
            let to = open.replica.version();
            if to != from {
                self.outgoing.ack(&dataset, to);
            }
            if to != from || !records.is_empty() {
                self.events.push(Event::Changed { dataset: dataset.clone(), from, to, reset: false, records });
            }
        }
        self.settle(Patch { dataset, changes, ticket }, Outcome::Written { version, records: results });
    }

    fn refused_patch(&mut self, id: u64, code: RefusalCode, message: String) {
        match code {
            RefusalCode::Unavailable | RefusalCode::ReadOnly => self.retry |= self.outbox.hold(id),
            RefusalCode::PatchReused if self.outbox.reused(id) => {}
            _ => self.answer(id, Outcome::Refused { code, message }),
        }
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        self.crossed.remove(&id);
        if let Some(patch) = self.outbox.answered(id) {
            self.settle(patch, outcome);
        }
    }

    fn settle(&mut self, patch: Patch<Ticket>, outcome: Outcome) {
        match patch.ticket {
            Ticket::App { reply, .. } => {
                // Whoever wrote may have gone.
                let _ = reply.send(outcome);
            }
            Ticket::Offer(overtaken) => self.offer_answered(patch.dataset, patch.changes, &overtaken, outcome),
        }
    }

    fn refused(&mut self, dataset: Option<String>, code: RefusalCode, message: String) {
        let open = dataset.as_deref().and_then(|name| self.open.get_key_value(name)).map(|(name, _)| name.clone());
        match (code, open) {
            (RefusalCode::NotOpen | RefusalCode::HelloAgain | RefusalCode::UnknownType, _) => {
                tracing::debug!(?dataset, %code, message, "refused");
            }
            (RefusalCode::Unavailable, Some(name)) => self.reopen(name, Answer::Held),
            (RefusalCode::ReadOnly, Some(name)) => self.acknowledge_later(&name),
            (RefusalCode::AheadOfServer, Some(name)) => self.reopen(name, Answer::Awaited),
            (RefusalCode::Unavailable, None) if dataset.is_none() && !self.lists.is_empty() => {
                if let Some(reply) = self.lists.pop_front() {
                    // Whoever asked may have gone.
                    let _ = reply.send(Err(ListError::Refused { code, message }));
                }
            }
            (_, open) => {
                if let Some(open) = open.and_then(|name| self.open.get_mut(&name)) {
                    // Nothing more will be said of its history, and writing need not suffer from that.
                    open.history = History::Known;
                }
                self.events.push(Event::Refused { dataset, code, message });
            }
        }
    }

    /// Only an acknowledgement writes and has no patch number.
    fn acknowledge_later(&mut self, dataset: &DatasetName) {
        if let Some(open) = self.open.get_mut(dataset) {
            open.unacknowledged = true;
            self.retry = true;
        }
    }

    fn reopen(&mut self, dataset: DatasetName, answer: Answer) {
        let Some(open) = self.open.get_mut(&dataset) else { return };
        open.answer = answer;
        if answer == Answer::Held {
            self.retry = true;
        } else {
            let ask = open.ask(&dataset);
            self.say(ask);
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
