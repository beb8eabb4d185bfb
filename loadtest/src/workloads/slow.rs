//! Some devices do not read their sockets: the cost for other devices, and for the server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use super::steady::{WriteLatencies, WritingFleet};
use crate::context::{POLL_WAIT, TestRun};
use crate::fleet::FleetEventKind;
use crate::scenario::Slow;

/// The receive buffer of a device that stops reading, in KiB: small, so that it is full soon.
const STUCK_RECEIVE_KIB: u16 = 4;

pub fn execute(run: &mut TestRun, slow: &Slow) -> Result<(), String> {
    let Slow { persons, devices_per_person, one_in, rate, phase_s, value_bytes } = *slow;
    let mut writers = WritingFleet::of(run, persons, devices_per_person, value_bytes)?;
    let stuck: Vec<u32> =
        (0..persons * devices_per_person).filter(|device| device % devices_per_person != 0 && device % one_in == 1).collect();
    stuck.iter().for_each(|device| writers.fleet.limit_receive_buffer(*device, STUCK_RECEIVE_KIB));
    run.connect_all(&mut writers.fleet)?;
    run.report.rate_of = "writes";
    let phase = Duration::from_secs(phase_s);
    let (mut all_read, mut some_read) = (WriteLatencies::default(), WriteLatencies::default());
    // A first phase without measurement, so that the growth of the store is not counted.
    writers.write_at_rate(run, rate, phase, &mut WriteLatencies::default())?;
    let at_first = run.server_memory_bytes();
    writers.write_at_rate(run, rate, phase, &mut all_read)?;
    let before = run.server_memory_bytes();
    let usual = before.saturating_sub(at_first);
    stuck.iter().for_each(|device| writers.stop_reading(*device));
    writers.write_at_rate(run, rate, phase, &mut some_read)?;
    let grown = run.server_memory_bytes().saturating_sub(before).saturating_sub(usual);
    let (behind, skipped) = resume_stuck_devices(run, &mut writers, &stuck)?;
    let ratio = |percent: f64| some_read.seen.percentile_us(percent) / all_read.seen.percentile_us(percent);
    let (p50, p99) = (ratio(50.0), ratio(99.0));
    let report = &mut run.report;
    report.figure("stuck", stuck.len() as f64, "devices", "that do not read");
    report.figure("others_p50_ratio", p50, "x", "write to a reading device, with stuck devices relative to without, p50");
    report.figure("others_p99_ratio", p99, "x", "the same, p99");
    report.figure(
        "kib_per_stuck",
        grown as f64 / 1024.0 / stuck.len().max(1) as f64,
        "KiB",
        "growth of the server's memory per stuck device, beyond the growth of the phase before",
    );
    report.figure("stuck_skipped", skipped as f64, "devices", "that fell behind and then received only the newest versions");
    report.figure("stuck_behind", behind as f64, "devices", "without the newest version after they read again");
    report.figure("refused", (all_read.refused + some_read.refused) as f64, "writes", "writes that were refused");
    report.latencies("seen", "from a write to each other device, while all devices read", all_read.seen);
    report.latencies("seen_beside", "the same, while some devices are stuck", some_read.seen);
    Ok(())
}

/// The stuck devices read again. Returns how many do not get the newest version, and how many skipped versions.
fn resume_stuck_devices(run: &mut TestRun, writers: &mut WritingFleet, stuck: &[u32]) -> Result<(usize, usize), String> {
    run.start_phase("stuck devices read again", stuck.len() as u64);
    let (began, mut events, mut skipped) = (Instant::now(), Vec::new(), BTreeSet::new());
    writers.fleet.reconnect_from_now_on();
    stuck.iter().for_each(|device| writers.fleet.resume_reading(*device, &mut events));
    loop {
        writers.fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            if let FleetEventKind::Received(ServerMessage::Changes { from, to, .. }) = event.kind
                && to > from + 1
            {
                skipped.insert(event.device);
            }
        }
        let behind = stuck.iter().filter(|device| !writers.is_newest(**device)).count();
        run.progress((stuck.len() - behind) as u64);
        if behind == 0 || began.elapsed() > Duration::from_secs(60) {
            return Ok((behind, skipped.len()));
        }
    }
}
