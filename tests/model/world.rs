//! The real server, its devices and the reference beside them; does the actions one after the other and compares.

use driftless::store;
use driftless_client::{Outbox, Replica};
use driftless_protocol::{ClientMessage, CloseCode, Codec, Epoch, Position, ServerMessage};

use crate::device::{Device, Heard, Sent, Way, lasting_token};
use crate::reference::{Answer, Begin, DATASET_BYTES, RECORDS, Reference, Seen, bytes, seen};
use crate::script::{Action, DATASETS, DEVICES, Edit, Fate, MONTH, PERSONS};
use crate::support::{Http, Server, TestPool, soon};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Everything there is in a run.
pub struct World {
    server: Server,
    reference: Reference,
    /// The copy that a restore goes back to, and the history that it was taken in.
    backup: Option<(Reference, Epoch)>,
    restores: usize,
    devices: Vec<Device>,
    /// The history of the store, once somebody heard of it.
    epoch: Option<Epoch>,
    identities: [Option<String>; PERSONS.len()],
    strangers: usize,
}

impl World {
    pub async fn new() -> World {
        const POOL: &str =
            "datasets = { last-writer-wins = \"last-writer-wins\" }\n[pools.demo.limits]\nrecords = 6\ndataset_bytes = 150000";
        assert!(POOL.contains(&format!("records = {RECORDS}\n")) && POOL.ends_with(&format!("= {DATASET_BYTES}")));
        World {
            server: Server::with(TestPool { pool: POOL, ..TestPool::default() }).await,
            reference: Reference::new(),
            backup: None,
            restores: 0,
            devices: (0..DEVICES.len()).map(Device::new).collect(),
            epoch: None,
            identities: [None, None],
            strangers: 0,
        }
    }

    /// Does an action and compares everything that can be seen.
    pub async fn act(&mut self, action: &Action) {
        match action {
            Action::Write { device, dataset, edits, insists, fate } => self.write(*device, *dataset, edits, *insists, *fate).await,
            Action::Http { device, dataset, edits, insists } => self.write_by_http(*device, *dataset, edits, *insists).await,
            Action::Connect { device, eager, fate } => self.come(*device, *eager, *fate).await,
            Action::Offline { device } => self.devices[*device].line = None,
            Action::Listen { device, listens } => self.devices[*device].listens = *listens,
            Action::Acks { device, acks } => self.devices[*device].acks = *acks,
            Action::Follow { device, dataset, follows } => self.follow(*device, *dataset, *follows).await,
            Action::Replay { device, back } => self.replay(*device, *back).await,
            Action::Reinstall { device } => self.reinstall(*device).await,
            Action::Fresh { person } => self.fresh(*person).await,
            Action::Since { device, dataset, version } => self.since(*device, *dataset, *version).await,
            Action::Restart { sends } => self.restart(*sends).await,
            Action::Later { days } => self.later(*days).await,
            Action::Backup => self.backup().await,
            Action::Restore => self.restore().await,
            Action::Converge => self.converge().await,
        }
        for at in 0..self.devices.len() {
            if self.devices[at].listens {
                self.settle(at).await;
            }
        }
    }

    /// Ends the run.
    pub async fn end(mut self) {
        self.devices.clear();
        self.server.stop().await;
    }

    async fn write(&mut self, at: usize, dataset: usize, edits: &[Edit], insists: bool, fate: Fate) {
        self.devices[at].write(dataset, edits, insists);
        if self.devices[at].is_online() {
            self.flush(at, fate).await;
        }
    }

    async fn come(&mut self, at: usize, eager: bool, fate: Fate) {
        if !self.devices[at].is_online() {
            self.connect(at).await;
            if !eager {
                self.settle(at).await;
            }
        }
        self.flush(at, fate).await;
    }

    async fn connect(&mut self, at: usize) {
        self.connect_unsure(at, 0).await;
    }

    /// A session begins: the welcome says what it must, and every followed dataset is asked for. Patches up to a number may have
    /// reached the server, or not.
    async fn connect_unsure(&mut self, at: usize, perhaps: u64) {
        let device = &mut self.devices[at];
        let (identity, patch) = device.connect(&self.server.url()).await;
        let known = self.reference.newest_patch(device.person, &device.name);
        assert!((known..=known.max(perhaps)).contains(&patch), "{} is told that {patch} is its highest patch, it is {known}", device.name);
        assert_eq!(*self.identities[device.person].get_or_insert_with(|| identity.clone()), identity, "one identity a person");
        for dataset in 0..DATASETS.len() {
            if self.devices[at].follows[dataset] {
                self.open(at, dataset).await;
            }
        }
        assert!(
            self.identities.iter().flatten().collect::<std::collections::BTreeSet<_>>().len() == self.identities.iter().flatten().count()
        );
    }

