//! A device reconnects after it missed many changes.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEventKind};
use crate::latency::Latencies;
use crate::scenario::CatchUp;

/// Unacknowledged writes at once while the device is disconnected.
const WINDOW: u32 = 32;

pub fn execute(run: &mut TestRun, workload: &CatchUp) -> Result<(), String> {
    let mut fleet = run.fleet("catch-up", 2, 2)?;
    run.connect_all(&mut fleet)?;
    let (reader, writer) = (1, 0);
    // The device must have a version, or it would reconnect as a new device.
    write(run, &mut fleet, writer, workload, 1)?;
    run.idle("waiting for the first record", &mut fleet, Duration::from_secs(1), drop)?;
    let since = fleet.version(reader);
    fleet.disconnect(reader);
    if since == 0 {
        return Err("the device did not get the first record within a second".to_owned());
    }
    write(run, &mut fleet, writer, workload, workload.changes)?;
    run.start_phase("reconnecting the device", u64::from(workload.rounds));
    let (mut times, mut up_to_date, mut bytes) = (Latencies::default(), Latencies::default(), 0);
    let cpu = run.server_cpu();
    for round in 0..workload.rounds {
        let before = fleet.bytes;
        times.record(catch_up(&mut fleet, reader, since)?);
        bytes = fleet.bytes - before;
        run.progress(u64::from(round) + 1);
    }
    let spent = run.server_cpu() - cpu;
    let newest = fleet.version(reader);
    for _ in 0..workload.rounds {
        up_to_date.record(catch_up(&mut fleet, reader, newest)?);
    }
    let report = &mut run.report;
    report.figure("catch_up_ms", times.percentile_us(50.0) / 1000.0, "ms", "from the first packet to the newest version, at the p50");
    report.figure("catch_up_bytes", bytes as f64, "bytes", "received by the device");
    report.figure("catch_up_cpu_ms", spent.as_secs_f64() * 1e3 / f64::from(workload.rounds), "ms", "the server's CPU per reconnect");
    report.latencies("back", "from the first packet until the device has all missed changes", times);
    report.latencies("back_nothing", "the same when the device missed nothing", up_to_date);
    Ok(())
}

fn write(run: &mut TestRun, fleet: &mut Fleet, writer: u32, workload: &CatchUp, changes: u32) -> Result<(), String> {
    run.start_phase("writing what the device misses", u64::from(changes));
    let (mut sent, mut written, mut events) = (0, 0, Vec::new());
    while written < changes {
        while sent < changes && sent - written < WINDOW {
            fleet.put(writer, &format!("record-{}", sent % workload.records), value(&mut run.rng, workload.value_bytes));
            sent += 1;
        }
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            match event.kind {
                FleetEventKind::Received(ServerMessage::Written { .. }) => written += 1,
                FleetEventKind::Received(ServerMessage::Changes { .. }) => {}
                other => return Err(format!("unexpected event at the writer: {other:?}")),
            }
        }
        run.progress(u64::from(written));
    }
    Ok(())
}

/// Reconnects at this version until the device has the newest one, and disconnects again.
fn catch_up(fleet: &mut Fleet, device: u32, version: u64) -> Result<Duration, String> {
    fleet.set_version(device, version);
    let (start, mut events) = (Instant::now(), Vec::new());
    fleet.connect(device);
    while start.elapsed() < Duration::from_secs(60) {
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            if let FleetEventKind::Open { .. } = event.kind {
                fleet.disconnect(device);
                return Ok(event.at.saturating_duration_since(start));
            }
        }
    }
    Err("the device did not get what it missed within a minute".to_owned())
}
