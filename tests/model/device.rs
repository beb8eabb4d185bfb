//! A device that takes one step at a time, made of the client library's parts: an outbox, a replica of each dataset, a connection.
//! It checks the order and the bounds of the pages that it receives; the simulation compares their contents.

use std::collections::VecDeque;

use driftless_client::{ApplyResult, ChangesPage, Connection, DisconnectReason, Outbox, OutboxPatch, Replica};
use driftless_protocol::{Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Op, Record, RefusalCode, ServerMessage};

use crate::reference::{PatchAnswer, RecordState, ScriptPatch, StreamStart, record_state};
use crate::script::{DATASETS, DEVICES, Edit, PERSONS};
use crate::support::{name, settings, token_for, wait_for};

/// What the device does if a patch conflicts.
#[derive(Debug)]
pub struct Intent {
    /// The app writes again on top of the records in conflict. Otherwise it takes the server's state.
    pub writes_again: bool,
    /// The patch is not from the app: the device offers a record again that a restored store has lost.
    pub offer: bool,
}

/// How a patch was sent and answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Socket,
    Http,
}

/// A dataset that is open on the present socket.
#[derive(Debug)]
pub struct DatasetStream {
    /// The version that the device has, by the pages and answers of this socket.
    pub cursor: u64,
    /// Whether the last page was the last of its sequence (`more` was false).
    pub complete: bool,
    /// Records received since `open`.
    pub records: Vec<RecordState>,
    /// How the answer to `open` must start.
    pub start: StreamStart,
    /// The dataset's version when the device sent `open`.
    pub opened_at: u64,
    is_first_page: bool,
}

/// A replica as it was before its store was restored, and the version up to which both histories are the same.
pub struct ReplicaBeforeRestore {
    replica: Replica,
    shared: Option<u64>,
}

/// A connection and what is in flight on it.
pub struct ModelSocket {
    connection: Connection,
    pub streams: [Option<DatasetStream>; DATASETS.len()],
    /// Patches whose answers the device has not received yet.
    pub sent: VecDeque<ScriptPatch>,
    /// Patches up to this number may have been decided on the socket before.
    pub maybe_decided: u64,
}

/// A message that a device received.
#[derive(Debug)]
pub enum ReceivedMessage {
    Answer { id: u64, answer: PatchAnswer, records: Vec<Record> },
    Page,
    Pong,
    Bye,
}

/// A device of a person.
pub struct ModelDevice {
    pub name: DeviceId,
    pub person: usize,
    codec: Codec,
    pub outbox: Outbox<Intent>,
    pub replicas: [Replica; DATASETS.len()],
    /// Replicas from before a restore, until the device has compared them with the restored store.
    pub before_restore: [Option<ReplicaBeforeRestore>; DATASETS.len()],
    pub subscribed: [bool; DATASETS.len()],
    pub reads: bool,
    pub acks: bool,
    /// Acknowledgements that the reference does not know yet: dataset and version.
    pub sent_acks: Vec<(usize, u64)>,
    pub socket: Option<ModelSocket>,
    /// Answered patches, oldest first.
    pub past: Vec<ScriptPatch>,
}

/// The index of a dataset in `DATASETS`.
fn index_of(dataset: &DatasetName) -> usize {
    DATASETS.iter().position(|known| *known == dataset.as_str()).expect("a dataset of this test")
}

/// A token that is valid for ten years: a run advances the server's clock by months.
pub fn lasting_token(person: usize) -> String {
    token_for(PERSONS[person], 10 * 365 * 24 * 3600)
}

impl ModelDevice {
    pub fn new(at: usize) -> ModelDevice {
        ModelDevice::named(&format!("device-{at}"), DEVICES[at], if at.is_multiple_of(2) { Codec::MsgPack } else { Codec::Json })
    }