    /// Sends what waits, and sees to it that what must happen to it happens.
    async fn flush(&mut self, at: usize, fate: Fate) {
        if fate == Fate::RequestLost {
            let mut numbered = 0;
            while self.devices[at].next_patch().is_some() {
                numbered += 1;
            }
            if numbered > 0 {
                self.devices[at].line = None;
            }
        }
        if matches!(fate, Fate::Later | Fate::RequestLost) {
            return;
        }
        self.devices[at].send_all().await;
        match fate {
            Fate::ReplyLost(arrive) => self.hear_some(at, arrive).await,
            Fate::Cut if self.unanswered(at) > 0 => {
                // Which of them the server has is not known: the next to write is this device, and it sends the same.
                let line = self.devices[at].line.take().unwrap();
                let unsure = line.sent.iter().map(|sent| sent.id).max().unwrap_or(0);
                self.connect_unsure(at, unsure).await;
                self.devices[at].line.as_mut().unwrap().unsure = unsure;
                self.devices[at].send_all().await;
                self.hear_answers(at).await;
            }
            Fate::Fine | Fate::Cut | Fate::Later | Fate::RequestLost => self.hear_answers(at).await,
        }
    }

    /// Patches on their way whose answers were not heard.
    fn unanswered(&self, at: usize) -> usize {
        self.devices[at].line.as_ref().map_or(0, |line| line.sent.len())
    }

    /// Hears until every patch is answered, also those that the app writes again after a conflict, or the device after a restore.
    async fn hear_answers(&mut self, at: usize) {
        loop {
            while !self.devices[at].outbox.is_empty() {
                if self.unanswered(at) == 0 {
                    // They wait for the first page of what was opened.
                    self.hear(at, true).await;
                } else if let Heard::Answer { id, answer, records } = self.hear(at, true).await {
                    let sent = self.compare(at, id, &answer);
                    self.devices[at].answered(Way::Socket, &sent, &answer, records).await;
                }
                self.devices[at].send_all().await;
            }
            self.settle(at).await;
            if self.devices[at].outbox.is_empty() {
                return;
            }
            self.devices[at].send_all().await;
        }
    }

    /// Hears all answers, of which so many reach the device; then the socket breaks. Without an answer on its way nothing does.
    async fn hear_some(&mut self, at: usize, mut arrive: usize) {
        if self.unanswered(at) == 0 {
            return;
        }
        while self.unanswered(at) > 0 {
            if let Heard::Answer { id, answer, records } = self.hear(at, arrive > 0).await {
                let sent = self.compare(at, id, &answer);
                if arrive > 0 {
                    arrive -= 1;
                    self.devices[at].answered(Way::Socket, &sent, &answer, records).await;
                }
            }
        }
        // Acknowledgements arrive, at least.
        self.ping(at, false).await;
        self.devices[at].line = None;
    }

    /// The answer to a patch is the reference's.
    fn compare(&mut self, at: usize, id: u64, answer: &Answer) -> Sent {
        let device = &mut self.devices[at];
        let line = device.line.as_mut().unwrap();
        let (sent, unsure) = (line.sent.pop_front().unwrap(), line.unsure);
        assert_eq!(sent.id, id, "answers come in the order of the patches");
        device.moved_by(sent.dataset, answer);
        let expected = self.reference.write(device.person, &device.name, &sent).by_key();
        match (answer, &expected) {
            // Of several patches, a later one may have been decided before; a conflict shows what it left.
            (Answer::Conflict(records), Answer::Conflict(expected)) if sent.id < unsure => {
                let keys = |records: &[Seen]| records.iter().map(|seen| seen.0.clone()).collect::<Vec<_>>();
                assert_eq!(keys(records), keys(expected), "what {} met with {sent:?}", device.name);
            }
            _ => assert_eq!(*answer, expected, "the answer to {} for {sent:?}", device.name),
        }
        sent
    }

    async fn hear(&mut self, at: usize, to_the_app: bool) -> Heard {
        match self.devices[at].hear(&mut self.epoch, to_the_app).await {
            Ok(heard) => heard,
            Err(end) => panic!("{} lost its socket: {end}", self.devices[at].name),
        }
    }

    /// All that the device has said was heard. Returns what comes before the answer to that.
    async fn ping(&mut self, at: usize, to_the_app: bool) -> Vec<Heard> {
        self.devices[at].say(ClientMessage::Ping).await;
        let mut before = Vec::new();
        loop {
            match self.hear(at, to_the_app).await {
                Heard::Pong => break,
                heard => before.push(heard),
            }
        }
        let device = &mut self.devices[at];
        for (dataset, version) in device.sent_acks.drain(..) {
            self.reference.acknowledge(device.person, &device.name, dataset, version);
        }
        before
    }

