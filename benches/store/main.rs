//! What durable writes cost: `cargo bench --bench store`, or a part of it: `cargo bench --bench store -- committer curve`.
//!
//! - `disk`, its own limit: the bytes of a group's rows appended to a file, then `fdatasync`, for several group sizes.
//! - `committer` and `sockets`, durable writes through the committer and through 64 sockets of the real server, each beside the disk's limit at the group size that
//!   was reached. Slices of one and of the other take turns, because a disk's speed drifts.
//! - `curve`, the cost of a write, the time to start, the memory and the bytes on disk as the store grows. `DRIFTLESS_RECORDS=10000000` has a
//!   further size in it; `DRIFTLESS_SLICE_MS` makes the slices shorter or longer; `DRIFTLESS_ENGINE` chooses the engine.
//!
//! Figures of one run are compared with each other, never with those of another hour. Everything lies in one folder beside the build, on
//! a real disk: a temporary folder may be memory.

#![allow(clippy::unwrap_used, missing_docs)]

mod committer;
mod curve;
mod raw;
mod report;
mod sockets;

use std::time::Duration;

use raw::Raw;
use report::{Measured, table};

/// Group sizes of the disk's own limit, and numbers of writers.
const SIZES: [usize; 4] = [1, 8, 64, 256];

/// Writers of the sockets and of the curve.
const WRITERS: usize = 64;

/// Slices of each side.
const TURNS: usize = 5;

fn main() {
    if curve::is_child() {
        return curve::child();
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let patch_bytes = committer::patch_bytes(&folder.path().join("sample"));
    println!("engine: {}", engine().as_deref().unwrap_or("sled"));
    println!("a patch that puts a value of {} bytes makes {patch_bytes} bytes of rows", committer::VALUE_BYTES);
    let mut raw = Raw::new(&folder.path().join("raw"), patch_bytes);
    if is_wanted("disk") {
        disk(&mut raw);
    }
    if is_wanted("committer") {
        committer::measure(&folder.path().join("committer"), &mut raw);
    }
    if is_wanted("sockets") {
        sockets::measure(&folder.path().join("sockets"), &mut raw);
    }
    if is_wanted("curve") {
        curve::measure(folder.path(), &mut raw);
    }
}

fn disk(raw: &mut Raw) {
    println!("\nthe disk: append a group's rows, fdatasync");
    table(&["group", "groups/s", "patches/s", "p50 us", "p99 us"]);
    for size in SIZES {
        let done = raw.slice(size, slice() * 2);
        println!("{}", done.row(&[size.to_string(), done.per_second(done.groups), done.per_second(done.patches)]));
    }
}

/// Parts are chosen by arguments; none chooses all.
fn is_wanted(part: &str) -> bool {
    let mut chosen = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    chosen.peek().is_none() || chosen.any(|one| one == part)
}

/// How long one slice takes.
fn slice() -> Duration {
    Duration::from_millis(number("DRIFTLESS_SLICE_MS").unwrap_or(1_000))
}

/// The engine that is asked for.
fn engine() -> Option<String> {
    std::env::var("DRIFTLESS_ENGINE").ok()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Slices of a writer and of the disk in turns. The disk is given the group size that the writer just reached.
fn in_turns(raw: &mut Raw, mut writer: impl FnMut(Duration) -> Measured) -> (Measured, Measured) {
    // Nothing counts before all is warm.
    writer(slice() / 2);
    let (mut written, mut limit) = (Measured::default(), Measured::default());
    for _ in 0..TURNS {
        let done = writer(slice());
        limit.add(raw.slice(done.group().round().max(1.0) as usize, slice()));
        written.add(done);
    }
    (written, limit)
}
