//! Flips every byte of a small store, one at a time, and truncates its files: afterwards the store holds what was written, or an error says
//! what to do.
//!
//! Separate processes open the damaged stores, so that an abort or a hang is detected as such.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::store::engine::config::EngineKind;
use crate::store::engine::journaled::FlushThresholds;
use crate::store::engine::layout;

/// Small segments make a log of several, in little space.
const SIZES: EngineSizes = EngineSizes {
    segment_bytes: 4 * 1024,
    max_replay_segments: usize::MAX,
    thresholds: FlushThresholds { memtable_bytes: 1024, journal_bytes: 64 * 1024 },
};

/// A process that prints nothing for this long counts as hung.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// Commits in each opening. When the store is opened again, sled's page table covers the log of the first opening, and the log of the
/// second one is replayed.
fn commits(kind: EngineKind) -> [u32; 2] {
    match kind {
        EngineKind::Sled => [8, 70],
        // It has no log, so few pages are as good as many.
        EngineKind::Redb => [2, 6],
    }
}

/// Commits that a crash leaves in the journal.
const JOURNALED: u32 = 12;

/// Keys of the commits, beside one that every commit sets.
const KEYS: u32 = 200;

/// The distance of the bytes that are tried; `ENGINE_DAMAGE_STEP=1` tries every byte of both engines.
fn step(kind: EngineKind) -> usize {
    let wanted = std::env::var("ENGINE_DAMAGE_STEP").map(|step| step.parse().expect("a number"));
    wanted.unwrap_or(match kind {
        EngineKind::Sled => 1,
        // Most pages of its file are unused, and checking it is slow.
        EngineKind::Redb => 5,
    })
}

/// The distance of the bytes that are tried after a crash: the log is the same, each byte of which is tried without one, and the journal is new.
const CRASHED_STEP: usize = 3;

/// The distance of the bytes that are tried in long runs of zeros.
const PADDING_STEP: usize = 257;

/// At positions that are a multiple of this, the damaged store is also written to.
const WRITE_STEP: usize = 13;

/// In how many places a file is truncated.
const CUTS: usize = 500;

/// Processes at a time.
const WORKERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileDamage {
    Flip(usize),
    Cut(usize),
}

fn config(kind: EngineKind) -> EngineConfig {
    EngineConfig { engine: kind, cache_mib: 1, reserve_mib: 0, ..EngineConfig::default() }
}

fn open(folder: &Path, kind: EngineKind) -> Result<EmbeddedEngine, EngineError> {
    EmbeddedEngine::open_with(folder, &config(kind), SIZES, |_| false)
}

/// Opens the store so that nothing is flushed while it is open.
fn open_without_flushing(folder: &Path, kind: EngineKind) -> EmbeddedEngine {
    let sizes = EngineSizes { thresholds: FlushThresholds { memtable_bytes: 1 << 30, journal_bytes: 1 << 30 }, ..SIZES };
    EmbeddedEngine::open_with(folder, &config(kind), sizes, |_| false).expect("opens")
}

fn row(key: &str, value: String) -> (Bytes, Option<Bytes>) {
    (key.into(), Some(value.into_bytes()))
}

/// A store with rows that were set, set again and deleted, over several segments and two openings.
fn make(folder: &Path, kind: EngineKind) -> BTreeMap<Bytes, Bytes> {
    let mut rows = BTreeMap::new();
    for commits in commits(kind) {
        fill(&open(folder, kind).expect("opens"), commits, &mut rows);
    }
    rows
}

/// The same store after a crash: its newest rows are only in the journal.
fn make_crashed(folder: &Path, kind: EngineKind) -> BTreeMap<Bytes, Bytes> {
    let alive = tempfile::tempdir().expect("folder");
    let mut rows = make(alive.path(), kind);
    let engine = open_without_flushing(alive.path(), kind);
    fill(&engine, JOURNALED, &mut rows);
    copy(alive.path(), folder);
    rows
}

