//! Random runs over a real store: no debt is lost, nobody is woken for what they wrote, and a wake that was taken is not repeated.

use std::collections::HashMap;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, PushTarget, Registration, Value};
use tempfile::TempDir;

use super::*;
use crate::push::Whom;
use crate::push::wakes::{FURTHEST_MS, Step, decide};
use crate::store::{DatasetRules, Decision, EngineConfig, Identity, LoginKey, Patch, Store};

const DEVICES: [&str; 4] = ["phone", "tablet", "laptop", "watch"];
const DATASETS: [&str; 2] = ["settings", "notes"];
const STEPS: usize = 400;

/// Seeds that every run takes.
const SEEDS: std::ops::Range<u64> = 0..6;

struct Run {
    folder: TempDir,
    store: Store,
    settings: WakeSettings,
    now_ms: u64,
    state: u64,
    patches: HashMap<&'static str, u64>,
    heads: HashMap<&'static str, u64>,
    /// What each device is owed, as it should be: the newest version of a dataset that another one wrote, and nobody paid.
    debts: HashMap<(&'static str, &'static str), u64>,
    /// What it was owed while its token was dead: it may be woken for it, and asks for itself if it is not.
    forgiven: HashMap<(&'static str, &'static str), u64>,
    dead: Vec<&'static str>,
    accepted: usize,
}

fn identity() -> Identity {
    Identity::from("local:1")
}

fn dataset(name: &str) -> DatasetName {
    DatasetName::new(name).expect("a name")
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a device")
}

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path(), &EngineConfig::cached(16), &Epoch::new("first").expect("an epoch")).expect("opens")
}

impl Run {
    fn new(seed: u64) -> Run {
        let folder = TempDir::new().expect("a folder");
        let store = open(&folder);
        // No budget and no grace: what is tried here is that nothing is lost, not when it is sent.
        let settings = WakeSettings { grace_ms: 0, android_per_hour: 3600, android_burst: 1000, ..WakeSettings::default() };
        let run = Run {
            folder,
            store,
            settings,
            now_ms: 1_790_000_000_000,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            patches: HashMap::new(),
            heads: HashMap::new(),
            debts: HashMap::new(),
            forgiven: HashMap::new(),
            dead: Vec::new(),
            accepted: 0,
        };
        let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
        run.act(|group, now_ms| group.identity(login, &identity(), now_ms).map(|_| ()));
        DEVICES.iter().for_each(|name| run.register(name));
        run
    }

    fn register(&self, name: &str) {
        let target = PushTarget::Fcm(format!("token of {name}"));
        let registration = Registration { target, app: "app".to_owned(), datasets: None, shown: false };
        self.act(|group, now_ms| group.register(&identity(), &device(name), &registration, now_ms).map(|_| ()));
    }

