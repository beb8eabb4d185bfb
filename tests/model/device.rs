//! A device that takes one step at a time, made of the client library's parts: an outbox, a replica for each dataset, a connection.
//! Whatever it hears is checked for form here; what it means is checked by the world.

use std::collections::VecDeque;

use driftless_client::{ApplyResult, ChangesPage, Connection, DisconnectReason, Outbox, OutboxPatch, Replica};
use driftless_protocol::{Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Op, Record, RefusalCode, ServerMessage};

use crate::reference::{Answer, Begin, Seen, seen};
use crate::script::{DATASETS, DEVICES, Edit, PERSONS};
use crate::support::{name, settings, soon, token_for};

/// What the app wants of a patch that met a conflict.
#[derive(Debug)]
pub struct Intent {
    /// It writes again, in view of the state that it met. Otherwise it takes the others' state.
    pub insists: bool,
    /// It is no write of the app's, but offered again to a restored store.
    pub offer: bool,
}

/// A patch on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: u64,
    pub dataset: usize,
    pub changes: Vec<Change>,
    pub offer: bool,
}

/// Where a patch was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Http,
}

/// A dataset that is followed on the present socket.
#[derive(Debug)]
pub struct Stream {
    /// The version that the device has by what was said on this socket.
    pub cursor: u64,
    /// No page is on its way that follows the last one: the answer to `open` has ended, and so have later ones of several pages.
    pub complete: bool,
    /// What came since `open`.
    pub records: Vec<Seen>,
    /// What the answer must be.
    pub begin: Begin,
    /// The dataset's version when it was asked for.
    pub asked_at: u64,
    first: bool,
}

/// What a replica had before its store was restored.
pub struct Former {
    had: Replica,
    shared: Option<u64>,
}

/// A socket.
pub struct Line {
    connection: Connection,
    pub streams: [Option<Stream>; DATASETS.len()],
    /// Patches whose answers were not heard yet.
    pub sent: VecDeque<Sent>,
    /// Patches up to this number may have been decided on the socket before.
    pub unsure: u64,
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    Answer { id: u64, answer: Answer, records: Vec<Record> },
    Page,
    Pong,
    Bye,
}

/// A device.
pub struct Device {
    pub name: DeviceId,
    pub person: usize,
    codec: Codec,
    pub outbox: Outbox<Intent>,
    pub replicas: [Replica; DATASETS.len()],
    /// What has yet to be compared with what a restored store has.
    pub formers: [Option<Former>; DATASETS.len()],
    pub follows: [bool; DATASETS.len()],
    pub listens: bool,
    pub acks: bool,
    /// Acknowledgements that were sent, since they were looked at.
    pub sent_acks: Vec<(usize, u64)>,
    pub line: Option<Line>,
    /// Its patches that were answered.
    pub past: Vec<Sent>,
}

/// The place of a dataset in the list.
fn place(dataset: &DatasetName) -> usize {
    DATASETS.iter().position(|known| *known == dataset.as_str()).expect("a dataset of this test")
}

/// A token that outlasts the months of a run.
pub fn lasting_token(person: usize) -> String {
    token_for(PERSONS[person], 10 * 365 * 24 * 3600)
}

impl Device {
    pub fn new(at: usize) -> Device {
        Device::named(&format!("device-{at}"), DEVICES[at], if at.is_multiple_of(2) { Codec::MsgPack } else { Codec::Json })
    }

    pub fn named(id: &str, person: usize, codec: Codec) -> Device {
        Device {
            name: DeviceId::new(id).unwrap(),
            person,
            codec,
            outbox: Outbox::new(),
            replicas: std::array::from_fn(|_| Replica::new()),
            formers: std::array::from_fn(|_| None),
            follows: [true; DATASETS.len()],
            listens: true,
            acks: true,
            sent_acks: Vec::new(),
            line: None,
            past: Vec::new(),
        }
    }

    /// Connects and returns the identity, and the patch number that the server knows.
    pub async fn connect(&mut self, url: &str) -> (String, u64) {
        self.line = None;
        let settings = settings(url, self.name.as_str(), self.codec);
        let connecting = Connection::connect(&settings, lasting_token(self.person));
        let (connection, welcome) = soon("a welcome", connecting).await.unwrap();
        self.outbox.connected(welcome.patch);
        self.line = Some(Line { connection, streams: Default::default(), sent: VecDeque::new(), unsure: 0 });
        (welcome.identity, welcome.patch)
    }

    /// A patch of the app, in view of what it sees. It waits in the outbox.
    pub fn write(&mut self, dataset: usize, edits: &[Edit], insists: bool) {
        let replica = &self.replicas[dataset];
        let change = |Edit { key, op, value, based }: &Edit| match (op, value, based) {
            (Op::Put, Some(value), true) => replica.put_if_unchanged(key.clone(), value.clone()),
            (Op::Remove, _, true) => replica.remove_if_unchanged(key.clone()),
            (op, value, _) => Change::new(key.clone(), *op, value.clone()),
        };
        let changes = edits.iter().map(change).collect();
        self.outbox.push(OutboxPatch { dataset: name(DATASETS[dataset]), changes, context: Intent { insists, offer: false } });
    }

