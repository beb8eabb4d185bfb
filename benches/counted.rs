//! Counts work instead of timing it: `cargo bench --bench counted`. It needs valgrind.
//!
//! callgrind counts the instructions and allocations of each step of a write, the same on a busy machine as on an idle one.
//! The command fails if a step exceeds its count in `benches/counted.toml` by more than the tolerance.
//! `UPDATE_COUNTED=1 cargo bench --bench counted` writes new counts, after an intended change.
//! Instructions depend on the compiler: with another one, only allocations are compared.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use driftless::hub::{self, Hub, NextChange, SessionSignals};
use driftless::merge::{Bases, ConflictPolicy, DatasetHead, MergeTerms, merge};
use driftless::store::{DatasetRules, DeviceBound, EngineConfig, Identity, LoginKey, Patch, Store};
use driftless_protocol::{
    Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Key, Limits, Op, Record, ServerMessage, Value,
};
use serde::{Deserialize, Serialize};

/// The tolerance in percent. Counts vary because hash maps have random seeds, and because the allocator's path depends on its state.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Repetitions of a step while it is counted.
const ROUNDS: u64 = 200;

/// Patches in a committed group.
const GROUP: u64 = 64;

/// Sessions that are subscribed to the published dataset.
const SUBSCRIBERS: u64 = 100;

const ALLOCATING: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

/// A step's name, its number of operations, and its constructor.
type NamedStep = (&'static str, u64, fn(u64) -> CountedStep);

const STEPS: [NamedStep; 7] = [
    ("decode_msgpack", ROUNDS, |rounds| decode(Codec::MsgPack, rounds)),
    ("decode_json", ROUNDS, |rounds| decode(Codec::Json, rounds)),
    ("merge", ROUNDS, merge_one),
    ("commit", GROUP, commit),
    ("encode_msgpack", ROUNDS, |rounds| encode(Codec::MsgPack, rounds)),
    ("encode_json", ROUNDS, |rounds| encode(Codec::Json, rounds)),
    ("publish", SUBSCRIBERS, publish),
];

type CountedStep = Box<dyn FnOnce()>;

/// The work of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct WorkCount {
    instructions: f64,
    allocations: f64,
}

#[derive(Serialize, Deserialize)]
struct RecordedCounts {
    compiler: String,
    steps: BTreeMap<String, WorkCount>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let Some(name) = arguments.iter().position(|argument| argument == "--step").map(|at| &arguments[at + 1]) {
        let (_, operations, step) = STEPS.iter().find(|(known, ..)| known == name).unwrap();
        counted(step(*operations));
        return ExitCode::SUCCESS;
    }
    let now = RecordedCounts {
        compiler: compiler(),
        steps: STEPS.iter().map(|(name, operations, _)| (name.to_string(), count(name, *operations))).collect(),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counted.toml");
    if std::env::var_os("UPDATE_COUNTED").is_some() {
        std::fs::write(&path, toml::to_string(&now).unwrap()).unwrap();
    }
    let before: RecordedCounts = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    if report(&before, &now) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// callgrind counts only this function and its callees.
#[inline(never)]
fn counted(step: CountedStep) {
    black_box(step)();
}

/// Prints the comparison. Returns whether all counts are within the tolerance.
fn report(before: &RecordedCounts, now: &RecordedCounts) -> bool {
    let same = before.compiler == now.compiler;
    if !same {
        println!(
            "the recorded counts are of {}, this compiler is {}: instructions are shown but not compared\n",
            before.compiler, now.compiler
        );
    }
    println!("{:<16} {:>14} {:>8} {:>14} {:>8}", "one operation", "instructions", "", "allocations", "");
    let mut held = true;
    for (name, now) in &now.steps {
        let Some(before) = before.steps.get(name) else {
            println!("{name:<16} is missing in benches/counted.toml");
            held = false;
            continue;
        };
        let over = |before: f64, now: f64| 100.0 * (now / before - 1.0);
        let (instructions, allocations) = (over(before.instructions, now.instructions), now.allocations - before.allocations);
        // At least half an allocation: a growing buffer spreads its allocations over many operations.
        let holds =
            (!same || instructions <= TOLERANCE_PERCENT) && allocations <= (before.allocations * TOLERANCE_PERCENT / 100.0).max(0.5);
        held &= holds;
        let verdict = if holds { "" } else { "EXCEEDED" };
        println!("{name:<16} {:>14.0} {instructions:>+7.1}% {:>14.2} {allocations:>+8.2} {verdict}", now.instructions, now.allocations);
    }
    if !held {
        println!(
            "\nmore than {TOLERANCE_PERCENT} % over benches/counted.toml; if that is intended: UPDATE_COUNTED=1 cargo bench --bench counted"
        );
    }
    held
}

fn compiler() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs one step under callgrind, as a process of its own.
fn count(name: &str, operations: u64) -> WorkCount {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted*counted*", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(std::env::current_exe().unwrap()).args(["--step", name]);
    let status = command.status().expect("valgrind is needed: apt-get install valgrind");
    assert!(status.success(), "{name} under callgrind: {status}");
    let counted = parse(&std::fs::read_to_string(out).unwrap());
    assert!(counted.instructions > 0.0, "callgrind counted nothing of {name}");
    let each = |all: f64| (all / operations as f64 * 100.0).round() / 100.0;
    WorkCount { instructions: each(counted.instructions), allocations: each(counted.allocations) }
}

/// Parses callgrind's output (Valgrind manual, "Callgrind format specification").
fn parse(text: &str) -> WorkCount {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut called, mut count) = ("", WorkCount { instructions: 0.0, allocations: 0.0 });
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (id, name) = name.split_once(' ').map_or((name, None), |(id, name)| (id, Some(name)));
            let name = *names.entry(id).or_insert_with(|| name.unwrap());
            if line.starts_with('c') {
                called = name;
            }
        } else if let Some(calls) = line.strip_prefix("calls=")
            && ALLOCATING.contains(&called)
        {
            count.allocations += calls.split(' ').next().unwrap().parse::<f64>().unwrap();
        } else if let Some(all) = line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")) {
            count.instructions = all.trim().parse().unwrap();
        }
    }
    count
}

