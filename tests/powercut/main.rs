//! The power is cut under load: after a restart the store opens, and nothing that the server acknowledged is lost.
//!
//! The server runs on a file system whose power can be cut (`disk`). Nine devices of three people write; at a random moment the file
//! system drops everything that was not flushed to the disk, and the test kills the server. Then the server starts on what is left, the
//! devices send their unanswered patches again, and `load` compares the server and every replica with its ledger.
//!
//! Five cuts by default. A long run: `TEST_CUTS=1000 cargo test --release --test powercut -- --nocapture`. `TEST_SEED=...`
//! repeats a run's choices, `TEST_ENGINE` chooses the engine. The test needs root and loop devices. Without them it prints that it
//! was skipped; with `TEST_CUTS` set it fails.

#![allow(clippy::unwrap_used)]

mod disk;
#[path = "../load/mod.rs"]
mod load;
#[path = "../it/support/mod.rs"]
mod support;

use std::path::Path;

use disk::LoopDisk;
use load::{DeviceLoad, SeededRandom, free_address, number, seed, start_server};

const CUTS: u64 = 5;

/// Patches that each of a device's writing tasks writes around a cut.
const PATCHES: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_no_acknowledged_write() {
    let (asked, seed) = (number("TEST_CUTS"), seed());
    // In the target folder: the system's temporary folder may be in memory and too small.
    let disk = match LoopDisk::new(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(disk) => disk,
        Err(why) if asked.is_none() => return println!("powercut: SKIPPED, NOTHING WAS TESTED: {why}"),
        Err(why) => panic!("cannot make a disk whose power can be cut: {why}"),
    };
    println!("powercut: TEST_SEED={seed}");
    let cuts = asked.unwrap_or(CUTS);
    let data = disk.mount_point().join("data");
    let mut random = SeededRandom::for_purpose(seed, "cuts");
    let address = free_address();
    let mut server = start_server(&data, &address, 0).wait_until_serving().await;
    let load = DeviceLoad::start(&server.url, seed).await;
    for cut in 0..cuts {
        let before = load.answered();
        let writing = load.begin_round(cut, PATCHES);
        load.wait_for_answers(before + random.below(load.patches_per_round(PATCHES) * 9 / 10)).await;
        load.server_goes_down();
        // A real power cut also stops the server at once. The file system's shutdown may report success for a flush that is under way,
        // although it drops the data: a server that ran on for a moment would acknowledge it.
        server.freeze().await;
        disk.cut().unwrap();
        server.kill().await;
        disk.restore_power().unwrap();
        load.check_acknowledgements(&data);
        server = start_server(&data, &address, cut + 1).wait_until_serving().await;
        load.server_is_up();
        load.finish_round(writing).await;
        load.check(&mut random, &format!("cut {cut} of seed {seed}")).await;
    }
    let (acknowledged, lost) = load.sums();
    println!("powercut: seed {seed}, {cuts} cuts, {acknowledged} acknowledged, {lost} lost");
    server.kill().await;
}
