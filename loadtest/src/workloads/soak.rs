//! Writes and reconnects for a long time: what grows?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftless_protocol::{Change, ServerMessage};

use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEventKind, change};
use crate::latency::Latencies;
use crate::machine::{Process, folder_bytes};
use crate::scenario::Soak;

/// How long the last writes may stay unanswered.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// The server's metric of its tasks.
const TASKS: &str = "driftless_server_tasks";

/// An answer that takes longer on an open socket counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub fn execute(run: &mut TestRun, soak: &Soak) -> Result<(), String> {
    run.report.rate_of = "writes";
    let mut fleet =
        run.fleet_with("soak", soak.persons * soak.devices_per_person, soak.devices_per_person, |config| config.reconnects = true)?;
    let tasks = run.server.metric(TASKS)?;
    run.connect_all(&mut fleet)?;
    let mut progress = SoakProgress::default();
    fill(run, &mut fleet, soak)?;
    let load = Duration::from_secs(soak.load_s);
    // The first quarter is a warm-up.
    progress.run(run, &mut fleet, soak, load / 4)?;
    let early = ResourceUse::of(run);
    progress.run(run, &mut fleet, soak, load * 3 / 4)?;
    let late = ResourceUse::of(run);
    run.idle("idling after the load", &mut fleet, Duration::from_secs(soak.rest_s) / 2, drop)?;
    let rested = ResourceUse::of(run);
    let open = run.server.metric("driftless_session_open")?;
    (0..fleet.size()).for_each(|device| fleet.disconnect(device));
    run.idle("idling without devices", &mut fleet, Duration::from_secs(soak.rest_s) / 2, drop)?;
    let end = ResourceUse::of(run);
    let still_open = run.server.metric("driftless_session_open")?;
    let tasks_left = run.server.metric(TASKS)? - tasks;
    let report = &mut run.report;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let percent = |late: u64, early: u64| 100.0 * (late as f64 / early.max(1) as f64 - 1.0);
    report.figure("memory_growth_percent", percent(late.memory, early.memory), "%", "growth from the first quarter of the load to its end");
    report.figure("memory_mib", mib(late.memory), "MiB", "at the end of the load");
    report.figure("memory_gone_mib", mib(end.memory), "MiB", "after all devices have disconnected");
    report.figure("thread_growth", end.threads as f64 - early.threads as f64, "threads", "from the first quarter to the end");
    report.figure("tasks_left", tasks_left, "tasks", "after all devices have disconnected, beyond those before the first connected");
    report.figure(
        "files_left",
        end.files as f64 - early.files as f64 + f64::from(fleet.size()),
        "files",
        "open files beyond those before, sockets excluded",
    );
    report.figure(
        "disk_growth_percent",
        percent(late.disk, early.disk),
        "%",
        "growth of the store, from the first quarter of the load to its end",
    );
    report.figure("disk_early_mib", mib(early.disk), "MiB", "size of the store, after the first quarter");
    report.figure("disk_mib", mib(late.disk), "MiB", "size of the store, at the end of the load");
    report.figure("disk_rest_percent", percent(rested.disk, late.disk), "%", "growth of the store while idle after the load");
    report.figure("sessions_astray", open - f64::from(fleet.size()), "sessions", "that the server counts beyond those that are open");
    report.figure("sessions_left", still_open, "sessions", "that the server counts after all devices have disconnected");
    report.figure("writes", progress.written as f64, "writes", "acknowledged in all");
    report.figure("unanswered", progress.unanswered.len() as f64, "writes", "writes without an answer, those of cut sockets included");
    let says = format!("writes without an answer within {} s on an open socket", ANSWER_TIMEOUT.as_secs());
    report.figure("silent", progress.silent as f64, "writes", &says);
    report.figure("returns", progress.returns as f64, "times", "a device lost its socket and reconnected");
    report.latencies("written", "from when a write was due to its acknowledgement, for devices that stayed connected", progress.times);
    Ok(())
}

/// The resources that must not grow.
struct ResourceUse {
    memory: u64,
    threads: u64,
    files: u64,
    disk: u64,
}

impl ResourceUse {
    fn of(run: &TestRun) -> ResourceUse {
        let process = run.server.process();
        ResourceUse {
            memory: run.server_memory_bytes(),
            threads: process.map_or(0, Process::threads),
            files: process.map_or(0, Process::files),
            disk: run.server.data().map_or(0, folder_bytes),
        }
    }
}

