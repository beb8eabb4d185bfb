//! Random actions of several devices against the real server, beside a small reference that says what must come of them.
//!
//! - `script` makes a list of actions from a seed; `world` does them, on a real server with sockets and a folder; `device` is made
//!   of the client library's parts; `reference` is the store as it should be, written a second time and as simply as can be.
//! - After each action the answer, every replica that listens and the silence after it are compared; what a device had missed, a new
//!   device's snapshot and what plain HTTP tells since an earlier version too.
//! - A seed that fails is printed with its actions, after those that do not matter were left out. It goes into `seeds.txt`, with a
//!   word why, and stays there.
//! - A server that is killed is another test's: this one lives in the test's process and stops in good order.
//!
//! Long runs: `DRIFTLESS_SEEDS=1000..2000 cargo test --test model`, or a count instead of a range.

#![allow(clippy::unwrap_used)]

#[path = "../it/support/mod.rs"]
mod support;

mod device;
mod reference;
mod script;
mod world;

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use script::Action;
use world::World;

/// Seeds that run every time, beside those that are kept.
const SEEDS: Range<u64> = 0..40;

/// Runs at once: what takes time is the disk.
const THREADS: usize = 4;

/// Runs that making a failure shorter may take.
const SHORTER: usize = 150;

thread_local! {
    /// The failures of a run are told at its end.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn whatever_happens_the_store_is_what_the_reference_says() {
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

/// Those that were asked for, or those that are kept and the usual ones.
fn seeds() -> Vec<u64> {
    let kept = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next()?.trim().parse().ok());
    match std::env::var("DRIFTLESS_SEEDS") {
        Ok(asked) => {
            let (from, to) = asked.split_once("..").unwrap_or(("0", &asked));
            (from.parse().unwrap()..to.parse().unwrap()).collect()
        }
        Err(_) => kept.chain(SEEDS).collect(),
    }
}

/// Does all of it on a new server. A failure names the action and what was wrong.
fn run(actions: &[Action]) -> Result<(), (usize, String)> {
    let at = Cell::new(0);
    let all = async {
        let mut world = World::new().await;
        for (n, action) in actions.iter().enumerate() {
            at.set(n);
            world.act(action).await;
        }
        world.end().await;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all)));
    runtime.shutdown_background();
    failed.map_err(|why| (at.get(), said(why.as_ref())))
}

fn said(why: &(dyn std::any::Any + Send)) -> String {
    let text = why.downcast_ref::<String>().cloned().or(why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Leaves out whatever can be left out so that it still fails.
fn report(seed: u64, at: usize, why: &str) -> String {
    let (mut actions, mut why) = (script::script(seed)[..=at].to_vec(), why.to_owned());
    let (mut size, mut left) = (actions.len() / 2, SHORTER);
    while size > 0 {
        let mut from = 0;
        while from < actions.len() && left > 0 {
            let mut fewer = actions.clone();
            fewer.drain(from..(from + size).min(actions.len()));
            left -= 1;
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
    short(&format!("seed {seed}: {why}\n{}", list.join("\n")))
}

/// Without the length of large values.
fn short(text: &str) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        if !short.ends_with(&letter.to_string().repeat(8)) {
            short.push(letter);
        }
    }
    short
}
