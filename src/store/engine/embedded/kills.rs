//! Kills a writing process at random, again and again: every acknowledged commit is there, each commit is there whole or not at all, and no
//! check takes the traces of a crash for damage.
//!
//! Segments and journal files are small, so that both are reused all the time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::store::engine::config::EngineKind;
use crate::store::engine::journaled::FlushThresholds;
use crate::store::engine::storage::MAX_REPLAY_SEGMENTS;

const SIZES: EngineSizes = EngineSizes {
    segment_bytes: 64 * 1024,
    max_replay_segments: MAX_REPLAY_SEGMENTS,
    thresholds: FlushThresholds { memtable_bytes: 12 * 1024, journal_bytes: 48 * 1024 },
};

/// How often the process is killed; `ENGINE_KILLS` sets another number.
const ROUNDS: usize = 25;

/// Keys that commits set again and again.
const KEYS: u64 = 150;

fn open(folder: &Path, kind: EngineKind) -> Result<EmbeddedEngine, EngineError> {
    EmbeddedEngine::open_with(
        folder,
        &EngineConfig { engine: kind, cache_mib: 1, reserve_mib: 0, ..EngineConfig::default() },
        SIZES,
        |_| false,
    )
}

/// A pseudorandom number of `n`, the same in every process.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The nth commit: one batch of some rows, now and then more than fit in a segment.
fn batch(n: u64) -> Batch {
    let rows = if n.is_multiple_of(17) { KEYS } else { 1 + mixed(n) % 5 };
    let mut batch = Batch::unfenced(vec![(b"head".to_vec(), Some(n.to_be_bytes().to_vec()))]);
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

/// Opens the store, checks all of it, and commits until the process is killed. Prints the number of each commit that returned.
#[test]
#[ignore = "is started by the tests below"]
fn writer() {
    let variable = |name: &str| std::env::var(name).expect("is set");
    let kind = if variable("KILLED_ENGINE") == "redb" { EngineKind::Redb } else { EngineKind::Sled };
    let acknowledged: u64 = variable("KILLED_ACKNOWLEDGED").parse().expect("a number");
    let engine = open(&PathBuf::from(variable("KILLED_STORE")), kind).expect("opens");
    let found: BTreeMap<Bytes, Bytes> = engine.scan(b"", b"\xff", usize::MAX).expect("scans").into_iter().collect();
    let newest = found.get(b"head".as_slice()).map_or(0, |row| u64::from_be_bytes(row.as_slice().try_into().expect("a number")));
    assert!(newest >= acknowledged, "{acknowledged} was acknowledged, {newest} is there");
    let mut rows = BTreeMap::new();
    (1..=newest).for_each(|n| apply(&mut rows, batch(n)));
    assert!(found == rows, "the rows are not those of {newest} commits");
    let mut out = std::io::stdout();
    writeln!(out, "\n> {newest}").expect("writes");
    for n in newest + 1.. {
        engine.commit(vec![batch(n)]).expect("commits");
        writeln!(out, "\n> {n}").expect("writes");
    }
}

fn kill_again_and_again(kind: EngineKind) {
    let rounds = std::env::var("ENGINE_KILLS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    // A kill loses nothing that the kernel was given, so the folder may be in memory, where more commits fit in the same time.
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("folder");
    let mut acknowledged = 0;
    for round in 0..rounds as u64 {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["store::engine::embedded::kills::writer", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("KILLED_ENGINE", kind.name())
            .env("KILLED_STORE", folder.path())
            .env("KILLED_ACKNOWLEDGED", acknowledged.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| line.strip_prefix("> ")?.parse::<u64>().ok());
        // The first number is the newest commit that the process found. The kill follows a random number of commits later, at a random
        // moment.
        let commits = 1 + mixed(round) % 600;
        let printed: Vec<u64> = numbers.by_ref().take(commits as usize).collect();
        (0..mixed(round + 1) % 50_000).for_each(|_| std::hint::spin_loop());
        child.kill().expect("is killed");
        acknowledged = numbers.chain(printed).max().unwrap_or(acknowledged);
        let output = child.wait_with_output().expect("ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_none(), "round {round}: the process ended by itself: {stderr}");
    }
    println!("{}: {acknowledged} commits, {rounds} kills", kind.name());
    assert!(acknowledged > rounds as u64, "the process commits something each time");
}

#[test]
fn sled_keeps_acknowledged_commits_when_killed() {
    kill_again_and_again(EngineKind::Sled);
}

#[test]
fn redb_keeps_acknowledged_commits_when_killed() {
    kill_again_and_again(EngineKind::Redb);
}