    fn http(&self, person: usize, device: &str) -> Http {
        Http::new(self.server.address(), &lasting_token(person), device)
    }

    /// A device that is online has everything, equals the reference, and nothing more is on its way to it.
    async fn settle(&mut self, at: usize) {
        for dataset in 0..DATASETS.len() {
            self.caught_up(at, dataset).await;
        }
        if self.devices[at].is_online() {
            let heard = self.ping(at, true).await;
            assert!(heard.is_empty(), "{} hears {heard:?} when all is quiet", self.devices[at].name);
        }
    }

    async fn caught_up(&mut self, at: usize, dataset: usize) {
        let person = self.devices[at].person;
        let version = self.reference.dataset(person, dataset).version();
        let mut opens = false;
        loop {
            let Some(stream) = self.devices[at].line.as_ref().and_then(|line| line.streams[dataset].as_ref()) else { return };
            opens |= !stream.complete;
            if stream.complete && stream.cursor >= version {
                break;
            }
            let heard = self.hear(at, true).await;
            assert!(matches!(heard, Heard::Page), "{heard:?}");
        }
        let device = &self.devices[at];
        let is = self.reference.dataset(person, dataset);
        assert_eq!(device.replicas[dataset].version(), version, "the version of {} in {}", device.name, DATASETS[dataset]);
        let live = sorted(device.replicas[dataset].live_records().map(seen).collect());
        assert_eq!(live, sorted(is.live()), "the records of {} in {}", device.name, DATASETS[dataset]);
        let stream = device.line.as_ref().and_then(|line| line.streams[dataset].as_ref()).unwrap();
        // What was written since it asked may have come with the answer or after it.
        if opens && stream.asked_at == version {
            let expected = if let Begin::After(version) = stream.begin { is.after(version) } else { is.live() };
            assert_eq!(sorted(stream.records.clone()), sorted(expected), "the answer to {}, {:?}", device.name, stream.begin);
        }
    }

    async fn open(&mut self, at: usize, dataset: usize) {
        let device = &mut self.devices[at];
        let version = self.reference.dataset(device.person, dataset).version();
        let position = device.replicas[dataset].position();
        let begin = self.reference.begins(device.person, dataset, self.epoch.as_ref(), position.as_ref());
        device.open(dataset, version, begin).await;
    }

    async fn follow(&mut self, at: usize, dataset: usize, follows: bool) {
        self.devices[at].follows[dataset] = follows;
        let Some(line) = &self.devices[at].line else { return };
        match (line.streams[dataset].is_some(), follows) {
            (true, false) => {
                // What is on its way is heard before.
                self.settle(at).await;
                self.devices[at].close(dataset).await;
            }
            (false, true) => {
                self.open(at, dataset).await;
                self.settle(at).await;
            }
            (true, true) | (false, false) => {}
        }
    }

    async fn replay(&mut self, at: usize, back: usize) {
        let device = &mut self.devices[at];
        if device.line.is_none() || device.past.is_empty() {
            return;
        }
        let patch = device.past[device.past.len() - 1 - back % device.past.len()].clone();
        device.send(patch).await;
        while self.unanswered(at) > 0 {
            if let Heard::Answer { id, answer, .. } = self.hear(at, true).await {
                self.compare(at, id, &answer);
            }
        }
        self.settle(at).await;
    }

    async fn reinstall(&mut self, at: usize) {
        let device = &mut self.devices[at];
        device.outbox = Outbox::new();
        device.replicas = std::array::from_fn(|_| Replica::new());
        device.formers = std::array::from_fn(|_| None);
        self.connect(at).await;
        self.settle(at).await;
    }

    /// A new device gets what lives, and nothing else.
    async fn fresh(&mut self, person: usize) {
        self.strangers += 1;
        let codec = if self.strangers.is_multiple_of(2) { Codec::MsgPack } else { Codec::Json };
        self.devices.push(Device::named(&format!("stranger-{}", self.strangers), person, codec));
        let at = self.devices.len() - 1;
        self.connect(at).await;
        self.settle(at).await;
        self.devices.pop();
    }