fn fill(engine: &EmbeddedEngine, commits: u32, rows: &mut BTreeMap<Bytes, Bytes>) {
    for n in 0..commits {
        let text = format!("{commits}.{n} ").repeat(4);
        let set = vec![row(&format!("k{}", n % KEYS), text.clone()), row("head", n.to_string())];
        let mut batch = Batch::unfenced(set);
        batch.rows.push((format!("k{}", n / 2 % KEYS).into(), (n % 3 != 0).then(|| text.into_bytes())));
        for (key, value) in &batch.rows {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        engine.commit(vec![batch]).expect("commits");
        engine.after_answers();
    }
}

fn apply(file: &Path, damage: FileDamage) {
    let mut bytes = std::fs::read(file).expect("reads");
    match damage {
        FileDamage::Flip(at) => bytes[at] ^= 0x40,
        FileDamage::Cut(at) => bytes.truncate(at),
    }
    std::fs::write(file, bytes).expect("writes");
}

/// Opens a damaged store and reads all of it. Returns the outcome, or an error for an outcome that is wrong.
fn check_reading(folder: &Path, kind: EngineKind, rows: &BTreeMap<Bytes, Bytes>) -> Result<String, String> {
    let reported = |error: EngineError| match error.to_string() {
        text if text.contains("restore") => Ok(format!("reported {}", without_names(&text))),
        text => Err(format!("does not say what to do: {text}")),
    };
    let engine = match open(folder, kind) {
        Ok(engine) => engine,
        Err(error) => return reported(error),
    };
    let mut outcome = "same".to_owned();
    for (key, value) in rows {
        match engine.get(key) {
            Ok(found) if found.as_ref() == Some(value) => {}
            Ok(found) => return Err(format!("{} is {found:?}", key.escape_ascii())),
            Err(error) => outcome = reported(error)?,
        }
    }
    match engine.scan(b"", b"\xff", usize::MAX) {
        Ok(found) if found.iter().map(|(key, value)| (key, value)).eq(rows) => Ok(outcome),
        Ok(found) => Err(format!("a scan finds {} rows of {}", found.len(), rows.len())),
        Err(error) => reported(error),
    }
}

/// Opens a damaged store and writes to it: the written row is there, or an error says what to do and the store can be used further.
fn check_writing(folder: &Path, kind: EngineKind) -> Result<String, String> {
    let outcome = |engine: &EmbeddedEngine| match engine.commit(vec![Batch::unfenced(vec![row("k1", "new".to_owned())])]) {
        Ok(_) if engine.get(b"k1") == Ok(Some(b"new".to_vec())) => "written",
        Ok(_) => "written and not there",
        Err(EngineError::Damaged(_)) => "reported",
        Err(_) => "failed",
    };
    let Ok(engine) = open(folder, kind) else { return Ok("not opened".to_owned()) };
    let first = outcome(&engine);
    let recovered = engine.recover().is_ok();
    let second = if recovered { outcome(&engine) } else { "not opened" };
    match (first, second) {
        (_, "failed") => Err("the store fails again after recovery".to_owned()),
        ("written and not there", _) | (_, "written and not there") => Err("the written row is not there".to_owned()),
        _ => Ok(format!("{first}, {second}")),
    }
}

/// A text without the parts that differ from run to run.
fn without_names(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains('/') { "FILE" } else { word });
    words.map(|word| word.replace(|c: char| c.is_ascii_digit(), "")).collect::<Vec<_>>().join(" ")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("is made");
    for entry in std::fs::read_dir(from).expect("reads") {
        let path = entry.expect("an entry").path();
        let name = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &name),
            false => drop(std::fs::copy(&path, &name).expect("copies")),
        }
    }
}

/// The process that opens damaged stores. It reads one damage a line from its input, and prints one outcome a line.
#[test]
#[ignore = "is started by the tests below"]
fn worker() {
    let kind = if std::env::var("DAMAGE_ENGINE").expect("an engine") == "redb" { EngineKind::Redb } else { EngineKind::Sled };
    let whole = PathBuf::from(std::env::var("DAMAGE_STORE").expect("a store"));
    let file = std::env::var("DAMAGE_FILE").expect("a file");
    let scratch = tempfile::tempdir_in(whole.parent().expect("a folder")).expect("folder");
    let reference = scratch.path().join("reference");
    copy(&whole, &reference);
    let rows: BTreeMap<Bytes, Bytes> =
        open(&reference, kind).expect("opens").scan(b"", b"\xff", usize::MAX).expect("scans").into_iter().collect();
    for (n, line) in std::io::stdin().lines().enumerate() {
        let line = line.expect("a line");
        let (action, at) = line.split_once(' ').expect("two words");
        let at = at.parse().expect("a number");
        let folder = scratch.path().join(n.to_string());
        copy(&whole, &folder);
        let damage = if action == "flip" { FileDamage::Flip(at) } else { FileDamage::Cut(at) };
        apply(&folder.join(&file), damage);
        let mut outcome = check_reading(&folder, kind, &rows);
        if at % WRITE_STEP == 0 && outcome.is_ok() {
            std::fs::remove_dir_all(&folder).expect("is removed");
            copy(&whole, &folder);
            apply(&folder.join(&file), damage);
            outcome = check_writing(&folder, kind);
        }
        std::fs::remove_dir_all(&folder).expect("is removed");
        let mut out = std::io::stdout();
        match outcome {
            Ok(outcome) => writeln!(out, "\n> ok {outcome}"),
            Err(why) => writeln!(out, "\n> wrong {why}"),
        }
        .expect("writes");
    }
}