    pub fn named(id: &str, person: usize, codec: Codec) -> ModelDevice {
        ModelDevice {
            name: DeviceId::new(id).unwrap(),
            person,
            codec,
            outbox: Outbox::new(),
            replicas: std::array::from_fn(|_| Replica::new()),
            before_restore: std::array::from_fn(|_| None),
            subscribed: [true; DATASETS.len()],
            reads: true,
            acks: true,
            sent_acks: Vec::new(),
            socket: None,
            past: Vec::new(),
        }
    }

    /// Connects, and returns the identity and the newest patch number from the welcome.
    pub async fn connect(&mut self, url: &str) -> (String, u64) {
        self.socket = None;
        let settings = settings(url, self.name.as_str(), self.codec);
        let connecting = Connection::connect(&settings, lasting_token(self.person));
        let (connection, welcome) = wait_for("a welcome", connecting).await.unwrap();
        self.outbox.connected(welcome.patch);
        self.socket = Some(ModelSocket { connection, streams: Default::default(), sent: VecDeque::new(), maybe_decided: 0 });
        (welcome.identity, welcome.patch)
    }

    /// The app writes a patch, with bases from the replica. It waits in the outbox.
    pub fn write(&mut self, dataset: usize, edits: &[Edit], writes_again: bool) {
        let replica = &self.replicas[dataset];
        let change = |Edit { key, op, value, based }: &Edit| match (op, value, based) {
            (Op::Put, Some(value), true) => replica.put_if_unchanged(key.clone(), value.clone()),
            (Op::Remove, _, true) => replica.remove_if_unchanged(key.clone()),
            (op, value, _) => Change::new(key.clone(), *op, value.clone()),
        };
        let changes = edits.iter().map(change).collect();
        self.outbox.push(OutboxPatch { dataset: name(DATASETS[dataset]), changes, context: Intent { writes_again, offer: false } });
    }

    /// Numbers the next patch that may be sent. A patch to an open dataset is not sent before the dataset's first page, which says whether
    /// the store was restored.
    pub fn next_patch(&mut self) -> Option<ScriptPatch> {
        let socket = self.socket.as_ref();
        let is_ready = |dataset: &DatasetName| {
            socket.and_then(|socket| socket.streams[index_of(dataset)].as_ref()).is_none_or(|stream| !stream.is_first_page)
        };
        match self.outbox.next_write(is_ready)? {
            ClientMessage::Write { id, dataset, changes, .. } => {
                let offer = self.outbox.context(id).is_some_and(|intent| intent.offer);
                Some(ScriptPatch { id, dataset: index_of(&dataset), changes, offer })
            }
            other => panic!("not a write: {other:?}"),
        }
    }

    /// Sends all patches that may be sent.
    pub async fn send_all(&mut self) {
        while let Some(patch) = self.next_patch() {
            self.send(patch).await;
        }
    }

    pub async fn send(&mut self, patch: ScriptPatch) {
        let ScriptPatch { id, dataset, changes, offer } = patch.clone();
        self.socket.as_mut().unwrap().sent.push_back(patch);
        self.send_message(ClientMessage::Write { id, dataset: name(DATASETS[dataset]), changes, offer }).await;
    }

    /// Opens a dataset, which has version `opened_at`, at the replica's position.
    pub async fn open(&mut self, dataset: usize, opened_at: u64, start: StreamStart) {
        let position = self.replicas[dataset].position();
        let cursor = if let StreamStart::After(version) = start { version } else { 0 };
        let stream = DatasetStream { cursor, complete: false, records: Vec::new(), start, opened_at, is_first_page: true };
        self.socket.as_mut().unwrap().streams[dataset] = Some(stream);
        self.send_message(ClientMessage::Open { dataset: name(DATASETS[dataset]), position }).await;
    }

    pub async fn close(&mut self, dataset: usize) {
        self.socket.as_mut().unwrap().streams[dataset] = None;
        self.send_message(ClientMessage::Close { dataset: name(DATASETS[dataset]) }).await;
    }

    pub async fn send_message(&mut self, message: ClientMessage) {
        let socket = self.socket.as_mut().unwrap();
        wait_for("sending", socket.connection.send(&message)).await.unwrap();
    }