    /// Plain HTTP gives exactly what changed after a position, page by page.
    async fn since(&mut self, at: usize, dataset: usize, version: u64) {
        let device = &self.devices[at];
        let is = self.reference.dataset(device.person, dataset);
        let version = version % (is.version() + 1);
        let position = self.epoch.clone().filter(|_| !version.is_multiple_of(5)).map(|epoch| Position { epoch, version });
        let begin = self.reference.begins(device.person, dataset, self.epoch.as_ref(), position.as_ref());
        let http = self.http(device.person, device.name.as_str());
        let mut query = position.map_or(String::new(), |Position { epoch, version }| format!("?epoch={epoch}&version={version}"));
        let (mut expects, expected) = match begin {
            Begin::Fresh => ((0, false), is.live()),
            Begin::After(version) => ((version, false), is.after(version)),
            Begin::Reset { .. } => ((0, true), is.live()),
        };
        let mut records = Vec::new();
        loop {
            let answer = http.get(&format!("/v1/datasets/{}/changes{query}", DATASETS[dataset])).await;
            let page: ServerMessage = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
            let ServerMessage::Changes { epoch, from, to, reset, more, fresh_until, records: some, .. } = page else { panic!("{page:?}") };
            assert_eq!((from, reset), expects, "pages follow each other");
            let marks = more && !matches!(begin, Begin::After(_));
            assert_eq!(fresh_until, marks.then(|| is.version()), "what to say on the way from nothing");
            records.extend(some.iter().map(seen));
            let mark = fresh_until.map_or(String::new(), |version| format!("&fresh_until={version}"));
            (expects, query) = ((to, false), format!("?epoch={epoch}&version={to}{mark}"));
            if !more {
                break;
            }
        }
        assert_eq!(expects.0, is.version());
        assert_eq!(sorted(records), sorted(expected), "what http tells, {begin:?}");
    }

