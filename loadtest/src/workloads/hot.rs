//! Devices of one person contend for one record: each writes on the version that it last saw, and retries after a conflict.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEventKind, change};
use crate::latency::Latencies;
use crate::scenario::Hot;

const KEY: &str = "theme";

/// The state of one device.
struct ContendingWriter {
    /// The record's version that the device last saw.
    base: u64,
    left: u32,
    since: Instant,
    tries: u32,
}

pub fn execute(run: &mut TestRun, hot: &Hot) -> Result<(), String> {
    run.report.rate_of = "attempts";
    let mut fleet = run.fleet("hot", hot.devices, hot.devices)?;
    run.connect_all(&mut fleet)?;
    let total = u64::from(hot.devices) * u64::from(hot.writes);
    run.start_phase("devices contend for a record", total);
    let began = Instant::now();
    let mut writers: Vec<_> = (0..hot.devices).map(|_| ContendingWriter { base: 0, left: hot.writes, since: began, tries: 0 }).collect();
    let (mut attempts, mut accepted, mut most, mut times, mut events) = (0_u64, 0, 0, Latencies::default(), Vec::new());
    for device in 0..hot.devices {
        attempts += attempt(run, &mut fleet, device, &mut writers[device as usize]);
    }
    while accepted < total && began.elapsed() < Duration::from_secs(hot.limit_s) {
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            let writer = &mut writers[event.device as usize];
            match event.kind {
                FleetEventKind::Received(ServerMessage::Changes { to, .. }) => writer.base = writer.base.max(to),
                FleetEventKind::Received(ServerMessage::Written { version, .. }) => {
                    times.record(event.at.saturating_duration_since(writer.since));
                    most = most.max(writer.tries);
                    *writer = ContendingWriter { base: version, left: writer.left - 1, since: event.at, tries: 0 };
                    accepted += 1;
                    if writer.left > 0 {
                        attempts += attempt(run, &mut fleet, event.device, writer);
                    }
                }
                FleetEventKind::Received(ServerMessage::Conflict { records, .. }) => {
                    writer.base = records.first().map_or(writer.base, |record| record.version);
                    attempts += attempt(run, &mut fleet, event.device, writer);
                }
                other => return Err(format!("unexpected event at device {}: {other:?}", event.device)),
            }
        }
        run.progress(accepted);
    }
    let seconds = began.elapsed().as_secs_f64();
    let report = &mut run.report;
    report.figure("not_through", (total - accepted) as f64, "writes", "not accepted within the time limit");
    report.figure("through_per_s", accepted as f64 / seconds, "1/s", "accepted writes");
    report.figure("attempts_per_s", attempts as f64 / seconds, "1/s", "attempts, conflicts included");
    report.figure("attempts_each", attempts as f64 / accepted.max(1) as f64, "attempts", "per accepted write");
    report.figure("attempts_most", f64::from(most), "attempts", "of the write that needed the most");
    report.latencies("through", "until a write is accepted, with all its attempts", times);
    Ok(())
}

fn attempt(run: &mut TestRun, fleet: &mut Fleet, device: u32, writer: &mut ContendingWriter) -> u64 {
    writer.tries += 1;
    fleet.write(device, vec![change(KEY, value(&mut run.rng, 64)).with_base(writer.base)]);
    run.sampler.add_done(1);
    1
}
