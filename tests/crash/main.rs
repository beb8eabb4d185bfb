//! The server is killed with SIGKILL at random moments, under load, and started again: nothing that it acknowledged is lost.
//!
//! In each round nine devices of three people write (puts, removes, sums, writes in view of what they saw, values of several rows) while
//! the real binary is killed once or twice, now and then in the middle of starting again. When every patch is answered, all must be as
//! the ledger has it: `load` says how, along the invariants I1 to I6.
//!
//! Twenty rounds by default. A long run: `DRIFTLESS_ROUNDS=1000 cargo test --release --test crash -- --nocapture`. A run that failed
//! names its seed: `DRIFTLESS_SEED=...` makes the same choices again, though not the same timing. `DRIFTLESS_ENGINE` chooses the engine.

#![allow(clippy::unwrap_used)]

#[path = "../load/mod.rs"]
mod load;
#[path = "../it/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use load::{Chance, Load, address, begin, seed, setting};
use tempfile::TempDir;

const ROUNDS: u64 = 20;

/// Patches of each device's lanes in a round.
const PATCHES: u64 = 10;

/// A start takes about this long, in milliseconds: within it, it is killed now and then.
const START_MS: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_loses_nothing_that_it_acknowledged() {
    let (rounds, seed) = (setting("DRIFTLESS_ROUNDS").unwrap_or(ROUNDS), seed());
    println!("crash: DRIFTLESS_SEED={seed}");
    let data = TempDir::new().unwrap();
    let mut chance = Chance::of(seed, "kills");
    let address = address();
    let mut server = begin(data.path(), &address, 0).serves().await;
    let load = Load::start(&server.url, seed).await;
    let mut kills = 0;
    for round in 0..rounds {
        let before = load.answered();
        let patches = load.patches(PATCHES);
        let writing = load.begin(round, PATCHES);
        let mut moments = vec![chance.below(patches * 9 / 10)];
        if chance.one_in(3) {
            moments.push(chance.below(patches * 9 / 10));
        }
        moments.sort();
        for moment in moments {
            load.answers(before + moment).await;
            load.goes_down();
            server.kill().await;
            kills += 1;
            load.acknowledgements_are_kept(data.path());
            if chance.one_in(4) {
                die_starting(data.path(), &address, kills, chance.below(START_MS)).await;
                kills += 1;
            }
            server = begin(data.path(), &address, kills).serves().await;
            load.is_up();
        }
        load.end(writing).await;
        load.check(&mut chance, &format!("round {round} of seed {seed}")).await;
    }
    let (acknowledged, lost) = load.sums();
    println!("crash: seed {seed}, {rounds} rounds, {kills} kills, {acknowledged} acknowledged, {lost} lost");
}

/// Starts it and kills it after a while, most likely before it serves. The time is the moment that chance chose; nothing is awaited by it.
async fn die_starting(data: &Path, listen: &str, round: u64, after_ms: u64) {
    let starting = begin(data, listen, round);
    tokio::time::sleep(Duration::from_millis(after_ms)).await;
    starting.kill().await;
}