fn dataset() -> DatasetName {
    DatasetName::new("settings").unwrap()
}

fn key(number: u64) -> Key {
    Key::new(&format!("key-{number}")).unwrap()
}

fn value() -> Value {
    Value::from("x".repeat(200))
}

fn phone() -> DeviceId {
    DeviceId::new("phone").unwrap()
}

fn change(number: u64) -> Change {
    Change::new(key(number), Op::Put, value())
}

fn decode(codec: Codec, rounds: u64) -> CountedStep {
    let bytes = codec.encode(&ClientMessage::Write { id: 7, dataset: dataset(), changes: vec![change(1)], offer: false });
    Box::new(move || (0..rounds).for_each(|_| drop(black_box(codec.decode_client(black_box(&bytes)).unwrap()))))
}

fn merge_one(rounds: u64) -> CountedStep {
    let (device, limits) = (phone(), Limits::default());
    let patches: Vec<_> = (0..rounds).map(|_| vec![change(1)]).collect();
    Box::new(move || {
        for changes in patches {
            let terms = MergeTerms {
                device: &device,
                now_ms: 1_790_000_000_000,
                policy: ConflictPolicy::Reject,
                bases: Bases::Seen,
                limits: &limits,
            };
            let value_of = |_| -> Result<_, std::convert::Infallible> { unreachable!("a put asks for no value") };
            drop(black_box(merge(DatasetHead::default(), &[None], &changes, terms, value_of)));
        }
    })
}

fn record(version: u64) -> Record {
    Record { key: key(1), content: Content::Value(value()), version, modified_ms: 1_790_000_000_000, device: phone() }
}

fn changes(version: u64) -> ServerMessage {
    ServerMessage::Changes {
        dataset: dataset(),
        epoch: Epoch::new("0123456789abcdef0123456789abcdef").unwrap(),
        from: version - 1,
        to: version,
        reset: false,
        shared: None,
        more: false,
        fresh_until: None,
        records: vec![record(version)],
    }
}

fn encode(codec: Codec, rounds: u64) -> CountedStep {
    let message = changes(8);
    Box::new(move || (0..rounds).for_each(|_| drop(black_box(codec.encode(black_box(&message))))))
}

fn publish(subscribers: u64) -> CountedStep {
    let (hub, alice) = (Hub::default(), Arc::from("local:3f2504e0-4f89-41d3-9a0c-0305e82c3301"));
    let sessions: Vec<_> = (1..=subscribers).map(|number| (number, Arc::new(SessionSignals::new(number)))).collect();
    let mut topics = Vec::new();
    for (number, signals) in &sessions {
        hub.add_session(&alice, &DeviceId::new(&format!("device-{number}")).unwrap(), signals);
        topics.push(hub.subscribe(&alice, &dataset(), signals));
    }
    let change = hub::PublishedChange::new(dataset(), 1, 0, changes(1));
    Box::new(move || {
        hub.publish(&alice, change).into_iter().for_each(hub::Followers::wake);
        for ((number, _), topic) in sessions.iter().zip(&topics) {
            let NextChange::Change(change) = topic.next_after(0, *number) else { unreachable!("it was published") };
            black_box(change.frame(Codec::MsgPack).cloned());
        }
    })
}

/// Commits a group of patches, each of another person and over an existing value, until it is durable.
fn commit(patches: u64) -> CountedStep {
    let folder = tempfile::tempdir_in(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let store = Store::open(folder.path(), &EngineConfig::default(), &Epoch::new("counted").unwrap()).unwrap();
    let identity = |number: u64| Identity::from(format!("local:{number:08x}-2f5c-4d7a-9b1e-3c8d5f6a7b90").as_str());
    let write = |id: u64| {
        let patch = |number| Patch { identity: identity(number), device: phone(), dataset: dataset(), id, changes: vec![change(1)] };
        (0..patches).map(patch).collect::<Vec<_>>()
    };
    let mut people = store.group();
    for number in 0..patches {
        let identity = identity(number);
        people.identity(LoginKey { pool: "p", issuer: "https://accounts.example.com", subject: identity.as_str() }, &identity, 0).unwrap();
        people.admit(&identity, &phone(), &DeviceBound::without_sessions(1), 0).unwrap();
    }
    people.commit().unwrap();
    let all = move |patches: Vec<Patch>| {
        let mut group = store.group();
        patches
            .into_iter()
            .for_each(|patch| drop(group.run(|group| group.write(&patch, &DatasetRules::default(), 1_790_000_000_000)).unwrap()));
        group.commit().unwrap();
    };
    all(write(1));
    let patches = write(2);
    Box::new(move || {
        all(black_box(patches));
        // The store is leaked, so that closing it is not counted.
        std::mem::forget((all, folder));
    })
}
