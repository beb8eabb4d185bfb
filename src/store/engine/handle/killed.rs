//! A process that writes is killed at random, again and again: what it acknowledged is there, every commit is there whole or not at all, and
//! no check takes what a crash leaves for damage.
//!
//! Segments and the journal are small, so that both are written anew all the time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

const SIZES: Sizes =
    Sizes { segment_bytes: 64 * 1024, long_log: LONG_LOG, journal: Bounds { layer_bytes: 12 * 1024, journal_bytes: 48 * 1024 } };

/// How often it is killed; `ENGINE_KILLS` for a longer run.
const ROUNDS: usize = 25;

/// Keys that are written over and over.
const KEYS: u64 = 150;

fn open(folder: &Path, engine: Kind) -> Result<Handle, EngineError> {
    Handle::open_with(folder, &EngineConfig { engine, cache_mib: 1, reserve_mib: 0, ..EngineConfig::default() }, SIZES)
}

/// Numbers that look random and are the same in every process.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The nth commit: one batch of some rows, now and then more than a segment holds.
fn batch(n: u64) -> Batch {
    let rows = if n.is_multiple_of(17) { KEYS } else { 1 + mixed(n) % 5 };
    let mut batch = Batch { guards: Vec::new(), rows: vec![(b"head".to_vec(), Some(n.to_be_bytes().to_vec()))] };
    for row in 0..rows {
        let chance = mixed(n * 256 + row);
        let value = (!chance.is_multiple_of(7)).then(|| vec![n as u8; (chance >> 8) as usize % 300]);
        batch.rows.push((format!("k{}", (chance >> 32) % KEYS).into(), value));
    }
    batch
}

fn apply(rows: &mut BTreeMap<Bytes, Bytes>, batch: Batch) {
    for (key, value) in batch.rows {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}

/// Opens the store, checks all of it, and commits until it is killed. It writes the number of each commit that returned.
#[test]
#[ignore = "is started by the tests below"]
fn writer() {
    let variable = |name: &str| std::env::var(name).expect("is set");
    let engine = if variable("KILLED_ENGINE") == "redb" { Kind::Redb } else { Kind::Sled };
    let acknowledged: u64 = variable("KILLED_ACKNOWLEDGED").parse().expect("a number");
    let handle = open(&PathBuf::from(variable("KILLED_STORE")), engine).expect("opens");
    let found: BTreeMap<Bytes, Bytes> = handle.scan(b"", b"\xff", usize::MAX).expect("scans").into_iter().collect();
    let head = found.get(b"head".as_slice()).map_or(0, |row| u64::from_be_bytes(row.as_slice().try_into().expect("a number")));
    assert!(head >= acknowledged, "{acknowledged} was acknowledged, {head} is there");
    let mut rows = BTreeMap::new();
    (1..=head).for_each(|n| apply(&mut rows, batch(n)));
    assert!(found == rows, "what is there is not what {head} commits make");
    let mut out = std::io::stdout();
    writeln!(out, "\n> {head}").expect("writes");
    for n in head + 1.. {
        handle.commit(vec![batch(n)]).expect("commits");
        writeln!(out, "\n> {n}").expect("writes");
    }
}

fn kill_again_and_again(engine: Kind) {
    let rounds = std::env::var("ENGINE_KILLS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    // Nothing here depends on a disk; in memory there are more commits in the same time.
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("folder");
    let mut acknowledged = 0;
    for round in 0..rounds as u64 {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["store::engine::handle::killed::writer", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("KILLED_ENGINE", engine.name())
            .env("KILLED_STORE", folder.path())
            .env("KILLED_ACKNOWLEDGED", acknowledged.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| line.strip_prefix("> ")?.parse::<u64>().ok());
        // The first is what it found; the kill comes a random number of commits later, at a random moment of the next ones.
        let commits = 1 + mixed(round) % 600;
        let heard: Vec<u64> = numbers.by_ref().take(commits as usize).collect();
        (0..mixed(round + 1) % 50_000).for_each(|_| std::hint::spin_loop());
        child.kill().expect("is killed");
        acknowledged = numbers.chain(heard).max().unwrap_or(acknowledged);
        let output = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_none(), "round {round}: it ended by itself: {said}");
    }
    println!("{}: {acknowledged} commits, {rounds} kills", engine.name());
    assert!(acknowledged > rounds as u64, "it wrote something each time");
}

#[test]
fn sled_keeps_what_it_acknowledged_when_it_is_killed() {
    kill_again_and_again(Kind::Sled);
}

#[test]
fn redb_keeps_what_it_acknowledged_when_it_is_killed() {
    kill_again_and_again(Kind::Redb);
}