    /// The next patch that may go; it has its number from now on. On a socket none goes to a dataset before it is known which history it has.
    pub fn next_patch(&mut self) -> Option<Sent> {
        let line = self.line.as_ref();
        let is_ready =
            |dataset: &DatasetName| line.and_then(|line| line.streams[place(dataset)].as_ref()).is_none_or(|stream| !stream.first);
        match self.outbox.next_write(is_ready)? {
            ClientMessage::Write { id, dataset, changes, .. } => {
                let offer = self.outbox.context(id).is_some_and(|intent| intent.offer);
                Some(Sent { id, dataset: place(&dataset), changes, offer })
            }
            other => panic!("not a write: {other:?}"),
        }
    }

    /// Sends all patches that may go.
    pub async fn send_all(&mut self) {
        while let Some(patch) = self.next_patch() {
            self.send(patch).await;
        }
    }

    pub async fn send(&mut self, patch: Sent) {
        let Sent { id, dataset, changes, offer } = patch.clone();
        self.line.as_mut().unwrap().sent.push_back(patch);
        self.say(ClientMessage::Write { id, dataset: name(DATASETS[dataset]), changes, offer }).await;
    }

    /// Asks for a dataset, which has this version, at the replica's position.
    pub async fn open(&mut self, dataset: usize, asked_at: u64, begin: Begin) {
        let position = self.replicas[dataset].position();
        let cursor = if let Begin::After(version) = begin { version } else { 0 };
        let stream = Stream { cursor, complete: false, records: Vec::new(), begin, asked_at, first: true };
        self.line.as_mut().unwrap().streams[dataset] = Some(stream);
        self.say(ClientMessage::Open { dataset: name(DATASETS[dataset]), position }).await;
    }

    pub async fn close(&mut self, dataset: usize) {
        self.line.as_mut().unwrap().streams[dataset] = None;
        self.say(ClientMessage::Close { dataset: name(DATASETS[dataset]) }).await;
    }

    pub async fn say(&mut self, message: ClientMessage) {
        let line = self.line.as_mut().unwrap();
        soon("sending", line.connection.send(&message)).await.unwrap();
    }

    /// Hears one message. `to_the_app`: pages reach the replica; else they are lost on the way.
    pub async fn hear(&mut self, epoch: &mut Option<Epoch>, to_the_app: bool) -> Result<Heard, DisconnectReason> {
        let line = self.line.as_mut().unwrap();
        match soon("a message", line.connection.recv()).await? {
            ServerMessage::Written { id, version, records } => {
                let answer = Answer::Written { version, results: records.iter().map(seen).collect() }.by_key();
                Ok(Heard::Answer { id, answer, records })
            }
            ServerMessage::Conflict { id, records, .. } => {
                Ok(Heard::Answer { id, answer: Answer::Conflict(records.iter().map(seen).collect()).by_key(), records })
            }
            ServerMessage::Refused { id: Some(id), code, .. } => {
                Ok(Heard::Answer { id, answer: Answer::Refused(code), records: Vec::new() })
            }
            ServerMessage::Changes { dataset, epoch: of, from, to, reset, shared, more, fresh_until, records } => {
                assert_eq!(fresh_until, None, "a session remembers");
                assert_eq!(*epoch.get_or_insert_with(|| of.clone()), of, "one history");
                let page = ChangesPage { epoch: of, from, to, reset, records };
                self.page(place(&dataset), page, shared, more, to_the_app).await;
                Ok(Heard::Page)
            }
            ServerMessage::Pong => Ok(Heard::Pong),
            ServerMessage::Bye { .. } => Ok(Heard::Bye),
            other => panic!("{} was told {other:?}", self.name),
        }
    }

