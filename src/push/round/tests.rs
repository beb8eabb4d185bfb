//! Random runs over a real store: no debt is lost, no device is woken for its own writes, and an accepted wake is not repeated.

use std::collections::HashMap;

use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, PushTarget, Registration, Value};
use tempfile::TempDir;

use super::*;
use crate::push::FaultScope;
use crate::push::wakes::{MAX_DATE_AHEAD_MS, WakeDecision, decide};
use crate::store::{DatasetRules, Decision, DeviceBound, EngineConfig, Identity, LoginKey, Patch, Store};

const DEVICES: [&str; 4] = ["phone", "tablet", "laptop", "watch"];
const DATASETS: [&str; 2] = ["settings", "notes"];
const STEPS: usize = 400;

const SEEDS: std::ops::Range<u64> = 0..6;

struct RandomRun {
    folder: TempDir,
    store: Store,
    settings: WakeSettings,
    now_ms: u64,
    random_state: u64,
    patches: HashMap<&'static str, u64>,
    versions: HashMap<&'static str, u64>,
    /// What each device should be owed, by device and dataset: the newest version that another device wrote and that was neither acknowledged
    /// nor covered by an accepted wake.
    debts: HashMap<(&'static str, &'static str), u64>,
    /// What it was owed while its token was dead: it may be woken for it, or asks for changes when it connects.
    debts_while_dead: HashMap<(&'static str, &'static str), u64>,
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

impl RandomRun {
    fn new(seed: u64) -> RandomRun {
        let folder = TempDir::new().expect("a folder");
        let store = open(&folder);
        // No grace and a large budget: this test is about losing nothing, not about when wakes are sent.
        let settings = WakeSettings { grace_ms: 0, android_per_hour: 3600, android_burst: 1000, ..WakeSettings::default() };
        let run = RandomRun {
            folder,
            store,
            settings,
            now_ms: 1_790_000_000_000,
            random_state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            patches: HashMap::new(),
            versions: HashMap::new(),
            debts: HashMap::new(),
            debts_while_dead: HashMap::new(),
            dead: Vec::new(),
            accepted: 0,
        };
        let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
        run.transact(|group, now_ms| group.identity(login, &identity(), now_ms).map(|_| ()));
        for name in DEVICES {
            run.transact(|group, now_ms| group.admit(&identity(), &device(name), &DeviceBound::without_sessions(100), now_ms).map(drop));
            run.register(name);
        }
        run
    }

    fn register(&self, name: &str) {
        let target = PushTarget::Fcm(format!("token of {name}"));
        let registration = Registration { target, app: "app".to_owned(), datasets: None, shown: false };
        self.transact(|group, now_ms| group.register(&identity(), &device(name), &registration, now_ms).map(|_| ()));
    }

    fn transact(&self, act: impl FnOnce(&mut Group<'_>, u64) -> Result<(), StoreError>) {
        let mut group = self.store.group();
        act(&mut group, self.now_ms).expect("decides");
        group.commit().expect("commits");
    }

    /// A random number below another (xorshift, Marsaglia 2003).
    fn random_below(&mut self, end: usize) -> usize {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        (self.random_state % end as u64) as usize
    }

    fn write(&mut self) {
        let (writer, dataset_name) = (DEVICES[self.random_below(DEVICES.len())], DATASETS[self.random_below(DATASETS.len())]);
        let id = self.patches.entry(writer).or_insert(0);
        *id += 1;
        let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::from(format!("{writer} {id}")));
        let patch = Patch { identity: identity(), device: device(writer), dataset: dataset(dataset_name), id: *id, changes: vec![change] };
        let mut group = self.store.group();
        let decision = group.write(&patch, &DatasetRules::default(), self.now_ms).expect("decides");
        group.commit().expect("commits");
        let Decision::Written { version, .. } = decision else { panic!("{decision:?}") };
        self.versions.insert(dataset_name, version);
        for name in DEVICES.into_iter().filter(|name| *name != writer) {
            self.debts.insert((name, dataset_name), version);
        }
    }

    fn acknowledge(&mut self) {
        let (name, dataset_name) = (DEVICES[self.random_below(DEVICES.len())], DATASETS[self.random_below(DATASETS.len())]);
        let Some(version) = self.versions.get(dataset_name).copied() else { return };
        self.transact(|group, _| group.acknowledge(&identity(), &device(name), &dataset(dataset_name), version));
        self.debts.remove(&(name, dataset_name));
    }

    fn verdict(&mut self) -> Verdict {
        match self.random_below(20) {
            0 => Verdict::dead("gone"),
            1..=5 => Verdict::later_after("busy", Some(1000), FaultScope::Device),
            6 => Verdict::refused("wrong", crate::push::RefusalCause::Payload),
            _ => Verdict::Accepted { id: None },
        }
    }