    fn act(&self, act: impl FnOnce(&mut Group<'_>, u64) -> Result<(), StoreError>) {
        let mut group = self.store.group();
        act(&mut group, self.now_ms).expect("decides");
        group.commit().expect("commits");
    }

    /// A random number below another (xorshift, Marsaglia 2003).
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % end as u64) as usize
    }

    fn write(&mut self) {
        let (writer, set) = (DEVICES[self.below(DEVICES.len())], DATASETS[self.below(DATASETS.len())]);
        let id = self.patches.entry(writer).or_insert(0);
        *id += 1;
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::Text(format!("{writer} {id}")));
        let patch = Patch { identity: identity(), device: device(writer), dataset: dataset(set), id: *id, changes: vec![change] };
        let mut group = self.store.group();
        let decision = group.write(patch, &DatasetRules::default(), self.now_ms).expect("decides");
        group.commit().expect("commits");
        let Decision::Written { version, .. } = decision else { panic!("{decision:?}") };
        self.heads.insert(set, version);
        for name in DEVICES.into_iter().filter(|name| *name != writer) {
            self.debts.insert((name, set), version);
        }
    }

    fn acknowledge(&mut self) {
        let (name, set) = (DEVICES[self.below(DEVICES.len())], DATASETS[self.below(DATASETS.len())]);
        let Some(version) = self.heads.get(set).copied() else { return };
        self.act(|group, _| group.acknowledge(&identity(), &device(name), &dataset(set), version));
        self.debts.remove(&(name, set));
    }

    fn verdict(&mut self) -> Verdict {
        match self.below(20) {
            0 => Verdict::Dead { reason: "gone".to_owned(), since_ms: None },
            1..=5 => Verdict::Later { reason: "busy".to_owned(), after_ms: Some(1000), whom: Whom::Device },
            6 => Verdict::Refused { reason: "wrong".to_owned(), fault: crate::push::Fault::Payload },
            _ => Verdict::Accepted { id: None },
        }
    }

    /// The courier comes; `meanwhile` happens while its wakes are on their way.
    fn visit(&mut self, meanwhile: impl FnOnce(&mut Run), answer: impl Fn(&mut Run) -> Verdict) {
        let Some(round) = self.store.wake_round(&identity()).expect("reads") else { return };
        let mut done = Vec::new();
        for sleeper in &round.targets {
            match decide(&round, sleeper, &self.settings, None, self.now_ms) {
                Step::Rest(reason) | Step::Wait(_, reason) => done.push(Did::Not(sleeper.device.clone(), reason)),
                Step::Send(sending) => {
                    self.is_owed(sleeper.device.as_str(), &sending);
                    let verdict = answer(self);
                    self.came(sleeper.device.as_str(), &sending, &verdict);
                    done.push(Did::Sent(Box::new(Sent { sleeper: sleeper.clone(), sending, verdict, turned: None, chance: 0 })));
                }
            }
        }
        meanwhile(self);
        let settings = self.settings;
        self.act(|group, now_ms| conclude(group, &round, done, &settings, |_| None, 0, now_ms));
    }

    /// Nobody is woken who is owed nothing.
    fn is_owed(&self, name: &str, sending: &Sending) {
        let owed = self
            .debts
            .iter()
            .chain(&self.forgiven)
            .any(|((debtor, set), _)| *debtor == name && sending.pays.iter().any(|(paid, _)| paid.as_str() == *set));
        assert!(owed, "{name} is woken for {sending:?}, and owed {:?} or {:?}", self.debts, self.forgiven);
    }

    fn came(&mut self, name: &str, sending: &Sending, verdict: &Verdict) {
        match verdict {
            Verdict::Accepted { .. } => {
                self.accepted += 1;
                for (set, version) in &sending.pays {
                    self.debts.retain(|(debtor, owed), at| *debtor != name || *owed != set.as_str() || *at > *version);
                }
            }
            Verdict::Dead { .. } => self.dead.extend(DEVICES.into_iter().filter(|known| *known == name)),
            _ => {}
        }
    }

    /// Every debt of a device that can be woken has a date.
    fn check(&self) {
        let round = self.store.wake_round(&identity()).expect("reads");
        let dates = self.store.due_identities(None, self.now_ms + FURTHEST_MS, 99).expect("reads").len();
        for ((name, set), version) in self.debts.iter().filter(|((name, _), _)| !self.dead.contains(name)) {
            let round = round.as_ref().unwrap_or_else(|| panic!("{name} is owed {version} of {set}, and nothing is known of it"));
            let owed = round.debts.iter().find(|owed| owed.dataset.as_str() == *set);
            let owed = owed.unwrap_or_else(|| panic!("{name} is owed {version} of {set}, and nothing is known of that"));
            assert!(owed.version_from_others(&device(name)) >= *version, "{name} is owed {version} of {set}: {owed:?}");
            assert!(dates >= 1, "nobody would come");
        }
    }

    fn step(&mut self) {
        match self.below(12) {
            0..=4 => self.write(),
            5..=6 => self.acknowledge(),
            7..=8 => self.visit(|_| {}, |run| run.verdict()),
            9 => self.visit(Run::write, |run| run.verdict()),
            10 => self.now_ms += 1 + self.below(2 * 3600 * 1000) as u64,
            // A crash forgets nothing. And whoever has a new token is woken again.
            _ => {
                if self.below(4) == 0 {
                    let folder = std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"));
                    self.store = open(&self.folder);
                    self.store = open(&folder);
                    self.folder = folder;
                }
                while let Some(name) = self.dead.pop() {
                    self.register(name);
                    self.forgiven.extend(self.debts.extract_if(|(debtor, _), _| *debtor == name));
                }
            }
        }
        self.now_ms += 1;
    }
}

#[test]
fn no_debt_is_lost_whatever_happens() {
    for seed in SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
            run.check();
        }
        // All is well again: everybody is woken for what is left, and then nobody any more.
        for _ in 0..3 {
            run.now_ms += 2 * 3600 * 1000;
            run.visit(|_| {}, |_| Verdict::Accepted { id: None });
        }
        run.debts.retain(|(name, _), _| !run.dead.contains(name));
        assert!(run.debts.is_empty(), "seed {seed}: {:?}", run.debts);
        assert!(run.store.wake_round(&identity()).expect("reads").is_none(), "seed {seed}: something is owed for ever");
        assert!(run.store.due_identities(None, u64::MAX - 1, 9).expect("reads").is_empty(), "seed {seed}: a date for nothing");
        assert!(run.accepted > 10, "seed {seed}: the run shows nothing");
    }
}
