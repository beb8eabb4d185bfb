//! Two writers on one store, as two nodes of one engine would be: each decides groups, pauses, and commits them when the other one may have committed
//! meanwhile. Fences must make of it what one writer would have made.
//!
//! A model of what must hold judges the end. Three controls show that it can fail: writers whose fences are not compared, writers that take the
//! fences after the rows, and writers that take the rows of their caches for what is there.

use std::collections::{BTreeMap, BTreeSet};

use driftless_protocol::{DeviceId, Op, PushTarget, Value};

use super::push::registration;
use crate::store::memory::{FaultPoint, Memory};
use crate::store::row_cache::StoreCache;
use crate::store::support::{dataset, device, epoch, patch, sign_in};
use crate::store::{
    CommitOutcome, DatasetRules, Decision, DeviceBound, Group, GroupOutcomes, Identity, JobFailure, JobPart, Patch, RegisterOutcome, Store,
    StoreError,
};

const PEOPLE: u64 = 3;
const DEVICES: u64 = 3;
const TOKENS: u64 = 2;

/// Patches of a device that are not answered yet.
const UNANSWERED: usize = 8;

/// How far a device's newest patch may be ahead of one that is not answered: the store knows 64 of them, and both writers may have some that are
/// not committed yet.
const WINDOW: u64 = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fencing {
    AsBuilt,
    NotCompared,
    AfterTheRows,
    NotOfTheCache,
}

/// A patch of a device, by its person, its device and its number.
type PatchName = (u64, u64, u64);

#[derive(Clone, Copy, Debug)]
enum Task {
    Add(PatchName),
    Register { person: u64, device: u64, token: u64 },
}

struct Writer<'a> {
    /// With a cache of its own.
    store: &'a Store,
    group: Option<Group<'a>>,
    /// What it has decided: the version that a patch made or found.
    decided: Vec<(Task, JobPart, Option<u64>)>,
}

impl<'a> Writer<'a> {
    fn new(store: &'a Store) -> Writer<'a> {
        Writer { store, group: None, decided: Vec::new() }
    }
}

struct Model<'a> {
    store: &'a Store,
    memory: &'a Memory,
    fencing: Fencing,
    chance: u64,
    newest: BTreeMap<(u64, u64), u64>,
    unanswered: BTreeSet<PatchName>,
    answers: BTreeMap<PatchName, u64>,
    stale: u64,
}

fn person(number: u64) -> Identity {
    Identity::from(format!("local:{number}").as_str())
}

fn device_of(number: u64) -> DeviceId {
    device(&format!("device-{number}"))
}

