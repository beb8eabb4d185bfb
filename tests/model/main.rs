//! Random actions of several devices against the real server, compared with a small reference model.
//!
//! - `script` makes a list of actions from a seed. `simulation` runs them on a real server with sockets and a folder. `device` is made of
//!   the client library's parts. `reference` is the store's behaviour, implemented a second time and as simply as possible.
//! - After each action the simulation compares the server's answer and the replica of every device that reads, and checks that the server
//!   sends nothing more. It also compares catch-ups, the snapshots of new devices, and changes over HTTP.
//! - A failing seed is printed with its actions, without those that do not matter for the failure. It is added to `seeds.txt`, with the
//!   reason, and stays there.
//! - The test `crash` kills servers. The server of this test runs in the test's process and is always shut down.
//!
//! Long runs: `TEST_SEEDS=1000..2000 cargo test --test model`, or a count instead of a range.

#![allow(clippy::unwrap_used)]

#[path = "../it/support/mod.rs"]
mod support;

mod device;
mod reference;
mod script;
mod simulation;

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use script::Action;
use simulation::Simulation;

/// Seeds that run every time, beside those of `seeds.txt`.
const SEEDS: Range<u64> = 0..40;

/// Concurrent runs: a run mostly waits for the disk.
const THREADS: usize = 4;

/// Runs spent on shortening a failing list of actions.
const MAX_SHORTENING_RUNS: usize = 150;

thread_local! {
    /// Whether panics of this thread are not printed: the test reports them at its end.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn after_every_random_action_the_server_and_its_devices_equal_the_reference() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            hook(info)
        }
    }));
    let (seeds, failures) = (seeds(), Mutex::new(Vec::new()));
    let next = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                QUIET.set(true);
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if let Err((at, why)) = run(&script::script(*seed)) {
                        failures.lock().unwrap().push(report(*seed, at, &why));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} seeds failed\n{}", failures.len(), seeds.len(), failures.join("\n"));
}

/// The seeds of `TEST_SEEDS`, or those of `seeds.txt` and `SEEDS`.
fn seeds() -> Vec<u64> {
    let regressions = include_str!("seeds.txt").lines().filter_map(|socket| socket.split('#').next()?.trim().parse().ok());
    match std::env::var("TEST_SEEDS") {
        Ok(asked) => {
            let (from, to) = asked.split_once("..").unwrap_or(("0", &asked));
            (from.parse().unwrap()..to.parse().unwrap()).collect()
        }
        Err(_) => regressions.chain(SEEDS).collect(),
    }
}

/// Runs the actions on a new server. An error is the index of the failed action and the message of its assertion.
fn run(actions: &[Action]) -> Result<(), (usize, String)> {
    let at = Cell::new(0);
    let all = async {
        let mut simulation = Simulation::new().await;
        for (n, action) in actions.iter().enumerate() {
            at.set(n);
            simulation.run(action).await;
        }
        simulation.finish().await;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all)));
    runtime.shutdown_background();
    failed.map_err(|why| (at.get(), panic_message(why.as_ref())))
}

fn panic_message(why: &(dyn std::any::Any + Send)) -> String {
    let text = why.downcast_ref::<String>().cloned().or(why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The report of a failing seed: its actions, without those that can be left out so that the run still fails.
fn report(seed: u64, at: usize, why: &str) -> String {
    let (mut actions, mut why) = (script::script(seed)[..=at].to_vec(), why.to_owned());
    let (mut size, mut runs_left) = (actions.len() / 2, MAX_SHORTENING_RUNS);
    while size > 0 {
        let mut from = 0;
        while from < actions.len() && runs_left > 0 {
            let mut fewer = actions.clone();
            fewer.drain(from..(from + size).min(actions.len()));
            runs_left -= 1;
            match run(&fewer) {
                Err((last, other)) => {
                    fewer.truncate(last + 1);
                    (actions, why) = (fewer, other);
                }
                Ok(()) => from += size,
            }
        }
        size /= 2;
    }
    let list: Vec<String> = actions.iter().map(|action| format!("  {action:?}")).collect();
    truncate_repetitions(&format!("seed {seed}: {why}\n{}", list.join("\n")))
}

/// Cuts each letter's repetitions to 8: large values are one letter, repeated.
fn truncate_repetitions(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        if !short.ends_with(&letter.to_string().repeat(8)) {
            short.push(letter);
        }
    }
    short
}