    async fn write_by_http(&mut self, at: usize, dataset: usize, edits: &[Edit], insists: bool) {
        let http = self.http(self.devices[at].person, self.devices[at].name.as_str());
        let device = &mut self.devices[at];
        let is_present = device.replicas[dataset].epoch().is_none_or(|epoch| Some(epoch) == self.epoch.as_ref());
        if !device.outbox.is_empty() || !is_present {
            return;
        }
        device.write(dataset, edits, insists);
        // Beside a socket that has not said yet which history the dataset has, it waits.
        let Some(sent) = device.next_patch() else { return };
        let body = format!("{{\"id\":{},\"changes\":{}}}", sent.id, serde_json::to_string(&sent.changes).unwrap());
        let answer = http.post(&format!("/v1/datasets/{}/write", DATASETS[dataset]), &body).await;
        let (answer, records) = match serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}")) {
            ServerMessage::Written { version, records, .. } => {
                (Answer::Written { version, results: records.iter().map(seen).collect() }.by_key(), records)
            }
            ServerMessage::Conflict { records, .. } => (Answer::Conflict(records.iter().map(seen).collect()).by_key(), records),
            ServerMessage::Refused { code, .. } => (Answer::Refused(code), Vec::new()),
            other => panic!("{other:?}"),
        };
        let expected = self.reference.write(device.person, &device.name, &sent).by_key();
        assert_eq!(answer, expected, "the answer by http to {} for {sent:?}", device.name);
        device.answered(Way::Http, &sent, &answer, records).await;
        if let (Answer::Written { version, .. }, true) = (answer, device.acks) {
            let acked = http.post(&format!("/v1/datasets/{}/ack", DATASETS[dataset]), &format!("{{\"version\":{version}}}")).await;
            assert_eq!(acked.json()["acknowledged"].as_u64(), Some(version));
            self.reference.acknowledge(device.person, &device.name, dataset, version);
        }
    }

    /// Every session is told to come back, what was handed in is answered before, and nothing is forgotten.
    async fn restart(&mut self, sends: Option<usize>) {
        let online = self.online();
        let sends = sends.filter(|at| online.contains(at));
        if let Some(at) = sends {
            self.devices[at].send_all().await;
        }
        self.drain(&online).await;
        self.server.restart().await;
        // Whoever had patches on their way comes first, as nobody knows for sure which of them arrived.
        for at in sends.into_iter().chain(online) {
            self.come(at, false, Fate::Fine).await;
        }
    }

    /// Much time passes while the server is down. Then the reaper is at work, and nobody disturbs it.
    async fn later(&mut self, days: u64) {
        // What was acknowledged just before a backup is not in it for sure.
        let days = if self.restores > 0 { MONTH } else { days };
        let online = self.online();
        self.drain(&online).await;
        self.server.let_pass(days * DAY_MS);
        self.server.restart().await;
        self.reaped(days).await;
        for at in online {
            self.come(at, false, Fate::Fine).await;
        }
    }

    async fn reaped(&mut self, days: u64) {
        let count = self.reference.reap(days) as f64;
        soon("reaping", async {
            while self.server.metric("driftless_reaper_reaped_total{outcome=\"tombstones\"}").await < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn online(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|at| self.devices[*at].is_online()).collect()
    }

    async fn drain(&mut self, online: &[usize]) {
        self.server.drain();
        for at in online {
            self.hear_out(*at).await;
        }
    }

    async fn hear_out(&mut self, at: usize) {
        // A server that stops does not listen to acknowledgements any more.
        let acks = std::mem::replace(&mut self.devices[at].acks, false);
        loop {
            match self.devices[at].hear(&mut self.epoch, true).await {
                Ok(Heard::Answer { id, answer, records }) => {
                    let sent = self.compare(at, id, &answer);
                    self.devices[at].answered(Way::Socket, &sent, &answer, records).await;
                }
                Ok(Heard::Page | Heard::Pong | Heard::Bye) => {}
                Err(end) => {
                    assert_eq!(end.code(), Some(CloseCode::Restarting), "{end}");
                    break;
                }
            }
        }
        self.devices[at].acks = acks;
        self.devices[at].line = None;
    }

    /// The store is copied while devices are at it.
    async fn backup(&mut self) {
        let Some(epoch) = &self.epoch else { return };
        let reply = self.server.operator().get("/backup").await;
        assert!(reply.status == 200 && reply.whole, "{}", reply.status);
        std::fs::write(self.server.folder().join("backup"), reply.body).unwrap();
        self.backup = Some((self.reference.clone(), epoch.clone()));
    }

    /// A fresh store of the copy. Devices find out when they come back; what they offer again are patches like others.
    async fn restore(&mut self) {
        let Some((backup, taken_in)) = &self.backup else { return };
        self.restores += 1;
        let epoch = Epoch::new(&format!("restored-{}", self.restores)).unwrap();
        let today = self.reference.day;
        self.reference = backup.restored(taken_in.clone());
        // The restored store is looked at at once if it is of an earlier day, and then all that it has to reap is to be old.
        let is_old = self.reference.day < today;
        self.reference.day = today;
        if is_old {
            self.server.let_pass(MONTH * DAY_MS);
        }
        self.epoch = Some(epoch.clone());
        let online = self.online();
        // They hear the old store's last words, and have heard everything before.
        online.iter().for_each(|at| self.devices[*at].line = None);
        self.server
            .restart_after(|folder| {
                std::fs::remove_dir_all(folder.join("store")).unwrap();
                store::restore(&folder.join("backup"), &folder.join("store"), &store::EngineConfig::cached(16), &epoch, |_, _| {}).unwrap();
            })
            .await;
        if is_old {
            self.reaped(MONTH).await;
        }
        for device in &mut self.devices {
            // What the network repeated would be new to this store, and what is not followed would not be known to be of another one.
            device.past.clear();
            device.follows = [true; DATASETS.len()];
        }
        for at in online {
            self.come(at, false, Fate::Fine).await;
        }
    }

    /// Everybody comes online, sends what they have, and has the same (I5).
    async fn converge(&mut self) {
        for at in 0..self.devices.len() {
            self.devices[at].listens = true;
            for dataset in 0..DATASETS.len() {
                self.follow(at, dataset, true).await;
            }
            self.come(at, false, Fate::Fine).await;
            assert!(self.devices[at].outbox.is_empty(), "everything is answered");
        }
        for at in 0..self.devices.len() {
            self.settle(at).await;
        }
        for person in 0..PERSONS.len() {
            self.fresh(person).await;
            self.list(person).await;
        }
    }

    /// The datasets of a person are listed as they are.
    async fn list(&mut self, person: usize) {
        let answer = self.http(person, "lister").get("/v1/datasets").await.json();
        let listed: Vec<_> = answer["datasets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["dataset"], &one["version"], &one["records"], &one["bytes"]))
            .map(|(n, v, r, b)| {
                (n.as_str().unwrap().to_owned(), v.as_u64().unwrap(), r.as_u64().unwrap() as usize, b.as_u64().unwrap() as usize)
            })
            .collect();
        let expected = |dataset: usize| {
            let is = self.reference.dataset(person, dataset);
            (is.version() > 0).then(|| (DATASETS[dataset].to_owned(), is.version(), is.live().len(), bytes(&is.live())))
        };
        let mut expected: Vec<_> = (0..DATASETS.len()).filter_map(expected).collect();
        expected.sort();
        assert_eq!(listed, expected);
    }
}

fn sorted(mut records: Vec<Seen>) -> Vec<Seen> {
    records.sort_by(|a, b| a.0.cmp(&b.0));
    records
}
