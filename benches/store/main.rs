//! What durable writes cost: `cargo bench --bench store`, or a part of it: `cargo bench --bench store -- committer curve`.
//!
//! - `disk`: the disk's own limit. The bytes of a group's rows are appended to a file, then `fdatasync`, for several group sizes.
//! - `committer` and `sockets`: durable writes through the committer and through 64 sockets of the real server, each beside the disk's
//!   limit at the group size that was reached. Slices of the two alternate, because a disk's speed drifts.
//! - `cold_reads`: what a commit waits beside reads that the disk has to serve, and without them, in turns.
//! - `curve`: the cost of a write, the time to start, the memory and the bytes on disk as the store grows. `BENCH_RECORDS=10000000`
//!   adds a larger size, `BENCH_SLICE_MS` changes the length of the slices, and `BENCH_ENGINE` chooses the engine.
//!
//! Only the figures of one run can be compared. All files are in one folder beside the build, on a real disk: a temporary folder may be
//! memory.

#![allow(clippy::unwrap_used)]

mod cold_reads;
mod committer;
mod curve;
mod disk;
mod report;
mod settings;
mod sockets;

use disk::DiskBaseline;

fn main() {
    if curve::is_child() {
        return curve::child();
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let patch_bytes = committer::patch_bytes(&folder.path().join("sample"));
    println!("engine: {}", settings::engine().as_deref().unwrap_or("sled"));
    println!("a patch that puts a value of {} bytes makes {patch_bytes} bytes of rows", committer::VALUE_BYTES);
    let mut baseline = DiskBaseline::new(&folder.path().join("raw"), patch_bytes);
    if is_selected("disk") {
        disk::measure(&mut baseline);
    }
    if is_selected("committer") {
        committer::measure(&folder.path().join("committer"), &mut baseline);
    }
    if is_selected("sockets") {
        sockets::measure(&folder.path().join("sockets"), &mut baseline);
    }
    if is_selected("cold_reads") {
        cold_reads::measure(&folder.path().join("cold"));
    }
    if is_selected("curve") {
        curve::measure(folder.path(), &mut baseline);
    }
}

/// Arguments select parts; without arguments all parts run.
fn is_selected(part: &str) -> bool {
    let mut selected = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    selected.peek().is_none() || selected.any(|one| one == part)
}