/// Passes the damages to a worker process. If the worker dies or hangs, that is a wrong outcome of the damage that it was given.
fn run(kind: EngineKind, store: &Path, file: &str, damages: &[FileDamage]) -> Vec<(FileDamage, String)> {
    let mut outcomes = Vec::new();
    while outcomes.len() < damages.len() {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["store::engine::embedded::damage::worker", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .envs([("DAMAGE_ENGINE", kind.name()), ("DAMAGE_FILE", file)])
            .env("DAMAGE_STORE", store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let (mut input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("> ").map(str::to_owned)).all(|line| sender.send(line).is_ok())
        });
        for &damage in &damages[outcomes.len()..] {
            let line = match damage {
                FileDamage::Flip(at) => format!("flip {at}\n"),
                FileDamage::Cut(at) => format!("cut {at}\n"),
            };
            let written = input.write_all(line.as_bytes());
            match (written, answers.recv_timeout(HANG_TIMEOUT)) {
                (Ok(()), Ok(answer)) => outcomes.push((damage, answer)),
                (_, Err(mpsc::RecvTimeoutError::Timeout)) => {
                    outcomes.push((damage, "wrong the process hangs".to_owned()));
                    break;
                }
                _ => {
                    outcomes.push((damage, "wrong the process died".to_owned()));
                    break;
                }
            }
        }
        drop(input);
        let _ = child.kill();
        let _ = child.wait();
    }
    outcomes
}

/// All damages of a file: of long runs of zeros only some bytes are flipped.
fn damages(file: &Path, step: usize) -> Vec<FileDamage> {
    let bytes = std::fs::read(file).expect("reads");
    let padding = |at: usize| bytes[at.saturating_sub(8)..bytes.len().min(at + 8)].iter().all(|byte| *byte == 0);
    let flips = (0..bytes.len()).step_by(step).filter(|at| !padding(*at) || at % PADDING_STEP < step).map(FileDamage::Flip);
    flips.chain((0..bytes.len()).step_by(bytes.len().div_ceil(CUTS)).map(FileDamage::Cut)).collect()
}

fn every_damage(kind: EngineKind, make: fn(&Path, EngineKind) -> BTreeMap<Bytes, Bytes>, file: impl Fn(&Path) -> String) {
    damage_by(step(kind), kind, make, file);
}

fn damage_by(step: usize, kind: EngineKind, make: fn(&Path, EngineKind) -> BTreeMap<Bytes, Bytes>, file: impl Fn(&Path) -> String) {
    let shared = Path::new("/dev/shm");
    let scratch = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("folder");
    let store = scratch.path().join("store");
    let rows = make(&store, kind);
    // A copy: opening it writes its log to the page table.
    let whole = scratch.path().join("whole");
    copy(&store, &whole);
    assert_eq!(check_reading(&whole, kind, &rows).as_deref(), Ok("same"));
    let file = file(&store);
    let damages = damages(&store.join(&file), step);
    let outcomes = std::thread::scope(|threads| {
        let shares: Vec<_> = damages.chunks(damages.len().div_ceil(WORKERS)).collect();
        let (store, file) = (&store, &file);
        let runs: Vec<_> = shares.into_iter().map(|share| threads.spawn(move || run(kind, store, file, share))).collect();
        runs.into_iter().flat_map(|run| run.join().expect("runs")).collect::<Vec<_>>()
    });
    let mut counts = BTreeMap::new();
    outcomes.iter().for_each(|(_, outcome)| *counts.entry(outcome.as_str()).or_insert(0u32) += 1);
    let bytes = store.join(&file).metadata().expect("is there").len();
    println!("{}: {} damages of {file}, {bytes} bytes: {counts:#?}", kind.name(), outcomes.len());
    let wrong: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.starts_with("ok")).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), outcomes.len(), &wrong[..wrong.len().min(20)]);
    assert!(counts.keys().any(|outcome| outcome.contains("reported")), "some damage was detected");
}

