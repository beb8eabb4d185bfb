//! The real server, its devices and the reference: runs the actions one after the other and compares after each.

mod http;
mod server;

use driftless_client::{Outbox, Replica};
use driftless_protocol::{ClientMessage, Codec, Epoch};

use crate::device::{ModelDevice, ReceivedMessage, Transport, lasting_token};
use crate::reference::{DATASET_BYTES, PatchAnswer, RECORDS, RecordState, Reference, ScriptPatch, StreamStart, record_state};
use crate::script::{Action, DATASETS, DEVICES, Delivery, Edit, PERSONS};
use crate::support::{DeviceHttp, TestPool, TestServer};

/// The state of a run.
pub struct Simulation {
    server: TestServer,
    reference: Reference,
    /// The reference at the time of the last backup, and the epoch in which it was taken.
    backup: Option<(Reference, Epoch)>,
    restores: usize,
    devices: Vec<ModelDevice>,
    /// The store's epoch, once a device has received it.
    epoch: Option<Epoch>,
    identities: [Option<String>; PERSONS.len()],
    new_devices: usize,
}

impl Simulation {
    pub async fn new() -> Simulation {
        const POOL: &str =
            "datasets = { last-writer-wins = \"last-writer-wins\" }\n[pools.demo.limits]\nrecords = 6\ndataset_bytes = 150000";
        assert!(POOL.contains(&format!("records = {RECORDS}\n")) && POOL.ends_with(&format!("= {DATASET_BYTES}")));
        Simulation {
            server: TestServer::with_pool(TestPool { pool: POOL, ..TestPool::default() }).await,
            reference: Reference::new(),
            backup: None,
            restores: 0,
            devices: (0..DEVICES.len()).map(ModelDevice::new).collect(),
            epoch: None,
            identities: [None, None],
            new_devices: 0,
        }
    }

    /// Runs an action and compares its effects.
    pub async fn run(&mut self, action: &Action) {
        match action {
            Action::Write { device, dataset, edits, writes_again, delivery } => {
                self.write(*device, *dataset, edits, *writes_again, *delivery).await
            }
            Action::HttpWrite { device, dataset, edits, writes_again } => self.write_by_http(*device, *dataset, edits, *writes_again).await,
            Action::Connect { device, sends_first, delivery } => self.connect_and_send(*device, *sends_first, *delivery).await,
            Action::Offline { device } => self.devices[*device].socket = None,
            Action::Read { device, reads } => self.devices[*device].reads = *reads,
            Action::Acks { device, acks } => self.devices[*device].acks = *acks,
            Action::Subscribe { device, dataset, subscribed } => self.subscribe(*device, *dataset, *subscribed).await,
            Action::Replay { device, back } => self.replay(*device, *back).await,
            Action::Reinstall { device } => self.reinstall(*device).await,
            Action::NewDevice { person } => self.connect_new_device(*person).await,
            Action::HttpChanges { device, dataset, version } => self.read_by_http(*device, *dataset, *version).await,
            Action::Restart { sends } => self.restart(*sends).await,
            Action::AdvanceDays { days } => self.advance_days(*days).await,
            Action::Backup => self.backup().await,
            Action::Restore => self.restore().await,
            Action::Converge => self.converge().await,
        }
        for at in 0..self.devices.len() {
            if self.devices[at].reads {
                self.compare_device(at).await;
            }
        }
    }

    /// Stops the server.
    pub async fn finish(mut self) {
        self.devices.clear();
        self.server.stop().await;
    }

    async fn write(&mut self, at: usize, dataset: usize, edits: &[Edit], writes_again: bool, delivery: Delivery) {
        self.devices[at].write(dataset, edits, writes_again);
        if self.devices[at].is_online() {
            self.send_patches(at, delivery).await;
        }
    }

    async fn connect_and_send(&mut self, at: usize, sends_first: bool, delivery: Delivery) {
        if !self.devices[at].is_online() {
            self.connect(at).await;
            if !sends_first {
                self.compare_device(at).await;
            }
        }
        self.send_patches(at, delivery).await;
    }

    async fn connect(&mut self, at: usize) {
        self.reconnect(at, 0).await;
    }

    /// Connects a device, checks the welcome, and opens its datasets. The server may or may not have received the patches up to the number
    /// `maybe_decided`.
    async fn reconnect(&mut self, at: usize, maybe_decided: u64) {
        let device = &mut self.devices[at];
        let (identity, patch) = device.connect(&self.server.url()).await;
        let known = self.reference.newest_patch(device.person, &device.name);
        assert!(
            (known..=known.max(maybe_decided)).contains(&patch),
            "the welcome of {} says that {patch} is its newest patch, it is {known}",
            device.name
        );
        assert_eq!(*self.identities[device.person].get_or_insert_with(|| identity.clone()), identity, "one identity a person");
        for dataset in 0..DATASETS.len() {
            if self.devices[at].subscribed[dataset] {
                self.open(at, dataset).await;
            }
        }
        assert!(
            self.identities.iter().flatten().collect::<std::collections::BTreeSet<_>>().len() == self.identities.iter().flatten().count()
        );
    }