    /// Receives one message. Without `applies_pages` the replica does not get the pages, as if they were lost on the way.
    pub async fn receive(&mut self, epoch: &mut Option<Epoch>, applies_pages: bool) -> Result<ReceivedMessage, DisconnectReason> {
        let socket = self.socket.as_mut().unwrap();
        match wait_for("a message", socket.connection.recv()).await? {
            ServerMessage::Written { id, version, records } => {
                let answer = PatchAnswer::Written { version, results: records.iter().map(record_state).collect() }.by_key();
                Ok(ReceivedMessage::Answer { id, answer, records })
            }
            ServerMessage::Conflict { id, records, .. } => Ok(ReceivedMessage::Answer {
                id,
                answer: PatchAnswer::Conflict(records.iter().map(record_state).collect()).by_key(),
                records,
            }),
            ServerMessage::Refused { id: Some(id), code, .. } => {
                Ok(ReceivedMessage::Answer { id, answer: PatchAnswer::Refused(code), records: Vec::new() })
            }
            ServerMessage::Changes { dataset, epoch: of, from, to, reset, shared, more, fresh_until, records } => {
                assert_eq!(fresh_until, None, "only HTTP answers have it");
                assert_eq!(*epoch.get_or_insert_with(|| of.clone()), of, "one epoch");
                let page = ChangesPage { epoch: of, from, to, reset, records };
                self.receive_page(index_of(&dataset), page, shared, more, applies_pages).await;
                Ok(ReceivedMessage::Page)
            }
            ServerMessage::Pong => Ok(ReceivedMessage::Pong),
            ServerMessage::Bye { .. } => Ok(ReceivedMessage::Bye),
            other => panic!("{} received {other:?}", self.name),
        }
    }

    /// Checks and applies a page: pages follow each other, records are in the order of their versions, and none is sent twice (I3).
    async fn receive_page(&mut self, dataset: usize, page: ChangesPage, shared: Option<u64>, more: bool, applies_pages: bool) {
        let socket = self.socket.as_mut().unwrap();
        let stream = socket.streams[dataset].as_mut().unwrap_or_else(|| panic!("{} has not opened {}", self.name, DATASETS[dataset]));
        let expected =
            if let (StreamStart::Reset { shared }, true) = (stream.start, stream.is_first_page) { (true, shared) } else { (false, None) };
        assert_eq!((page.reset, shared), expected, "the reset of {} in {}", self.name, DATASETS[dataset]);
        assert_eq!(page.from, stream.cursor, "pages follow each other");
        assert!(page.to > page.from || stream.is_first_page || !page.records.is_empty(), "an empty page");
        stream.is_first_page = false;
        for record in &page.records {
            let record = record_state(record);
            assert!(record.2 > page.from && (more || record.2 <= page.to), "{record:?} is outside of {} to {}", page.from, page.to);
            assert!(stream.records.last().is_none_or(|last| last.2 <= record.2), "{record:?} is out of order");
            assert!(!stream.records.iter().any(|known| known.0 == record.0 && known.2 == record.2), "{record:?} was sent twice");
            stream.records.push(record);
        }
        stream.cursor = page.to;
        stream.complete = !more;
        if !applies_pages {
            return;
        }
        if page.reset && self.replicas[dataset].epoch() != Some(&page.epoch) {
            self.store_was_restored(dataset, shared);
        }
        let to = page.to;
        assert!(matches!(self.replicas[dataset].apply(page), ApplyResult::Applied(_)), "no gap");
        if !more {
            self.offer_again(dataset);
            self.ack(dataset, to).await;
        }
    }

