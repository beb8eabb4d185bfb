//! Every byte of a small store is flipped, one after the other, and its files are cut short: whatever is found in there afterwards is what was
//! written, or an error that says what to do.
//!
//! The stores are opened in processes of their own, so that an abort or a hang is seen for what it is.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Small segments make a log of several, in little space.
const SIZES: Sizes = Sizes { segment_bytes: 8 * 1024, long_log: usize::MAX, journal: Bounds { layer_bytes: 1024, journal_bytes: 4096 } };

/// How long a process may say nothing before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commits of each opening: when the store is opened again the log of the first is in sled's table, that of the second is replayed.
fn commits(engine: Kind) -> [u32; 2] {
    match engine {
        Kind::Sled => [8, 140],
        // It has no log: a page is as good as a hundred.
        Kind::Redb => [2, 6],
    }
}

/// Commits that a crash leaves in the journal.
const JOURNALED: u32 = 12;

/// Keys that they write, beside one that all of them do.
const KEYS: u32 = 200;

/// Every so manieth byte is tried; `ENGINE_DAMAGE_STEP=1` tries all of both.
fn step(engine: Kind) -> usize {
    let wanted = std::env::var("ENGINE_DAMAGE_STEP").map(|step| step.parse().expect("a number"));
    wanted.unwrap_or(match engine {
        Kind::Sled => 1,
        // Its file is mostly pages that are no longer used, and checking it is slow.
        Kind::Redb => 5,
    })
}

/// Of the zeros that fill up files every so manieth is flipped.
const PADDING_STEP: usize = 257;

/// At every so manieth byte the damaged store is written to, too.
const WRITTEN_STEP: usize = 13;

/// In how many places a file is cut.
const CUTS: usize = 500;

/// Processes at once.
const WORKERS: usize = 2;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Flip(usize),
    Cut(usize),
}

fn config(engine: Kind) -> EngineConfig {
    EngineConfig { engine, cache_mib: 1, reserve_mib: 0, ..EngineConfig::default() }
}

fn open(folder: &Path, engine: Kind) -> Result<Handle, EngineError> {
    Handle::open_with(folder, &config(engine), SIZES)
}

/// What is committed stays in the journal while the store is open.
fn open_without_moving(folder: &Path, engine: Kind) -> Handle {
    let sizes = Sizes { journal: Bounds { layer_bytes: 1 << 30, journal_bytes: 1 << 30 }, ..SIZES };
    Handle::open_with(folder, &config(engine), sizes).expect("opens")
}

fn row(key: &str, value: String) -> (Bytes, Option<Bytes>) {
    (key.into(), Some(value.into_bytes()))
}

/// A store with rows that were set, set again and deleted, over several segments and two openings.
fn make(folder: &Path, engine: Kind) -> BTreeMap<Bytes, Bytes> {
    let mut rows = BTreeMap::new();
    for commits in commits(engine) {
        fill(&open(folder, engine).expect("opens"), commits, &mut rows);
    }
    rows
}

/// The same as a crash leaves it: its newest rows are in the journal only.
fn make_crashed(folder: &Path, engine: Kind) -> BTreeMap<Bytes, Bytes> {
    let alive = tempfile::tempdir().expect("folder");
    let mut rows = make(alive.path(), engine);
    let handle = open_without_moving(alive.path(), engine);
    fill(&handle, JOURNALED, &mut rows);
    copy(alive.path(), folder);
    rows
}