    /// Pages follow each other, in the order of the versions, and nothing comes twice (I3).
    async fn page(&mut self, dataset: usize, page: ChangesPage, shared: Option<u64>, more: bool, to_the_app: bool) {
        let line = self.line.as_mut().unwrap();
        let stream = line.streams[dataset].as_mut().unwrap_or_else(|| panic!("{} does not follow {}", self.name, DATASETS[dataset]));
        let expected = if let (Begin::Reset { shared }, true) = (stream.begin, stream.first) { (true, shared) } else { (false, None) };
        assert_eq!((page.reset, shared), expected, "what {} must forget of {}", self.name, DATASETS[dataset]);
        assert_eq!(page.from, stream.cursor, "pages follow each other");
        assert!(page.to > page.from || stream.first || !page.records.is_empty(), "a page brings something");
        stream.first = false;
        for record in &page.records {
            let record = seen(record);
            assert!(record.2 > page.from && (more || record.2 <= page.to), "{record:?} is outside of {} to {}", page.from, page.to);
            assert!(stream.records.last().is_none_or(|last| last.2 <= record.2), "{record:?} comes late");
            assert!(!stream.records.iter().any(|known| known.0 == record.0 && known.2 == record.2), "{record:?} comes twice");
            stream.records.push(record);
        }
        stream.cursor = page.to;
        stream.complete = !more;
        if !to_the_app {
            return;
        }
        if page.reset && self.replicas[dataset].epoch() != Some(&page.epoch) {
            self.restored(dataset, shared);
        }
        let to = page.to;
        assert!(matches!(self.replicas[dataset].apply(page), ApplyResult::Applied(_)), "no gap");
        if !more {
            self.offer_again(dataset);
            self.ack(dataset, to).await;
        }
    }

    /// The store was restored: the bases of what was not answered are lowered, and what the replica had is kept aside (`PROTOCOL.md` §8).
    fn restored(&mut self, dataset: usize, shared: Option<u64>) {
        self.outbox.lower_bases(&name(DATASETS[dataset]), shared.unwrap_or(0));
        let had = std::mem::take(&mut self.replicas[dataset]);
        // What a second restore cuts short is not worth more than what was there before the first.
        let Former { had, shared: before } = self.formers[dataset].take().unwrap_or(Former { had, shared });
        self.formers[dataset] = Some(Former { had, shared: shared.and_then(|shared| before.map(|before| before.min(shared))) });
    }

    /// Offers what a restored store has lost, each key by itself.
    fn offer_again(&mut self, dataset: usize) {
        let Some(Former { had, shared: Some(shared) }) = self.formers[dataset].take() else { return };
        let (to, now) = (name(DATASETS[dataset]), &self.replicas[dataset]);
        let named = self.outbox.pending_keys(&to);
        for (key, record) in had.into_records() {
            let is_there = now.get(&key).is_some_and(|now| now.content == record.content);
            if record.version > shared && !is_there && !named.contains(&key) {
                let change = match record.content {
                    Content::Value(value) => Change::new(key, Op::Put, value),
                    Content::Removed => Change::new(key, Op::Remove, None),
                };
                let changes = vec![change.with_base(shared)];
                self.outbox.push(OutboxPatch { dataset: to.clone(), changes, context: Intent { insists: false, offer: true } });
            }
        }
    }

    /// A patch was answered: the outbox and the replica learn of it, and what conflicts may be written again.
    pub async fn answered(&mut self, way: Way, sent: &Sent, answer: &Answer, records: Vec<Record>) {
        // The bases of a patch that was applied before a restore may have been lowered since: it is asked for as it was.
        if *answer == Answer::Refused(RefusalCode::PatchReused) && self.outbox.retry_with_earlier_bases(sent.id) {
            return;
        }
        let Some(OutboxPatch { dataset, changes, context }) = self.outbox.answered(sent.id) else { panic!("{sent:?} was not waited for") };
        self.past.push(sent.clone());
        match answer {
            Answer::Written { version, .. } => {
                let before = self.replicas[sent.dataset].version();
                self.replicas[sent.dataset].apply_own_write(*version, &changes, records, &self.name, 0);
                // A session takes acknowledgements of what it sent or answered, and of nothing else.
                if self.replicas[sent.dataset].version() != before && way == Way::Socket {
                    self.ack(sent.dataset, *version).await;
                }
            }
            Answer::Conflict(current) if context.insists => {
                let rebased = |change: Change| match current.iter().find(|record| record.0 == change.key) {
                    Some(record) if change.base.is_some() => change.with_base(record.2),
                    _ => change,
                };
                let changes = changes.into_iter().map(rebased).collect();
                self.outbox.push(OutboxPatch { dataset, changes, context });
            }
            Answer::Conflict(_) | Answer::Refused(_) => {}
        }
    }

    /// On a socket an own patch moves the device on if nothing lies between and the dataset is live.
    pub fn moved_by(&mut self, dataset: usize, answer: &Answer) {
        let stream = self.line.as_mut().and_then(|line| line.streams[dataset].as_mut());
        if let (Some(stream), Answer::Written { version, .. }) = (stream, answer)
            && stream.complete
            && stream.cursor + 1 == *version
        {
            stream.cursor = *version;
        }
    }

    async fn ack(&mut self, dataset: usize, version: u64) {
        let open = self.line.as_ref().is_some_and(|line| line.streams[dataset].is_some());
        if self.acks && open && version > 0 {
            self.sent_acks.push((dataset, version));
            self.say(ClientMessage::Ack { dataset: name(DATASETS[dataset]), version }).await;
        }
    }

    pub fn is_online(&self) -> bool {
        self.line.is_some()
    }
}