/// Writes every record once, so that later ones replace what is there.
fn fill(run: &mut TestRun, fleet: &mut Fleet, soak: &Soak) -> Result<(), String> {
    let total = u64::from(soak.persons) * u64::from(soak.records);
    run.start_phase("filling records", total);
    let (mut sent, mut written, mut events) = (0, 0, Vec::new());
    while written < total {
        while sent < total && sent - written < 512 {
            let person = (sent % u64::from(soak.persons)) as u32;
            let key = format!("k{}", sent / u64::from(soak.persons));
            fleet.put(person * soak.devices_per_person, &key, value(&mut run.rng, soak.value_bytes));
            sent += 1;
        }
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            match event.kind {
                FleetEventKind::Received(ServerMessage::Written { .. }) => written += 1,
                FleetEventKind::Received(ServerMessage::Changes { .. }) => {}
                other => return Err(format!("unexpected event at device {} while filling records: {other:?}", event.device)),
            }
        }
        run.progress(written);
    }
    Ok(())
}

/// What was done so far.
#[derive(Default)]
struct SoakProgress {
    written: u64,
    returns: u64,
    silent: u64,
    times: Latencies,
    /// Unanswered writes by device and patch number. As with the client library, the device sends them again in its next session.
    unanswered: BTreeMap<(u32, u64), UnansweredWrite>,
}

struct UnansweredWrite {
    due: Instant,
    /// When it was sent in its device's current session.
    sent: Option<Instant>,
    /// Whether its device was disconnected meanwhile.
    was_disconnected: bool,
    changes: Vec<Change>,
}

impl SoakProgress {
    fn run(&mut self, run: &mut TestRun, fleet: &mut Fleet, soak: &Soak, time: Duration) -> Result<(), String> {
        run.start_phase("writing, with devices that reconnect", time.as_secs());
        let (began, mut events) = (Instant::now(), Vec::new());
        let (mut sent, mut cut) = (0_u64, 0_u64);
        while began.elapsed() < time || (!self.unanswered.is_empty() && began.elapsed() < time + LAST_ANSWERS) {
            let seconds = began.elapsed().min(time).as_secs_f64();
            while (sent as f64) < seconds * soak.rate {
                let due = began + Duration::from_secs_f64(sent as f64 / soak.rate);
                self.write(run, fleet, soak, due);
                sent += 1;
            }
            while (cut as f64) < seconds * soak.churn {
                self.cut_off(run, fleet);
                cut += 1;
            }
            fleet.poll_events(Duration::from_millis(2), &mut events)?;
            for event in events.drain(..) {
                match event.kind {
                    FleetEventKind::Received(ServerMessage::Written { id, .. }) => {
                        if let Some(write) = self.unanswered.remove(&(event.device, id)) {
                            if !write.was_disconnected {
                                self.times.record(event.at.saturating_duration_since(write.due));
                            }
                            self.silent += u64::from(write.is_late(event.at));
                            self.written += 1;
                            run.sampler.add_done(1);
                        }
                    }
                    FleetEventKind::Received(ServerMessage::Changes { .. }) => {}
                    FleetEventKind::Received(other) => return Err(format!("unexpected message at device {}: {other:?}", event.device)),
                    FleetEventKind::Open { .. } => {
                        self.returns += 1;
                        for ((device, id), write) in self.unanswered.range_mut((event.device, 0)..(event.device + 1, 0)) {
                            write.sent = Some(event.at);
                            fleet.send_patch(*device, *id, write.changes.clone());
                        }
                    }
                    FleetEventKind::Ended { code } => return Err(format!("the socket of device {} ended with {code:?}", event.device)),
                }
            }
            run.sampler.set_open_sessions(fleet.open());
            run.progress(began.elapsed().as_secs());
        }
        Ok(())
    }

    /// A random device writes, connected or not.
    fn write(&mut self, run: &mut TestRun, fleet: &mut Fleet, soak: &Soak, due: Instant) {
        let device = run.rng.u32(..fleet.size());
        let key = format!("k{}", run.rng.u32(..soak.records));
        let changes = vec![change(&key, value(&mut run.rng, soak.value_bytes))];
        let id = fleet.next_patch_number(device);
        let sent = fleet.is_open(device).then(Instant::now);
        if sent.is_some() {
            fleet.send_patch(device, id, changes.clone());
        }
        self.unanswered.insert((device, id), UnansweredWrite { due, sent, was_disconnected: sent.is_none(), changes });
    }

    /// A random device loses its socket, and reconnects at once.
    fn cut_off(&mut self, run: &mut TestRun, fleet: &mut Fleet) {
        let device = run.rng.u32(..fleet.size());
        if !fleet.is_open(device) {
            return;
        }
        fleet.disconnect(device);
        fleet.connect(device);
        for (_, write) in self.unanswered.range_mut((device, 0)..(device + 1, 0)) {
            self.silent += u64::from(write.is_late(Instant::now()));
            (write.sent, write.was_disconnected) = (None, true);
        }
    }
}

impl UnansweredWrite {
    fn is_late(&self, now: Instant) -> bool {
        self.sent.is_some_and(|sent| now.saturating_duration_since(sent) > ANSWER_TIMEOUT)
    }
}
