//! Sessions with an open dataset that say nothing but their heartbeat: what each costs.
//!
//! Their people are made before, so what a person costs in the store is not counted as a session's; the server's whole memory is a
//! figure of its own.

use std::time::Duration;

use crate::machine::{Process, kernel_sockets};
use crate::makers::{self, MAKERS};
use crate::run::Run;
use crate::scenario::Idle;

/// After a session's last message it gives its buffers back within a few seconds, and the allocator its memory.
const SETTLE: Duration = Duration::from_secs(15);

pub fn tell(run: &mut Run, idle: &Idle) -> Result<(), String> {
    let Idle { sessions, devices_per_person, watch_s } = *idle;
    let people = u64::from(sessions.div_ceil(devices_per_person));
    makers::make(run, "idle", 0..people, MAKERS, None)?;
    let mut fleet = run.fleet("idle", sessions, devices_per_person)?;
    run.rest("the server settles", &mut fleet, SETTLE, drop)?;
    let before = (run.server_memory(), kernel_sockets(), Process::own().resident());
    let cpu = run.server_cpu();
    let (times, rate) = run.open_all(&mut fleet)?;
    let coming_in = run.server_cpu() - cpu;
    run.rest("sessions fall asleep", &mut fleet, SETTLE, drop)?;
    let (cpu, pings) = (run.server_cpu(), fleet.pings);
    let mut ended = 0_u64;
    run.rest("sessions are watched", &mut fleet, Duration::from_secs(watch_s), |news| {
        if matches!(news.what, crate::fleet::What::Ended { .. }) {
            ended += 1;
        }
    })?;
    let spent = run.server_cpu() - cpu;
    let after = (run.server_memory(), kernel_sockets(), Process::own().resident());
    let each = |bytes: u64| bytes as f64 / 1024.0 / f64::from(sessions);
    let report = &mut run.report;
    report.figure("sessions", fleet.open() as f64, "sessions", "authenticated, with a dataset open, at the end");
    report.figure("sessions_lost", ended as f64, "sessions", "that ended while they were watched");
    report.figure("server_kib_per_session", each(after.0.saturating_sub(before.0)), "KiB", "resident memory that the sessions added");
    report.figure(
        "server_whole_kib_per_session",
        each(after.0),
        "KiB",
        "all of the server's resident memory, store and its cache included",
    );
    report.figure("kernel_kib_per_session", each(after.1.saturating_sub(before.1)), "KiB", "sockets in the kernel, of both sides");
    report.figure("tool_kib_per_session", each(after.2.saturating_sub(before.2)), "KiB", "this tool's memory");
    let share = 100.0 * spent.as_secs_f64() / watch_s as f64;
    report.figure("idle_cpu_percent", share, "% of a core", "the server's, while nothing but heartbeats happens");
    let beats = (fleet.pings - pings) as f64;
    report.figure(
        "heartbeats_per_s",
        beats / watch_s as f64,
        "1/s",
        &format!("each device's somewhat sooner than every {} s", fleet.heartbeat_s()),
    );
    report.figure("heartbeat_cpu_us", spent.as_secs_f64() * 1e6 / beats.max(1.0), "us", "the server's CPU for each, with all else it does");
    report.figure("opened_per_s", rate, "1/s", "sessions that came in, from the first packet to the dataset");
    report.figure("open_cpu_us", coming_in.as_secs_f64() * 1e6 / f64::from(sessions), "us", "the server's CPU for each");
    report.times("open", "from a device's first packet to its dataset, 512 on their way at once", times);
    Ok(())
}