    /// Sends the patches of a device's outbox and delivers them and their answers as the script says.
    async fn send_patches(&mut self, at: usize, delivery: Delivery) {
        if delivery == Delivery::RequestLost {
            let mut numbered = 0;
            while self.devices[at].next_patch().is_some() {
                numbered += 1;
            }
            if numbered > 0 {
                self.devices[at].socket = None;
            }
        }
        if matches!(delivery, Delivery::Queued | Delivery::RequestLost) {
            return;
        }
        self.devices[at].send_all().await;
        match delivery {
            Delivery::ReplyLost(arrive) => self.lose_answers_after(at, arrive).await,
            Delivery::SocketDropped if self.unanswered(at) > 0 => {
                // The server may have received some of them. This device writes next, and sends the same patches again.
                let socket = self.devices[at].socket.take().unwrap();
                let maybe_decided = socket.sent.iter().map(|sent| sent.id).max().unwrap_or(0);
                self.reconnect(at, maybe_decided).await;
                self.devices[at].socket.as_mut().unwrap().maybe_decided = maybe_decided;
                self.devices[at].send_all().await;
                self.receive_answers(at).await;
            }
            Delivery::Answered | Delivery::SocketDropped | Delivery::Queued | Delivery::RequestLost => self.receive_answers(at).await,
        }
    }

    /// The number of sent patches whose answers the device has not received.
    fn unanswered(&self, at: usize) -> usize {
        self.devices[at].socket.as_ref().map_or(0, |socket| socket.sent.len())
    }

    /// Receives until every patch is answered, also those that the app writes again after a conflict or the device offers after a restore.
    async fn receive_answers(&mut self, at: usize) {
        loop {
            while !self.devices[at].outbox.is_empty() {
                if self.unanswered(at) == 0 {
                    // The patches wait for the first page of an opened dataset.
                    self.receive(at, true).await;
                } else if let ReceivedMessage::Answer { id, answer, records } = self.receive(at, true).await {
                    let sent = self.compare(at, id, &answer);
                    self.devices[at].apply_answer(Transport::Socket, &sent, &answer, records).await;
                }
                self.devices[at].send_all().await;
            }
            self.compare_device(at).await;
            if self.devices[at].outbox.is_empty() {
                return;
            }
            self.devices[at].send_all().await;
        }
    }

    /// Receives all answers, of which the device gets the first `arrive`; then the socket breaks. Does nothing if no patch is unanswered.
    async fn lose_answers_after(&mut self, at: usize, mut arrive: usize) {
        if self.unanswered(at) == 0 {
            return;
        }
        while self.unanswered(at) > 0 {
            if let ReceivedMessage::Answer { id, answer, records } = self.receive(at, arrive > 0).await {
                let sent = self.compare(at, id, &answer);
                if arrive > 0 {
                    arrive -= 1;
                    self.devices[at].apply_answer(Transport::Socket, &sent, &answer, records).await;
                }
            }
        }
        // The answer to the ping means that the server has received the device's acknowledgements.
        self.ping(at, false).await;
        self.devices[at].socket = None;
    }

    /// Compares the answer to a device's oldest unanswered patch with the reference's.
    fn compare(&mut self, at: usize, id: u64, answer: &PatchAnswer) -> ScriptPatch {
        let device = &mut self.devices[at];
        let socket = device.socket.as_mut().unwrap();
        let (sent, maybe_decided) = (socket.sent.pop_front().unwrap(), socket.maybe_decided);
        assert_eq!(sent.id, id, "answers come in the order of the patches");
        device.advance_cursor(sent.dataset, answer);
        let expected = self.reference.write(device.person, &device.name, &sent).by_key();
        match (answer, &expected) {
            // A later patch may have been decided on the socket before; then the records in conflict are newer than the reference's.
            (PatchAnswer::Conflict(records), PatchAnswer::Conflict(expected)) if sent.id < maybe_decided => {
                let keys = |records: &[RecordState]| records.iter().map(|record| record.0.clone()).collect::<Vec<_>>();
                assert_eq!(keys(records), keys(expected), "the conflict of {} with {sent:?}", device.name);
            }
            _ => assert_eq!(*answer, expected, "the answer to {} for {sent:?}", device.name),
        }
        sent
    }

    async fn receive(&mut self, at: usize, applies_pages: bool) -> ReceivedMessage {
        match self.devices[at].receive(&mut self.epoch, applies_pages).await {
            Ok(received) => received,
            Err(end) => panic!("{} was disconnected: {end}", self.devices[at].name),
        }
    }

    /// Sends a ping, whose answer means that the server has received all earlier messages. Returns what the device receives before it.
    async fn ping(&mut self, at: usize, applies_pages: bool) -> Vec<ReceivedMessage> {
        self.devices[at].send_message(ClientMessage::Ping).await;
        let mut before = Vec::new();
        loop {
            match self.receive(at, applies_pages).await {
                ReceivedMessage::Pong => break,
                received => before.push(received),
            }
        }
        let device = &mut self.devices[at];
        for (dataset, version) in device.sent_acks.drain(..) {
            self.reference.acknowledge(device.person, &device.name, dataset, version);
        }
        before
    }

