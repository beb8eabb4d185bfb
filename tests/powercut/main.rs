//! The power is cut under load, the server dies with it, the disk comes back: the store opens, and nothing acknowledged is lost.
//!
//! The server runs on a file system whose power can be cut (`disk`). Nine devices of three people write; at a random moment everything
//! that was not forced to the disk is dropped, and the server is killed. Then it starts again on what is left, the devices send again
//! what was not answered, and all must be as the ledger has it (see `load`).
//!
//! Five cuts by default. A long run: `DRIFTLESS_CUTS=1000 cargo test --release --test powercut -- --nocapture`. `DRIFTLESS_SEED=...`
//! makes the same choices again, `DRIFTLESS_ENGINE` chooses the engine. It needs root and loop devices: without them it is skipped, and
//! says so; with `DRIFTLESS_CUTS` set it then fails.

#![allow(clippy::unwrap_used)]

mod disk;
#[path = "../load/mod.rs"]
mod load;
#[path = "../it/support/mod.rs"]
mod support;

use std::path::Path;

use disk::Disk;
use load::{Chance, Load, address, begin, seed, setting};

const CUTS: u64 = 5;

/// Patches of each device's lanes around a cut.
const PATCHES: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn when_the_power_is_cut_nothing_acknowledged_is_lost() {
    let (asked, seed) = (setting("DRIFTLESS_CUTS"), seed());
    // Beside the build: a temporary folder may be memory, and too small.
    let disk = match Disk::new(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(disk) => disk,
        Err(why) if asked.is_none() => return println!("powercut: SKIPPED, NOTHING WAS TRIED: {why}"),
        Err(why) => panic!("there is no disk to cut: {why}"),
    };
    println!("powercut: DRIFTLESS_SEED={seed}");
    let cuts = asked.unwrap_or(CUTS);
    let data = disk.mount_point().join("data");
    let mut chance = Chance::of(seed, "cuts");
    let address = address();
    let mut server = begin(&data, &address, 0).serves().await;
    let load = Load::start(&server.url, seed).await;
    for cut in 0..cuts {
        let before = load.answered();
        let writing = load.begin(cut, PATCHES);
        load.answers(before + chance.below(load.patches(PATCHES) * 9 / 10)).await;
        load.goes_down();
        // With the power everything stops at once. A flush under way at the cut may be answered with success by the file system's
        // shutdown, though what it flushed is gone: a server that lived on for a moment would pass that on.
        server.freeze().await;
        disk.cut().unwrap();
        server.kill().await;
        disk.back().unwrap();
        load.acknowledgements_are_kept(&data);
        server = begin(&data, &address, cut + 1).serves().await;
        load.is_up();
        load.end(writing).await;
        load.check(&mut chance, &format!("cut {cut} of seed {seed}")).await;
    }
    let (acknowledged, lost) = load.sums();
    println!("powercut: seed {seed}, {cuts} cuts, {acknowledged} acknowledged, {lost} lost");
    server.kill().await;
}
