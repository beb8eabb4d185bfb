//! Sessions with an open dataset that send only heartbeats: the cost of each.
//!
//! The people are created before, so that a person's cost in the store is not counted as the session's. The server's whole memory is
//! a separate figure.

use std::time::Duration;

use crate::context::TestRun;
use crate::machine::{Process, kernel_socket_bytes};
use crate::people::{self, CONNECTIONS};
use crate::scenario::Idle;

/// Within this time after its last message, a session has freed its buffers, and the allocator has returned the memory.
const SETTLE: Duration = Duration::from_secs(15);

pub fn execute(run: &mut TestRun, idle: &Idle) -> Result<(), String> {
    let Idle { sessions, devices_per_person, watch_s } = *idle;
    let people = u64::from(sessions.div_ceil(devices_per_person));
    people::create(run, "idle", 0..people, CONNECTIONS, None)?;
    let mut fleet = run.fleet("idle", sessions, devices_per_person)?;
    run.idle("waiting for the server to settle", &mut fleet, SETTLE, drop)?;
    let before = (run.server_memory_bytes(), kernel_socket_bytes(), Process::own().resident_bytes());
    let cpu = run.server_cpu();
    let (times, rate) = run.connect_all(&mut fleet)?;
    let connect_cpu = run.server_cpu() - cpu;
    run.idle("waiting for sessions to become idle", &mut fleet, SETTLE, drop)?;
    let (cpu, pings) = (run.server_cpu(), fleet.pings);
    let mut ended = 0_u64;
    run.idle("measuring idle sessions", &mut fleet, Duration::from_secs(watch_s), |events| {
        if matches!(events.kind, crate::fleet::FleetEventKind::Ended { .. }) {
            ended += 1;
        }
    })?;
    let spent = run.server_cpu() - cpu;
    let after = (run.server_memory_bytes(), kernel_socket_bytes(), Process::own().resident_bytes());
    let each = |bytes: u64| bytes as f64 / 1024.0 / f64::from(sessions);
    let report = &mut run.report;
    report.figure("sessions", fleet.open() as f64, "sessions", "authenticated and with an open dataset, at the end");
    report.figure("sessions_lost", ended as f64, "sessions", "that ended during the measurement");
    report.figure(
        "server_kib_per_session",
        each(after.0.saturating_sub(before.0)),
        "KiB",
        "growth of the server's resident memory per session",
    );
    report.figure(
        "server_whole_kib_per_session",
        each(after.0),
        "KiB",
        "the server's whole resident memory per session, with the store and its cache",
    );
    report.figure("kernel_kib_per_session", each(after.1.saturating_sub(before.1)), "KiB", "kernel memory for sockets, both ends");
    report.figure(
        "tool_kib_per_session",
        each(after.2.saturating_sub(before.2)),
        "KiB",
        "growth of the load generator's memory per session",
    );
    let share = 100.0 * spent.as_secs_f64() / watch_s as f64;
    report.figure("idle_cpu_percent", share, "% of a core", "the server's CPU while there are only heartbeats");
    let beats = (fleet.pings - pings) as f64;
    report.figure(
        "heartbeats_per_s",
        beats / watch_s as f64,
        "1/s",
        &format!("from each device slightly more often than every {} s", fleet.heartbeat_s()),
    );
    report.figure("heartbeat_cpu_us", spent.as_secs_f64() * 1e6 / beats.max(1.0), "us", "the server's whole CPU per heartbeat");
    report.figure("opened_per_s", rate, "1/s", "sessions opened, from the first packet to the whole dataset");
    report.figure("open_cpu_us", connect_cpu.as_secs_f64() * 1e6 / f64::from(sessions), "us", "the server's CPU per opened session");
    report.latencies("open", "from a device's first packet to its whole dataset, 512 connecting at once", times);
    Ok(())
}