    fn http(&self, person: usize, device: &str) -> DeviceHttp {
        DeviceHttp::new(self.server.address(), &lasting_token(person), device)
    }

    /// Waits until a device has caught up, compares it with the reference, and checks that the server sends nothing more.
    async fn compare_device(&mut self, at: usize) {
        for dataset in 0..DATASETS.len() {
            self.compare_dataset(at, dataset).await;
        }
        if self.devices[at].is_online() {
            let received = self.ping(at, true).await;
            assert!(received.is_empty(), "{} received {received:?} after it had caught up", self.devices[at].name);
        }
    }

    async fn compare_dataset(&mut self, at: usize, dataset: usize) {
        let person = self.devices[at].person;
        let version = self.reference.dataset(person, dataset).version();
        let mut opens = false;
        loop {
            let Some(stream) = self.devices[at].socket.as_ref().and_then(|socket| socket.streams[dataset].as_ref()) else { return };
            opens |= !stream.complete;
            if stream.complete && stream.cursor >= version {
                break;
            }
            let received = self.receive(at, true).await;
            assert!(matches!(received, ReceivedMessage::Page), "{received:?}");
        }
        let device = &self.devices[at];
        let expected = self.reference.dataset(person, dataset);
        assert_eq!(device.replicas[dataset].version(), version, "the version of {} in {}", device.name, DATASETS[dataset]);
        let live = sorted(device.replicas[dataset].live_records().map(record_state).collect());
        assert_eq!(live, sorted(expected.live()), "the records of {} in {}", device.name, DATASETS[dataset]);
        let stream = device.socket.as_ref().and_then(|socket| socket.streams[dataset].as_ref()).unwrap();
        // A patch written since the `open` may be in the answer or in a later page.
        if opens && stream.opened_at == version {
            let expected = if let StreamStart::After(version) = stream.start { expected.after(version) } else { expected.live() };
            assert_eq!(sorted(stream.records.clone()), sorted(expected), "the pages of {}, {:?}", device.name, stream.start);
        }
    }

    async fn open(&mut self, at: usize, dataset: usize) {
        let device = &mut self.devices[at];
        let version = self.reference.dataset(device.person, dataset).version();
        let position = device.replicas[dataset].position();
        let start = self.reference.stream_start(device.person, dataset, self.epoch.as_ref(), position.as_ref());
        device.open(dataset, version, start).await;
    }

    async fn subscribe(&mut self, at: usize, dataset: usize, subscribed: bool) {
        self.devices[at].subscribed[dataset] = subscribed;
        let Some(socket) = &self.devices[at].socket else { return };
        match (socket.streams[dataset].is_some(), subscribed) {
            (true, false) => {
                // Before the close, so that no page of this dataset is in flight.
                self.compare_device(at).await;
                self.devices[at].close(dataset).await;
            }
            (false, true) => {
                self.open(at, dataset).await;
                self.compare_device(at).await;
            }
            (true, true) | (false, false) => {}
        }
    }

    async fn replay(&mut self, at: usize, back: usize) {
        let device = &mut self.devices[at];
        if device.socket.is_none() || device.past.is_empty() {
            return;
        }
        let patch = device.past[device.past.len() - 1 - back % device.past.len()].clone();
        device.send(patch).await;
        while self.unanswered(at) > 0 {
            if let ReceivedMessage::Answer { id, answer, .. } = self.receive(at, true).await {
                self.compare(at, id, &answer);
            }
        }
        self.compare_device(at).await;
    }

    async fn reinstall(&mut self, at: usize) {
        let device = &mut self.devices[at];
        device.outbox = Outbox::new();
        device.replicas = std::array::from_fn(|_| Replica::new());
        device.before_restore = std::array::from_fn(|_| None);
        self.connect(at).await;
        self.compare_device(at).await;
    }

    /// Connects a new device, which must receive exactly the live records.
    async fn connect_new_device(&mut self, person: usize) {
        self.new_devices += 1;
        let codec = if self.new_devices.is_multiple_of(2) { Codec::MsgPack } else { Codec::Json };
        self.devices.push(ModelDevice::named(&format!("new-device-{}", self.new_devices), person, codec));
        let at = self.devices.len() - 1;
        self.connect(at).await;
        self.compare_device(at).await;
        self.devices.pop();
    }

    /// Connects all devices; each sends its patches and must end with the same records (I5).
    async fn converge(&mut self) {
        for at in 0..self.devices.len() {
            self.devices[at].reads = true;
            for dataset in 0..DATASETS.len() {
                self.subscribe(at, dataset, true).await;
            }
            self.connect_and_send(at, false, Delivery::Answered).await;
            assert!(self.devices[at].outbox.is_empty(), "every patch is answered");
        }
        for at in 0..self.devices.len() {
            self.compare_device(at).await;
        }
        for person in 0..PERSONS.len() {
            self.connect_new_device(person).await;
            self.compare_list(person).await;
        }
    }
}

fn sorted(mut records: Vec<RecordState>) -> Vec<RecordState> {
    records.sort_by(|a, b| a.0.cmp(&b.0));
    records
}
