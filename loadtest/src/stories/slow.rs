//! Some devices read nothing: what that costs the others, and the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use super::steady::{Crowd, Timed};
use crate::fleet::What;
use crate::run::{Run, TURN};
use crate::scenario::Slow;

/// The receive buffer of a device that will not read, in KiB: so that it is full soon.
const NARROW_KIB: u16 = 4;

pub fn tell(run: &mut Run, slow: &Slow) -> Result<(), String> {
    let Slow { persons, devices_per_person, one_in, rate, phase_s, value_bytes } = *slow;
    let mut crowd = Crowd::of(run, persons, devices_per_person, value_bytes)?;
    let stuck: Vec<u32> =
        (0..persons * devices_per_person).filter(|device| device % devices_per_person != 0 && device % one_in == 1).collect();
    stuck.iter().for_each(|device| crowd.fleet.narrow(*device, NARROW_KIB));
    run.open_all(&mut crowd.fleet)?;
    run.report.rate_says = "writes";
    let phase = Duration::from_secs(phase_s);
    let (mut all_read, mut some_read) = (Timed::default(), Timed::default());
    // So that what is new in the store is not counted as theirs.
    crowd.scheduled(run, rate, phase, &mut Timed::default())?;
    let at_first = run.server_memory();
    crowd.scheduled(run, rate, phase, &mut all_read)?;
    let before = run.server_memory();
    let usual = before.saturating_sub(at_first);
    stuck.iter().for_each(|device| crowd.stick(*device));
    crowd.scheduled(run, rate, phase, &mut some_read)?;
    let grown = run.server_memory().saturating_sub(before).saturating_sub(usual);
    let (behind, skipped) = back(run, &mut crowd, &stuck)?;
    let ratio = |percent: f64| some_read.seen.at(percent) / all_read.seen.at(percent);
    let (p50, p99) = (ratio(50.0), ratio(99.0));
    let report = &mut run.report;
    report.figure("stuck", stuck.len() as f64, "devices", "that read nothing");
    report.figure("others_p50_ratio", p50, "x", "from a write to a device that reads, with stuck ones beside it, of without");
    report.figure("others_p99_ratio", p99, "x", "the same");
    report.figure(
        "kib_per_stuck",
        grown as f64 / 1024.0 / stuck.len().max(1) as f64,
        "KiB",
        "that the server grew by for each, more than it grew as much before",
    );
    report.figure("stuck_skipped", skipped as f64, "devices", "that had fallen behind, and were sent only the newest of it");
    report.figure("stuck_behind", behind as f64, "devices", "that did not have the newest after they read again");
    report.figure("refused", (all_read.refused + some_read.refused) as f64, "writes", "that were not taken");
    report.times("seen", "from a write to each other device, all of which read", all_read.seen);
    report.times("seen_beside", "the same, beside stuck ones", some_read.seen);
    Ok(())
}

/// The stuck ones read again; how many of them never have the newest, and how many skipped some of it.
fn back(run: &mut Run, crowd: &mut Crowd, stuck: &[u32]) -> Result<(usize, usize), String> {
    run.begin("the stuck ones read again", stuck.len() as u64);
    let (began, mut news, mut skipped) = (Instant::now(), Vec::new(), BTreeSet::new());
    crowd.fleet.come_back_when_gone();
    stuck.iter().for_each(|device| crowd.fleet.unstick(*device, &mut news));
    loop {
        crowd.fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            if let What::Says(ServerMessage::Changes { from, to, .. }) = one.what
                && to > from + 1
            {
                skipped.insert(one.device);
            }
        }
        let behind = stuck.iter().filter(|device| !crowd.is_newest(**device)).count();
        run.progress((stuck.len() - behind) as u64);
        if behind == 0 || began.elapsed() > Duration::from_secs(60) {
            return Ok((behind, skipped.len()));
        }
    }
}