    /// Runs a round as the courier does; `meanwhile` runs between its sends and its conclusion.
    fn run_round(&mut self, meanwhile: impl FnOnce(&mut RandomRun), answer: impl Fn(&mut RandomRun) -> Verdict) {
        let Some(round) = self.store.wake_round(&identity()).expect("reads") else { return };
        let mut outcomes = Vec::new();
        for target in &round.targets {
            match decide(target, &self.settings, None, self.now_ms) {
                WakeDecision::Skip(reason) | WakeDecision::Wait(_, reason) => {
                    outcomes.push(DeviceOutcome::NotSent(target.device.clone(), reason))
                }
                WakeDecision::Send(due) => {
                    self.check_due(target.device.as_str(), &due);
                    let verdict = answer(self);
                    self.apply_verdict(target.device.as_str(), &due, &verdict);
                    outcomes.push(DeviceOutcome::Sent(Box::new(SentWake {
                        target: target.clone(),
                        due,
                        verdict,
                        other_environment: None,
                        chance: 0,
                    })));
                }
            }
        }
        meanwhile(self);
        let settings = self.settings;
        if self.random_below(2) == 0 {
            self.transact(|group, now_ms| conclude(group, &round, &outcomes, &settings, |_| None, 0, now_ms));
            return;
        }
        for part in outcomes.chunks(2) {
            self.transact(|group, now_ms| record_results(group, &round, part, &settings, now_ms));
        }
        self.transact(|group, now_ms| mark_examined(group, &round, &round.debts, &settings, now_ms));
        let Some(current) = self.store.wake_round(&identity()).expect("reads") else { return };
        let found = dates(&current, &settings, |_| None, 0, self.now_ms);
        // Between two steps.
        if self.random_below(2) == 0 {
            self.write();
        }
        for part in found.chunks(1) {
            self.transact(|group, _| reschedule(group, &identity(), part));
        }
    }

    /// No device is woken that is owed nothing.
    fn check_due(&self, name: &str, due: &DueWake) {
        let owed = self
            .debts
            .iter()
            .chain(&self.debts_while_dead)
            .any(|((debtor, dataset_name), _)| *debtor == name && due.covers.iter().any(|(paid, _)| paid.as_str() == *dataset_name));
        assert!(owed, "{name} is woken for {due:?}, and owed {:?} or {:?}", self.debts, self.debts_while_dead);
    }

    fn apply_verdict(&mut self, name: &str, due: &DueWake, verdict: &Verdict) {
        match verdict {
            Verdict::Accepted { .. } => {
                self.accepted += 1;
                for (dataset_name, version) in &due.covers {
                    self.debts.retain(|(debtor, owed), at| *debtor != name || *owed != dataset_name.as_str() || *at > *version);
                }
            }
            Verdict::Dead { .. } => self.dead.extend(DEVICES.into_iter().filter(|known| *known == name)),
            _ => {}
        }
    }

    /// Every debt of a device that can be woken has a date.
    fn check(&self) {
        let round = self.store.wake_round(&identity()).expect("reads");
        let dates = self.store.due_identities(None, self.now_ms + MAX_DATE_AHEAD_MS, 99).expect("reads").len();
        for ((name, dataset_name), version) in self.debts.iter().filter(|((name, _), _)| !self.dead.contains(name)) {
            let round = round
                .as_ref()
                .unwrap_or_else(|| panic!("{name} is owed {version} of {dataset_name}, and the store has no debt of the identity"));
            let owed = round.debts.iter().find(|owed| owed.dataset.as_str() == *dataset_name);
            let owed =
                owed.unwrap_or_else(|| panic!("{name} is owed {version} of {dataset_name}, and the store has no debt of the dataset"));
            assert!(owed.version_from_others(&device(name)) >= *version, "{name} is owed {version} of {dataset_name}: {owed:?}");
            assert!(dates >= 1, "no date for a debt");
        }
    }