/// A damaged page of the tree holds only some rows. Rows that are written to it stay in the journal; then writes are refused, and the error
/// says what to do. Reads go on, nothing acknowledged is lost, and the store does not fail again and again.
#[test]
fn damage_in_one_page_refuses_writes_and_fails_nothing() {
    let scratch = tempfile::tempdir().expect("folder");
    let whole = scratch.path().join("whole");
    let rows = make(&whole, EngineKind::Sled);
    // The page table covers the whole log now: only reads of its rows find the damage.
    drop(open(&whole, EngineKind::Sled).expect("opens"));
    let log = std::fs::metadata(whole.join("db")).expect("is there").len() as usize;
    let mut tried = 0;
    for at in (0..log).step_by(61) {
        let folder = scratch.path().join(at.to_string());
        copy(&whole, &folder);
        apply(&folder.join("db"), FileDamage::Flip(at));
        let Ok(engine) = open(&folder, EngineKind::Sled) else { continue };
        let is_damaged = |key: &&Bytes| matches!(engine.get(key), Err(EngineError::Damaged(_)));
        let (Some(lost), Some(kept)) = (rows.keys().find(is_damaged), rows.keys().find(|key| !is_damaged(key))) else { continue };
        let write = |n: u32| engine.commit(vec![Batch::unfenced(vec![(lost.clone(), Some(n.to_string().into_bytes()))])]);
        let mut written = (0..1_000).map_while(|n| write(n).ok().map(|_| n)).last().expect("the journal takes the row");
        let check = |engine: &EmbeddedEngine, written: u32| {
            assert_eq!(engine.get(lost), Ok(Some(written.to_string().into_bytes())), "byte {at}");
            assert_eq!(engine.get(kept), Ok(Some(rows[kept].clone())), "byte {at}");
        };
        // The first panic of sled may be transient: the engine is opened again.
        engine.recover().expect("recovers");
        check(&engine, written);
        written = (written + 1..2_000).map_while(|n| write(n).ok().map(|_| n)).last().unwrap_or(written);
        for _ in 0..2 {
            assert!(matches!(write(0), Err(error @ EngineError::Damaged(_)) if error.to_string().contains("restore")), "byte {at}");
            assert!(!engine.is_failed());
            check(&engine, written);
        }
        drop(engine);
        let engine = open(&folder, EngineKind::Sled).expect("opens again");
        check(&engine, written);
        tried += 1;
    }
    assert!(tried > 5, "{tried} pages were damaged");
}

#[test]
fn no_damaged_byte_of_sleds_log_is_ignored() {
    every_damage(EngineKind::Sled, make, |_| "db".to_owned());
}

#[test]
fn no_damaged_byte_of_sleds_table_is_ignored() {
    let table = |store: &Path| {
        let names =
            std::fs::read_dir(store).expect("reads").map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        names.filter(|name| name.starts_with("snap.")).max().expect("a table")
    };
    every_damage(EngineKind::Sled, make, table);
}

#[test]
fn no_damaged_byte_of_sleds_settings_is_ignored() {
    every_damage(EngineKind::Sled, make, |_| "conf".to_owned());
}

/// Missing commits between the tree and the journal are detected.
#[test]
fn no_damaged_byte_of_sleds_log_is_ignored_after_a_crash() {
    let step = std::env::var("ENGINE_DAMAGE_STEP").map_or(CRASHED_STEP, |_| step(EngineKind::Sled));
    damage_by(step, EngineKind::Sled, make_crashed, |_| "db".to_owned());
}

#[test]
fn no_damaged_byte_of_the_journal_is_ignored() {
    for file in layout::JOURNAL {
        every_damage(EngineKind::Sled, make_crashed, |_| file.to_owned());
    }
}

#[test]
fn no_damaged_byte_of_redbs_file_is_ignored() {
    every_damage(EngineKind::Redb, make, |_| "rows.redb".to_owned());
}