fn fill(handle: &Handle, commits: u32, rows: &mut BTreeMap<Bytes, Bytes>) {
    for n in 0..commits {
        let text = format!("{commits}.{n} ").repeat(4);
        let set = vec![row(&format!("k{}", n % KEYS), text.clone()), row("head", n.to_string())];
        let mut batch = Batch { guards: Vec::new(), rows: set };
        batch.rows.push((format!("k{}", n / 2 % KEYS).into(), (n % 3 != 0).then(|| text.into_bytes())));
        for (key, value) in &batch.rows {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        handle.commit(vec![batch]).expect("commits");
    }
}

fn apply(file: &Path, damage: Damage) {
    let mut bytes = std::fs::read(file).expect("reads");
    match damage {
        Damage::Flip(at) => bytes[at] ^= 0x40,
        Damage::Cut(at) => bytes.truncate(at),
    }
    std::fs::write(file, bytes).expect("writes");
}

/// Opens a damaged store and reads all of it. `Ok` says how it went, `Err` what is wrong with that.
fn verdict(folder: &Path, engine: Kind, rows: &BTreeMap<Bytes, Bytes>) -> Result<String, String> {
    let told = |error: EngineError| match error.to_string() {
        text if text.contains("restore") => Ok(format!("told {}", without_names(&text))),
        text => Err(format!("does not name the way out: {text}")),
    };
    let handle = match open(folder, engine) {
        Ok(handle) => handle,
        Err(error) => return told(error),
    };
    let mut outcome = "same".to_owned();
    for (key, value) in rows {
        match handle.get(key) {
            Ok(found) if found.as_ref() == Some(value) => {}
            Ok(found) => return Err(format!("{} is {found:?}", key.escape_ascii())),
            Err(error) => outcome = told(error)?,
        }
    }
    match handle.scan(b"", b"\xff", usize::MAX) {
        Ok(found) if found.iter().map(|(key, value)| (key, value)).eq(rows) => Ok(outcome),
        Ok(found) => Err(format!("a scan finds {} rows of {}", found.len(), rows.len())),
        Err(error) => told(error),
    }
}

/// Opens a damaged store and writes to it: what was written is there, or an error says what to do, and the store can be asked again.
fn verdict_of_writing(folder: &Path, engine: Kind) -> Result<String, String> {
    let outcome = |handle: &Handle| match handle.commit(vec![Batch { guards: Vec::new(), rows: vec![row("k1", "new".to_owned())] }]) {
        Ok(_) if handle.get(b"k1") == Ok(Some(b"new".to_vec())) => "written",
        Ok(_) => "written and not there",
        Err(EngineError::Damaged(_)) => "told",
        Err(_) => "failed",
    };
    let Ok(handle) = open(folder, engine) else { return Ok("not opened".to_owned()) };
    let first = outcome(&handle);
    let recovered = handle.recover().is_ok();
    let second = if recovered { outcome(&handle) } else { "not opened" };
    match (first, second) {
        (_, "failed") => Err("a store that was recovered fails again".to_owned()),
        ("written and not there", _) | (_, "written and not there") => Err("what was written is not there".to_owned()),
        _ => Ok(format!("{first}, {second}")),
    }
}

/// A text without what differs from run to run.
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

/// The process that opens damaged stores: it reads what to do from its input, a line each, and answers with a line each.
#[test]
#[ignore = "is started by the tests below"]
fn worker() {
    let kind = if std::env::var("DAMAGE_ENGINE").expect("an engine") == "redb" { Kind::Redb } else { Kind::Sled };
    let whole = PathBuf::from(std::env::var("DAMAGE_STORE").expect("a store"));
    let file = std::env::var("DAMAGE_FILE").expect("a file");
    let ground = tempfile::tempdir_in(whole.parent().expect("a folder")).expect("folder");
    let reference = ground.path().join("reference");
    copy(&whole, &reference);
    let rows: BTreeMap<Bytes, Bytes> =
        open(&reference, kind).expect("opens").scan(b"", b"\xff", usize::MAX).expect("scans").into_iter().collect();
    for (n, line) in std::io::stdin().lines().enumerate() {
        let line = line.expect("a line");
        let (what, at) = line.split_once(' ').expect("two words");
        let at = at.parse().expect("a number");
        let folder = ground.path().join(n.to_string());
        copy(&whole, &folder);
        let damage = if what == "flip" { Damage::Flip(at) } else { Damage::Cut(at) };
        apply(&folder.join(&file), damage);
        let mut outcome = verdict(&folder, kind, &rows);
        if at % WRITTEN_STEP == 0 && outcome.is_ok() {
            std::fs::remove_dir_all(&folder).expect("is removed");
            copy(&whole, &folder);
            apply(&folder.join(&file), damage);
            outcome = verdict_of_writing(&folder, kind);
        }
        std::fs::remove_dir_all(&folder).expect("is removed");
        let mut out = std::io::stdout();
        match outcome {
            Ok(how) => writeln!(out, "\n> ok {how}"),
            Err(why) => writeln!(out, "\n> wrong {why}"),
        }
        .expect("writes");
    }
}

/// Gives the damages to a worker; a worker that dies or hangs is a wrong outcome of the damage that it had.
fn run(engine: Kind, store: &Path, file: &str, damages: &[Damage]) -> Vec<(Damage, String)> {
    let mut outcomes = Vec::new();
    while outcomes.len() < damages.len() {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["store::engine::handle::damage::worker", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .envs([("DAMAGE_ENGINE", engine.name()), ("DAMAGE_FILE", file)])
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
                Damage::Flip(at) => format!("flip {at}\n"),
                Damage::Cut(at) => format!("cut {at}\n"),
            };
            let asked = input.write_all(line.as_bytes());
            match (asked, answers.recv_timeout(PATIENCE)) {
                (Ok(()), Ok(answer)) => outcomes.push((damage, answer)),
                (_, Err(mpsc::RecvTimeoutError::Timeout)) => {
                    outcomes.push((damage, "wrong it hangs".to_owned()));
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

/// All damages of a file: every byte but those of long runs of zeros, of which some.
fn damages(file: &Path, step: usize) -> Vec<Damage> {
    let bytes = std::fs::read(file).expect("reads");
    let padding = |at: usize| bytes[at.saturating_sub(8)..bytes.len().min(at + 8)].iter().all(|byte| *byte == 0);
    let flips = (0..bytes.len()).step_by(step).filter(|at| !padding(*at) || at % PADDING_STEP < step).map(Damage::Flip);
    flips.chain((0..bytes.len()).step_by(bytes.len().div_ceil(CUTS)).map(Damage::Cut)).collect()
}

fn every_damage(engine: Kind, make: fn(&Path, Kind) -> BTreeMap<Bytes, Bytes>, file: impl Fn(&Path) -> String) {
    let shared = Path::new("/dev/shm");
    let ground = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("folder");
    let store = ground.path().join("store");
    let rows = make(&store, engine);
    // Of a copy: opening it puts its log into the table.
    let whole = ground.path().join("whole");
    copy(&store, &whole);
    assert_eq!(verdict(&whole, engine, &rows).as_deref(), Ok("same"));
    let file = file(&store);
    let damages = damages(&store.join(&file), step(engine));
    let outcomes = std::thread::scope(|threads| {
        let shares: Vec<_> = damages.chunks(damages.len().div_ceil(WORKERS)).collect();
        let (store, file) = (&store, &file);
        let runs: Vec<_> = shares.into_iter().map(|share| threads.spawn(move || run(engine, store, file, share))).collect();
        runs.into_iter().flat_map(|run| run.join().expect("runs")).collect::<Vec<_>>()
    });
    let mut counts = BTreeMap::new();
    outcomes.iter().for_each(|(_, how)| *counts.entry(how.as_str()).or_insert(0u32) += 1);
    let bytes = store.join(&file).metadata().expect("is there").len();
    println!("{}: {} damages of {file}, {bytes} bytes: {counts:#?}", engine.name(), outcomes.len());
    let wrong: Vec<_> = outcomes.iter().filter(|(_, how)| !how.starts_with("ok")).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), outcomes.len(), &wrong[..wrong.len().min(20)]);
    assert!(counts.keys().any(|how| how.contains("told")), "something was noticed");
}

/// A page of the tree is damaged that only some rows stand in. What is written to it stays in the journal; then writes are refused and the way
/// out is named. Reads go on, nothing that was acknowledged is lost, and the store does not fail again and again.
#[test]
fn damage_in_one_page_refuses_writes_and_fails_nothing() {
    let ground = tempfile::tempdir().expect("folder");
    let whole = ground.path().join("whole");
    let rows = make(&whole, Kind::Sled);
    // All of the log is in the table now: damage in it is met only by who reads it.
    drop(open(&whole, Kind::Sled).expect("opens"));
    let log = std::fs::metadata(whole.join("db")).expect("is there").len() as usize;
    let mut met = 0;
    for at in (0..log).step_by(211) {
        let folder = ground.path().join(at.to_string());
        copy(&whole, &folder);
        apply(&folder.join("db"), Damage::Flip(at));
        let Ok(handle) = open(&folder, Kind::Sled) else { continue };
        let is_damaged = |key: &&Bytes| matches!(handle.get(key), Err(EngineError::Damaged(_)));
        let (Some(lost), Some(kept)) = (rows.keys().find(is_damaged), rows.keys().find(|key| !is_damaged(key))) else { continue };
        let write =
            |n: u32| handle.commit(vec![Batch { guards: Vec::new(), rows: vec![(lost.clone(), Some(n.to_string().into_bytes()))] }]);
        let mut written = (0..1_000).map_while(|n| write(n).ok().map(|_| n)).last().expect("the journal takes it");
        let check = |handle: &Handle, written: u32| {
            assert_eq!(handle.get(lost), Ok(Some(written.to_string().into_bytes())), "byte {at}");
            assert_eq!(handle.get(kept), Ok(Some(rows[kept].clone())), "byte {at}");
        };
        // If sled panicked over it, that may be of the moment the first time: the engine is opened again.
        handle.recover().expect("recovers");
        check(&handle, written);
        written = (written + 1..2_000).map_while(|n| write(n).ok().map(|_| n)).last().unwrap_or(written);
        for _ in 0..2 {
            assert!(matches!(write(0), Err(error @ EngineError::Damaged(_)) if error.to_string().contains("restore")), "byte {at}");
            assert!(!handle.is_failed());
            check(&handle, written);
        }
        drop(handle);
        let handle = open(&folder, Kind::Sled).expect("opens again");
        check(&handle, written);
        met += 1;
    }
    assert!(met > 5, "{met} pages were damaged");
}

#[test]
fn no_damaged_byte_of_sleds_log_is_passed_over() {
    every_damage(Kind::Sled, make, |_| "db".to_owned());
}

#[test]
fn no_damaged_byte_of_sleds_table_is_passed_over() {
    let table = |store: &Path| {
        let names =
            std::fs::read_dir(store).expect("reads").map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        names.filter(|name| name.starts_with("snap.")).max().expect("a table")
    };
    every_damage(Kind::Sled, make, table);
}

#[test]
fn no_damaged_byte_of_sleds_settings_is_passed_over() {
    every_damage(Kind::Sled, make, |_| "conf".to_owned());
}

/// What the journal goes on from is noticed to be missing.
#[test]
fn no_damaged_byte_of_sleds_log_is_passed_over_after_a_crash() {
    every_damage(Kind::Sled, make_crashed, |_| "db".to_owned());
}

#[test]
fn no_damaged_byte_of_the_journal_is_passed_over() {
    for file in super::super::journal::FILES {
        every_damage(Kind::Sled, make_crashed, |_| file.to_owned());
    }
}

#[test]
fn no_damaged_byte_of_redbs_file_is_passed_over() {
    every_damage(Kind::Redb, make, |_| "rows.redb".to_owned());
}