    fn random_step(&mut self) {
        match self.random_below(12) {
            0..=4 => self.write(),
            5..=6 => self.acknowledge(),
            7..=8 => self.run_round(|_| {}, |run| run.verdict()),
            9 => self.run_round(RandomRun::write, |run| run.verdict()),
            10 => self.now_ms += 1 + self.random_below(2 * 3600 * 1000) as u64,
            // A restart loses no debt, and a device with a new token is woken again.
            _ => {
                if self.random_below(4) == 0 {
                    let folder = std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"));
                    self.store = open(&self.folder);
                    self.store = open(&folder);
                    self.folder = folder;
                }
                while let Some(name) = self.dead.pop() {
                    self.register(name);
                    self.debts_while_dead.extend(self.debts.extract_if(|(debtor, _), _| *debtor == name));
                }
            }
        }
        self.now_ms += 1;
    }
}

#[test]
fn no_debt_is_lost_in_random_runs() {
    for seed in SEEDS {
        let mut run = RandomRun::new(seed);
        for _ in 0..STEPS {
            run.random_step();
            run.check();
        }
        // From here on every wake is accepted: each device is woken for what is left, and then none any more.
        for _ in 0..3 {
            run.now_ms += 2 * 3600 * 1000;
            run.run_round(|_| {}, |_| Verdict::Accepted { id: None });
        }
        run.debts.retain(|(name, _), _| !run.dead.contains(name));
        assert!(run.debts.is_empty(), "seed {seed}: {:?}", run.debts);
        assert!(run.store.wake_round(&identity()).expect("reads").is_none(), "seed {seed}: a debt that never ends");
        assert!(run.store.due_identities(None, u64::MAX - 1, 9).expect("reads").is_empty(), "seed {seed}: a date without a debt");
        assert!(run.accepted > 10, "seed {seed}: too few wakes to show anything");
    }
}

/// What a step of a conclusion may cost.
const MOST_STEP_WORK: usize = 1024 * 1024;

/// 100 devices that have acknowledged the first versions of 200 datasets, and are woken for the second ones.
#[test]
fn a_round_at_the_bounds_is_concluded_in_steps_of_bounded_work() {
    let mut run = RandomRun::new(1);
    let devices: Vec<String> = (0..100).map(|n| format!("device{n}")).collect();
    let datasets: Vec<String> = (0..200).map(|n| format!("dataset{n}")).collect();
    for name in &devices {
        run.transact(|group, now_ms| group.admit(&identity(), &device(name), &DeviceBound::without_sessions(200), now_ms).map(drop));
        run.register(name);
    }
    let write_all = |run: &RandomRun, from: u64| {
        for (n, name) in datasets.iter().enumerate() {
            let change = Change::new(Key::new("k").expect("a key"), Op::Put, Value::from(from as i64));
            let patch =
                Patch { identity: identity(), device: device("phone"), dataset: dataset(name), id: from + n as u64, changes: vec![change] };
            run.transact(|group, now_ms| group.write(&patch, &DatasetRules::default(), now_ms).map(drop));
        }
    };
    write_all(&run, 1);
    run.transact(|group, _| {
        let pairs = devices.iter().flat_map(|name| datasets.iter().map(move |dataset| (name, dataset)));
        pairs.into_iter().try_for_each(|(name, name_of)| group.acknowledge(&identity(), &device(name), &dataset(name_of), 1))
    });
    write_all(&run, 1001);
    run.now_ms += 1;
    let round = run.store.wake_round(&identity()).expect("reads").expect("debts");
    assert!(!is_small(&round) && round.debts.len() == 200 && round.targets.len() >= 100);
    let outcome = |target: &WakeTarget| match decide(target, &run.settings, None, run.now_ms) {
        WakeDecision::Send(due) => {
            let verdict = Verdict::Accepted { id: None };
            DeviceOutcome::Sent(Box::new(SentWake { target: target.clone(), due, verdict, other_environment: None, chance: 0 }))
        }
        WakeDecision::Skip(reason) | WakeDecision::Wait(_, reason) => DeviceOutcome::NotSent(target.device.clone(), reason),
    };
    let outcomes: Vec<DeviceOutcome> = round.targets.iter().map(outcome).collect();

    let mut group = run.store.group();
    conclude(&mut group, &round, &outcomes, &run.settings, |_| None, 0, run.now_ms).expect("decides");
    let at_once = group.work_bytes();
    drop(group);
    let mut works = Vec::new();
    let mut step = |act: &dyn Fn(&mut Group<'_>) -> Result<(), StoreError>| {
        let mut group = run.store.group();
        act(&mut group).expect("decides");
        works.push(group.work_bytes());
        group.commit().expect("commits");
    };
    outcomes.chunks(DEVICES_PER_STEP).for_each(|part| step(&|group| record_results(group, &round, part, &run.settings, run.now_ms)));
    round.debts.chunks(DEBTS_PER_STEP).for_each(|part| step(&|group| mark_examined(group, &round, part, &run.settings, run.now_ms)));
    let current = run.store.wake_round(&identity()).expect("reads").expect("debts");
    let found = dates(&current, &run.settings, |_| None, 0, run.now_ms);
    found.chunks(DEBTS_PER_STEP).for_each(|part| step(&|group| reschedule(group, &identity(), part)));
    let most = works.iter().max().expect("steps");
    assert!(*most < MOST_STEP_WORK && at_once > 4 * MOST_STEP_WORK, "{at_once} bytes of work at once, in steps {works:?}");
    assert!(run.store.wake_round(&identity()).expect("reads").is_none(), "all are woken");
}