    /// The store was restored: lowers the bases of unanswered patches, and sets the old replica aside (`PROTOCOL.md` §8).
    fn store_was_restored(&mut self, dataset: usize, shared: Option<u64>) {
        self.outbox.lower_bases(&name(DATASETS[dataset]), shared.unwrap_or(0));
        let replica = std::mem::take(&mut self.replicas[dataset]);
        // If a second restore interrupts the comparison, the replica from before the first restore is the one to compare.
        let ReplicaBeforeRestore { replica, shared: before } =
            self.before_restore[dataset].take().unwrap_or(ReplicaBeforeRestore { replica, shared });
        self.before_restore[dataset] =
            Some(ReplicaBeforeRestore { replica, shared: shared.and_then(|shared| before.map(|before| before.min(shared))) });
    }

    /// Offers the records again that the restored store has lost, each as a patch of its own.
    fn offer_again(&mut self, dataset: usize) {
        let Some(ReplicaBeforeRestore { replica, shared: Some(shared) }) = self.before_restore[dataset].take() else { return };
        let (to, now) = (name(DATASETS[dataset]), &self.replicas[dataset]);
        let named = self.outbox.pending_keys(&to);
        for (key, record) in replica.into_records() {
            let is_there = now.get(&key).is_some_and(|now| now.content == record.content);
            if record.version > shared && !is_there && !named.contains(&key) {
                let change = match record.content {
                    Content::Value(value) => Change::new(key, Op::Put, value),
                    Content::Removed => Change::new(key, Op::Remove, None),
                };
                let changes = vec![change.with_base(shared)];
                self.outbox.push(OutboxPatch { dataset: to.clone(), changes, context: Intent { writes_again: false, offer: true } });
            }
        }
    }

    /// Applies the answer to a patch to the outbox and the replica. After a conflict the app may write again.
    pub async fn apply_answer(&mut self, transport: Transport, sent: &ScriptPatch, answer: &PatchAnswer, records: Vec<Record>) {
        // The patch was applied before a restore that lowered its bases: the outbox sends it again as it was.
        if *answer == PatchAnswer::Refused(RefusalCode::PatchReused) && self.outbox.retry_with_earlier_bases(sent.id) {
            return;
        }
        let Some(OutboxPatch { dataset, changes, context }) = self.outbox.answered(sent.id) else { panic!("{sent:?} was not pending") };
        self.past.push(sent.clone());
        match answer {
            PatchAnswer::Written { version, .. } => {
                let before = self.replicas[sent.dataset].version();
                self.replicas[sent.dataset].apply_own_write(*version, &changes, records, &self.name, 0);
                // A session accepts acknowledgements only of versions that it sent or answered with.
                if self.replicas[sent.dataset].version() != before && transport == Transport::Socket {
                    self.ack(sent.dataset, *version).await;
                }
            }
            PatchAnswer::Conflict(current) if context.writes_again => {
                let rebased = |change: Change| match current.iter().find(|record| record.0 == change.key) {
                    Some(record) if change.base.is_some() => change.with_base(record.2),
                    _ => change,
                };
                let changes = changes.into_iter().map(rebased).collect();
                self.outbox.push(OutboxPatch { dataset, changes, context });
            }
            PatchAnswer::Conflict(_) | PatchAnswer::Refused(_) => {}
        }
    }

    /// An own patch advances the cursor if it is the next version and the stream is complete.
    pub fn advance_cursor(&mut self, dataset: usize, answer: &PatchAnswer) {
        let stream = self.socket.as_mut().and_then(|socket| socket.streams[dataset].as_mut());
        if let (Some(stream), PatchAnswer::Written { version, .. }) = (stream, answer)
            && stream.complete
            && stream.cursor + 1 == *version
        {
            stream.cursor = *version;
        }
    }

    async fn ack(&mut self, dataset: usize, version: u64) {
        let open = self.socket.as_ref().is_some_and(|socket| socket.streams[dataset].is_some());
        if self.acks && open && version > 0 {
            self.sent_acks.push((dataset, version));
            self.send_message(ClientMessage::Ack { dataset: name(DATASETS[dataset]), version }).await;
        }
    }

    pub fn is_online(&self) -> bool {
        self.socket.is_some()
    }
}