impl<'a> Model<'a> {
    /// A number below a bound, the same in every run with the same seed (SplitMix64).
    fn chance(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn task(&mut self) -> Task {
        let (person, device) = (self.chance(PEOPLE), self.chance(DEVICES));
        if self.chance(6) == 0 {
            return Task::Register { person, device, token: self.chance(TOKENS) };
        }
        let own: Vec<PatchName> = self.unanswered.iter().filter(|name| (name.0, name.1) == (person, device)).copied().collect();
        // What was not answered is sent again, also to the writer that has it already.
        if own.len() >= UNANSWERED || (!own.is_empty() && self.chance(3) == 0) {
            return Task::Add(own[self.chance(own.len() as u64) as usize]);
        }
        let newest = self.newest.entry((person, device)).or_insert(0);
        if let Some(oldest) = own.first().filter(|oldest| *newest >= oldest.2 + WINDOW) {
            return Task::Add(*oldest);
        }
        *newest += 1;
        let name = (person, device, *newest);
        self.unanswered.insert(name);
        Task::Add(name)
    }

    fn decide(&mut self, writer: &mut Writer<'a>, task: Task) -> Result<(), String> {
        let group = writer.group.get_or_insert_with(|| {
            if self.fencing == Fencing::NotOfTheCache {
                writer.store.known_rows.ignore_fences(|owner| writer.store.engine.fence(owner));
            }
            writer.store.group()
        });
        let decided = group.run(|group| match task {
            Task::Add((of, by, id)) => {
                let patch =
                    Patch { identity: person(of), device: device_of(by), dataset: dataset(), ..patch(id, "x", &[("n", Op::Add, "1")]) };
                match group.write(&patch, &DatasetRules::default(), 7)? {
                    Decision::Written { version, .. } | Decision::Repeated { version, .. } => Ok(Some(version)),
                    other => panic!("{task:?}: {other:?}"),
                }
            }
            Task::Register { person: of, device: by, token } => {
                let registered = group.register(&person(of), &device_of(by), &registration(&token.to_string()), 7)?;
                assert_eq!(registered, RegisterOutcome::Done);
                Ok(None)
            }
        });
        match decided {
            Ok((version, part)) => writer.decided.push((task, part, version)),
            // The other writer was faster: the device sends the patch again.
            Err(JobFailure::Stale) => self.stale += 1,
            Err(failure) => return Err(format!("{task:?}: {failure}")),
        }
        Ok(())
    }

    fn commit(&mut self, writer: &mut Writer<'a>) -> Result<(), String> {
        let Some(group) = writer.group.take() else { return Ok(()) };
        let decided = std::mem::take(&mut writer.decided);
        let committed = match self.fencing {
            Fencing::AsBuilt | Fencing::NotOfTheCache => group.commit(),
            control => self.commit_without_guard(group, control),
        };
        let outcomes = match committed {
            Ok(outcomes) => outcomes,
            Err(_) => {
                self.store.recover().expect("recovers");
                return Ok(());
            }
        };
        for (task, part, version) in decided {
            if outcomes.of(part) == CommitOutcome::Stale {
                self.stale += 1;
            } else if let (Task::Add(name), Some(version)) = (task, version) {
                self.unanswered.remove(&name);
                let first = *self.answers.entry(name).or_insert(version);
                if first != version {
                    return Err(format!("{name:?} was answered {first}, then {version}"));
                }
            }
        }
        Ok(())
    }

    fn commit_without_guard(&self, group: Group<'a>, control: Fencing) -> Result<GroupOutcomes, StoreError> {
        let (mut batches, owners) = group.view.into_batches();
        for batch in &mut batches {
            match control {
                Fencing::NotCompared => batch.fences.clear(),
                _ => batch.fences.iter_mut().for_each(|(owner, fence)| *fence = self.store.engine.fence(owner)),
            }
        }
        Ok(owners.with_outcomes(self.store.engine.commit(batches)?).1)
    }

    fn step(&mut self, writers: &mut [Writer<'a>; 2]) -> Result<(), String> {
        let writer = &mut writers[self.chance(2) as usize];
        match self.chance(100) {
            0..70 => {
                let task = self.task();
                return self.decide(writer, task);
            }
            70..96 => return self.commit(writer),
            // The process dies, and what it has decided with it.
            96..98 => *writer = Writer::new(writer.store),
            chance => {
                self.memory.fail_nth(if chance == 98 { FaultPoint::Flush } else { FaultPoint::Answer }, 1);
                let outcome = self.commit(writer);
                self.memory.clear_faults();
                return outcome;
            }
        }
        Ok(())
    }

    /// Everything is answered at last, and is as if one writer had decided all of it.
    fn finish(&mut self, writers: [Writer<'a>; 2]) -> Result<(), String> {
        for mut writer in writers {
            self.commit(&mut writer)?;
        }
        let mut writer = Writer::new(self.store);
        for name in self.unanswered.clone() {
            self.decide(&mut writer, Task::Add(name))?;
            self.commit(&mut writer)?;
        }
        for of in 0..PEOPLE {
            let head = self.store.version(&person(of), &dataset()).map_err(|error| error.to_string())?;
            let mut versions: Vec<u64> = self.answers.iter().filter(|(name, _)| name.0 == of).map(|(_, version)| *version).collect();
            versions.sort_unstable();
            if versions != (1..=head).collect::<Vec<_>>() {
                return Err(format!("person {of} is at {head}, and its patches were answered {versions:?}"));
            }
            let records = crate::store::support::all_of(self.store, &person(of));
            let counted = records.first().and_then(|record| record.content.value().cloned());
            if counted.unwrap_or_else(|| Value::from(0)) != Value::from(head as i64) {
                return Err(format!("person {of} has counted {records:?} of {head} patches"));
            }
        }
        for token in 0..TOKENS {
            let holds = |of: u64| {
                let targets = self.store.wake_targets(&person(of)).expect("reads");
                targets.into_iter().filter(|target| target.target == Some(PushTarget::Fcm(token.to_string()))).count()
            };
            let holders: usize = (0..PEOPLE).map(holds).sum();
            if holders > 1 {
                return Err(format!("token {token} is registered by {holders} devices"));
            }
        }
        Ok(())
    }
}

/// Runs two writers for some steps, and returns how many jobs were stale, or what does not hold.
fn run(seed: u64, steps: u64, fencing: Fencing) -> Result<u64, String> {
    let memory = Memory::default();
    let store = Store::in_memory(&memory, &epoch("e")).expect("opens");
    for number in 0..PEOPLE {
        sign_in(&store, &number.to_string(), &person(number));
        let mut group = store.group();
        for by in 0..DEVICES {
            group.admit(&person(number), &device_of(by), &DeviceBound::without_sessions(9), 7).expect("decides");
        }
        group.commit().expect("commits");
    }
    let mut model = Model {
        store: &store,
        memory: &memory,
        fencing,
        chance: seed,
        newest: BTreeMap::new(),
        unanswered: BTreeSet::new(),
        answers: BTreeMap::new(),
        stale: 0,
    };
    let other = Store { known_rows: StoreCache::default(), ..store.clone() };
    let mut writers = [Writer::new(&store), Writer::new(&other)];
    for _ in 0..steps {
        model.step(&mut writers)?;
    }
    model.finish(writers)?;
    Ok(model.stale)
}

/// `TEST_STEPS` gives another number of steps than 300 for each of the ten seeds.
#[test]
fn two_writers_decide_as_one_would() {
    let steps = std::env::var("TEST_STEPS").map_or(300, |steps| steps.parse().expect("a number of steps"));
    for seed in 1..=10 {
        match run(seed, steps, Fencing::AsBuilt) {
            Ok(stale) => assert!(stale > 0, "seed {seed}: the writers never met"),
            Err(broken) => panic!("seed {seed}: {broken}"),
        }
    }
}

#[test]
fn the_model_finds_writers_whose_fences_are_not_compared_or_taken_too_late() {
    for control in [Fencing::NotCompared, Fencing::AfterTheRows, Fencing::NotOfTheCache] {
        for seed in 1..=3 {
            assert!(run(seed, 1000, control).is_err(), "{control:?}, seed {seed}: nothing was found");
        }
    }
}
