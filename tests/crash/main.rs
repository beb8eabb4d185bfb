//! The server is killed with SIGKILL at random moments under load and started again: it loses nothing that it acknowledged.
//!
//! In each round nine devices of three people write (puts, removals, additions, writes with a base, values of several rows) while the
//! test kills the real binary once or twice, and in some rounds once more during its start. When every patch is answered, `load` compares
//! the server and every replica with its ledger, along the invariants I1 to I6.
//!
//! Twenty rounds by default. A long run: `TEST_ROUNDS=1000 cargo test --release --test crash -- --nocapture`. A failed run prints
//! its seed: `TEST_SEED=...` repeats its choices, but not its timing. `TEST_ENGINE` chooses the engine.

#![allow(clippy::unwrap_used)]

#[path = "../load/mod.rs"]
mod load;
#[path = "../it/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use load::{DeviceLoad, SeededRandom, free_address, number, seed, start_server};
use tempfile::TempDir;

const ROUNDS: u64 = 20;

/// Patches that each of a device's writing tasks writes in a round.
const PATCHES: u64 = 10;

/// A start takes about this long; some kills happen within it.
const START_MS: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_random_moments_loses_no_acknowledged_write() {
    let (rounds, seed) = (number("TEST_ROUNDS").unwrap_or(ROUNDS), seed());
    println!("crash: TEST_SEED={seed}");
    let data = TempDir::new().unwrap();
    let mut random = SeededRandom::for_purpose(seed, "kills");
    let address = free_address();
    let mut server = start_server(data.path(), &address, 0).wait_until_serving().await;
    let load = DeviceLoad::start(&server.url, seed).await;
    let mut kills = 0;
    for round in 0..rounds {
        let before = load.answered();
        let patches = load.patches_per_round(PATCHES);
        let writing = load.begin_round(round, PATCHES);
        let mut moments = vec![random.below(patches * 9 / 10)];
        if random.one_in(3) {
            moments.push(random.below(patches * 9 / 10));
        }
        moments.sort();
        for moment in moments {
            load.wait_for_answers(before + moment).await;
            load.server_goes_down();
            server.kill().await;
            kills += 1;
            load.check_acknowledgements(data.path());
            if random.one_in(4) {
                kill_during_start(data.path(), &address, kills, random.below(START_MS)).await;
                kills += 1;
            }
            server = start_server(data.path(), &address, kills).wait_until_serving().await;
            load.server_is_up();
        }
        load.finish_round(writing).await;
        load.check(&mut random, &format!("round {round} of seed {seed}")).await;
    }
    let (acknowledged, lost) = load.sums();
    println!("crash: seed {seed}, {rounds} rounds, {kills} kills, {acknowledged} acknowledged, {lost} lost");
}

/// Starts the server and kills it after a while, most likely before it serves. The sleep is the randomly chosen moment of the kill; the
/// test waits for no event by it.
async fn kill_during_start(data: &Path, listen: &str, round: u64, after_ms: u64) {
    let starting = start_server(data, listen, round);
    tokio::time::sleep(Duration::from_millis(after_ms)).await;
    starting.kill().await;
}
