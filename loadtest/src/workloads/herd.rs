//! The server restarts while sessions are open: how long until every device has the newest version again.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;
use rustix::process::Signal;

use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEvent, FleetEventKind};
use crate::latency::Latencies;
use crate::people::{self, CONNECTIONS};
use crate::scenario::{Herd, StopMode};

pub fn execute(run: &mut TestRun, herd: &Herd) -> Result<(), String> {
    let people = u64::from(herd.sessions.div_ceil(herd.devices_per_person));
    people::create(run, "herd", 0..people, CONNECTIONS, None)?;
    let mut fleet = run.fleet_with("herd", herd.sessions, herd.devices_per_person, |config| config.reconnects = true)?;
    let (first, rate) = run.connect_all(&mut fleet)?;
    let mut returning = ReturningFleet::new(&fleet, herd);
    let stopping_since = Instant::now();
    run.server.signal(if herd.how == StopMode::Drain { Signal::TERM } else { Signal::KILL })?;
    run.start_phase("stopping the server", 1);
    while !run.server.has_ended()? {
        returning.poll(run, &mut fleet)?;
        if stopping_since.elapsed() > Duration::from_secs(herd.limit_s) {
            return Err("the server did not end within the limit".to_owned());
        }
    }
    let ended = stopping_since.elapsed();
    let restarted_at = Instant::now();
    // Devices try to reconnect meanwhile, and fail.
    let restart = run.server.restart()?;
    while !restart.is_finished() {
        returning.poll(run, &mut fleet)?;
    }
    run.server.finish_restart(restart)?;
    run.sampler.set_server(run.server.process());
    let started = restarted_at.elapsed();
    returning.back_at = Some(Instant::now());
    run.start_phase("devices reconnect", u64::from(herd.sessions));
    let limit = Duration::from_secs(herd.limit_s);
    while returning.missing(&fleet) > 0 && restarted_at.elapsed() < limit {
        returning.poll(run, &mut fleet)?;
        run.progress(fleet.open() as u64);
    }
    let report = &mut run.report;
    report.figure("end_s", ended.as_secs_f64(), "s", "until the server had ended");
    report.figure("start_s", started.as_secs_f64(), "s", "until the server accepted connections again");
    report.figure(
        "converged_s",
        returning.last.saturating_duration_since(restarted_at).as_secs_f64(),
        "s",
        "from its start until every device had the newest version",
    );
    report.figure("not_back", returning.missing(&fleet) as f64, "devices", "not reconnected or without the newest version at the limit");
    report.figure("turned_away", returning.turned_away as f64, "times", "a reconnecting device was disconnected and tried again");
    report.figure("first_opened_per_s", rate, "1/s", "sessions opened at first");
    report.latencies("open_first", "from the first packet to the whole dataset, at first", first);
    report.latencies("open_again", "from the first packet to the whole dataset, after the restart", returning.opened);
    report.latencies("away", "from the server's restart until a device had the newest version", returning.away);
    Ok(())
}

struct ReturningFleet {
    devices_per_person: u32,
    writers: u32,
    /// The version that each person's devices must reach.
    due: Vec<u64>,
    written: Vec<bool>,
    back_at: Option<Instant>,
    last: Instant,
    turned_away: u64,
    opened: Latencies,
    away: Latencies,
    events: Vec<FleetEvent>,
}

impl ReturningFleet {
    fn new(fleet: &Fleet, herd: &Herd) -> ReturningFleet {
        let due: Vec<_> = (0..fleet.size()).step_by(herd.devices_per_person as usize).map(|device| fleet.version(device)).collect();
        ReturningFleet {
            devices_per_person: herd.devices_per_person,
            writers: herd.writers,
            written: vec![false; due.len()],
            due,
            back_at: None,
            last: Instant::now(),
            turned_away: 0,
            opened: Latencies::default(),
            away: Latencies::default(),
            events: Vec::new(),
        }
    }

    /// The number of devices that are not open or lack the newest version.
    fn missing(&self, fleet: &Fleet) -> usize {
        let away = fleet.size() as usize - fleet.open();
        if away > 0 {
            return away;
        }
        (0..fleet.size()).filter(|device| fleet.version(*device) < self.due[(device / self.devices_per_person) as usize]).count()
    }

    fn poll(&mut self, run: &mut TestRun, fleet: &mut Fleet) -> Result<(), String> {
        let mut events = std::mem::take(&mut self.events);
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            match event.kind {
                FleetEventKind::Open { took } => self.opened(run, fleet, event.device, event.at, took),
                FleetEventKind::Ended { .. } => self.turned_away += u64::from(self.back_at.is_some()),
                FleetEventKind::Received(message) => {
                    if let ServerMessage::Written { version, .. } = message {
                        fleet.set_written_version(event.device, version);
                    }
                    self.last = event.at;
                }
            }
        }
        self.events = events;
        run.sampler.set_open_sessions(fleet.open());
        Ok(())
    }

    fn opened(&mut self, run: &mut TestRun, fleet: &mut Fleet, device: u32, at: Instant, took: Duration) {
        self.last = at;
        self.opened.record(took);
        if let Some(back_at) = self.back_at {
            self.away.record(at.saturating_duration_since(back_at));
        }
        let person = fleet.person(device) as usize;
        // The first reconnected device of some people writes, while their other devices are still connecting.
        if person < self.writers as usize && !std::mem::replace(&mut self.written[person], true) {
            fleet.put(device, "theme", value(&mut run.rng, 20));
            self.due[person] += 1;
        }
    }
}
