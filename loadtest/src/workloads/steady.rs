//! People write, each on one device; the server delivers each write to their other devices.
//!
//! First at a fixed rate that the server sustains easily, to measure latency, in turns with the disk's own flush and with a round trip
//! that stores nothing. Then as fast as possible, in turns with the disk's own rate for groups of the same size.

use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, ServerMessage};

use crate::context::{POLL_WAIT, TestRun, value};
use crate::disk::{DiskProbe, PacedWrites};
use crate::fleet::{Fleet, FleetEventKind};
use crate::latency::Latencies;
use crate::pending_versions::PendingVersions;
use crate::scenario::Steady;

/// The server and the disk are measured in turns, because the disk's speed changes from minute to minute.
const TURNS: u32 = 5;

/// Flushes and round trips that are measured in each turn.
const PACED: u32 = 500;

/// The number of keys that each person writes in turn.
const KEYS: u64 = 100;

/// Bytes of a write on disk beside its value, as the store's benchmark counts them: record, dataset head, result and history.
const ROW_BYTES: usize = 360;

pub fn execute(run: &mut TestRun, steady: &Steady) -> Result<(), String> {
    let mut writers = WritingFleet::new(run, steady)?;
    run.connect_all(&mut writers.fleet)?;
    run.report.rate_of = "writes";
    let mut disk = DiskProbe::new(&run.folder)?;
    let mut latencies = WriteLatencies::default();
    let bytes = steady.value_bytes + ROW_BYTES;
    for _ in 0..TURNS {
        writers.write_at_rate(run, steady.rate, Duration::from_secs(steady.rate_s) / TURNS, &mut latencies)?;
        // At the same rate: an idle machine takes longer to react.
        disk.pace(bytes, steady.rate, PACED, &mut latencies.disk)?;
        writers.round_trips(steady.rate, &mut latencies.round_trip)?;
    }
    report_latencies(run, latencies);
    if steady.flood_s > 0 {
        flood(run, steady, &mut writers, &mut disk)?;
    }
    Ok(())
}

/// The latencies at a fixed rate.
#[derive(Default)]
pub struct WriteLatencies {
    pub written: Latencies,
    pub seen: Latencies,
    disk: PacedWrites,
    round_trip: Latencies,
    pub refused: u64,
}

fn report_latencies(run: &mut TestRun, latencies: WriteLatencies) {
    let WriteLatencies { written, seen, disk: PacedWrites { flush, write }, round_trip, refused } = latencies;
    let disk_p99 = write.percentile_us(99.0);
    let baseline_us = flush.percentile_us(50.0) + round_trip.percentile_us(50.0);
    let (p50, p99) = (seen.percentile_us(50.0) / baseline_us, seen.percentile_us(99.0) / baseline_us);
    let of_disk = seen.percentile_us(99.0) / (disk_p99 + round_trip.percentile_us(50.0));
    let report = &mut run.report;
    report.latencies("written", "from a write to its acknowledgement", written);
    report.latencies("seen", "from a write to each other device", seen);
    report.latencies("flush", "the disk's own flush at that rate", flush);
    report.latencies("disk", "the same schedule written directly to the disk, from when a write was due", write);
    report.latencies("trip", "a ping and its pong", round_trip);
    report.figure("seen_p50_ratio", p50, "x", "relative to one flush and one round trip, both at their p50");
    report.figure("seen_p99_ratio", p99, "x", "relative to the same");
    report.figure("seen_p99_of_disk", of_disk, "x", "relative to the disk's own p99 under the same schedule and one round trip");
    report.figure("refused", refused as f64, "writes", "writes that were refused");
}

fn flood(run: &mut TestRun, steady: &Steady, writers: &mut WritingFleet, disk: &mut DiskProbe) -> Result<(), String> {
    let slice = Duration::from_secs(steady.flood_s) / TURNS / 2;
    let (mut writes, mut groups, mut disk_groups, mut cpu) = (0, 0.0, 0.0, Duration::ZERO);
    let mut times = Latencies::default();
    run.start_phase("writing as fast as possible", u64::from(TURNS));
    for turn in 0..TURNS {
        let before = (run.server.metric("driftless_committer_groups_total")?, run.server_cpu());
        let written = writers.write_with_window(run, steady.window, slice, &mut times)?;
        let made = run.server.metric("driftless_committer_groups_total")? - before.0;
        cpu += run.server_cpu() - before.1;
        writes += written;
        groups += made;
        let group = written as f64 / made.max(1.0);
        let bytes = (group * (steady.value_bytes + ROW_BYTES) as f64) as usize;
        disk_groups += disk.append(bytes, slice, &mut Latencies::default())? * group * slice.as_secs_f64();
        run.progress(u64::from(turn) + 1);
    }
    let seconds = (slice * TURNS).as_secs_f64();
    let report = &mut run.report;
    report.figure("writes_per_s", writes as f64 / seconds, "1/s", "durable, as fast as possible");
    report.figure("disk_writes_per_s", disk_groups / seconds, "1/s", "of the raw disk, in groups of the same size, measured in turns");
    report.figure("disk_share", 100.0 * writes as f64 / disk_groups, "%", "of the raw disk's rate");
    report.figure("group", writes as f64 / groups.max(1.0), "writes", "per group that is made durable at once");
    report.figure("write_cpu_us", cpu.as_secs_f64() * 1e6 / writes.max(1) as f64, "us", "the server's CPU per write");
    report.figure("server_cores", cpu.as_secs_f64() / seconds, "cores", "used by the server meanwhile");
    report.latencies("flood", "from a write to its acknowledgement, as fast as possible", times);
    Ok(())
}

/// People with one device that writes, and others that read.
pub struct WritingFleet {
    pub fleet: Fleet,
    persons: u32,
    devices: u32,
    /// The number of reading devices of each person.
    readers: Vec<u32>,
    versions: Vec<PendingVersions>,
    unacknowledged: Vec<std::collections::VecDeque<Instant>>,
    number: u64,
    bytes: usize,
}

impl WritingFleet {
    fn new(run: &TestRun, steady: &Steady) -> Result<WritingFleet, String> {
        WritingFleet::of(run, steady.persons, steady.devices_per_person, steady.value_bytes)
    }

    /// A fleet of people with this number of devices each, all disconnected.
    pub fn of(run: &TestRun, persons: u32, devices: u32, bytes: usize) -> Result<WritingFleet, String> {
        let fleet = run.fleet("steady", persons * devices, devices)?;
        let versions = (0..persons).map(|_| PendingVersions::after(0)).collect();
        let unacknowledged = (0..persons).map(|_| Default::default()).collect();
        let readers = vec![devices - 1; persons as usize];
        Ok(WritingFleet { fleet, persons, devices, readers, versions, unacknowledged, number: 0, bytes })
    }

    /// A reading device stops reading, and its receipt of versions is no longer awaited.
    pub fn stop_reading(&mut self, device: u32) {
        self.fleet.stop_reading(device);
        self.readers[self.fleet.person(device) as usize] -= 1;
    }

    /// Whether a device has its person's newest version.
    pub fn is_newest(&self, device: u32) -> bool {
        let person = self.fleet.person(device) as usize;
        self.fleet.version(device) >= self.versions[person].newest()
    }

    /// A person writes. The latency counts from `due`.
    fn write(&mut self, run: &mut TestRun, person: u32, due: Instant) {
        self.number += 1;
        let key = format!("k{}", self.number % KEYS);
        self.fleet.put(person * self.devices, &key, value(&mut run.rng, self.bytes));
        self.versions[person as usize].expect(due, self.readers[person as usize]);
        self.unacknowledged[person as usize].push_back(due);
    }

    /// Writes at a fixed rate, by randomly chosen people.
    pub fn write_at_rate(&mut self, run: &mut TestRun, rate: f64, time: Duration, latencies: &mut WriteLatencies) -> Result<(), String> {
        let (began, mut sent, mut events) = (Instant::now(), 0_u64, Vec::new());
        let total = (rate * time.as_secs_f64()) as u64;
        run.start_phase("writing at a fixed rate", total);
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / rate);
        while sent < total || self.pending_count() > 0 {
            while sent < total && due(sent) <= Instant::now() {
                let person = run.rng.u32(..self.persons);
                self.write(run, person, due(sent));
                sent += 1;
            }
            let wait = if sent < total { due(sent).saturating_duration_since(Instant::now()) } else { POLL_WAIT };
            self.fleet.poll_events(wait.min(POLL_WAIT), &mut events)?;
            for event in events.drain(..) {
                run.sampler.add_done(self.handle_event(event.device, event.at, &event.kind, latencies)?);
            }
            run.sampler.set_open_sessions(self.fleet.open());
            run.progress(sent);
            if began.elapsed() > time + Duration::from_secs(30) {
                return Err(format!("{} acknowledgements or deliveries are still missing", self.pending_count()));
            }
        }
        Ok(())
    }

    fn pending_count(&self) -> usize {
        self.unacknowledged.iter().map(std::collections::VecDeque::len).sum::<usize>()
            + self.versions.iter().map(PendingVersions::count).sum::<usize>()
    }

    /// Handles an event. Returns the number of writes that it acknowledges.
    fn handle_event(&mut self, device: u32, at: Instant, what: &FleetEventKind, latencies: &mut WriteLatencies) -> Result<u64, String> {
        let person = self.fleet.person(device) as usize;
        match what {
            FleetEventKind::Received(ServerMessage::Written { .. }) => {
                if let Some(due) = self.unacknowledged[person].pop_front() {
                    latencies.written.record(at.saturating_duration_since(due));
                }
                Ok(1)
            }
            FleetEventKind::Received(ServerMessage::Changes { from, to, .. }) => {
                self.versions[person].received(*from, *to, at, |took| latencies.seen.record(took));
                Ok(0)
            }
            FleetEventKind::Received(ServerMessage::Refused { .. }) => {
                latencies.refused += 1;
                self.unacknowledged[person].pop_front();
                Ok(0)
            }
            FleetEventKind::Received(_) | FleetEventKind::Open { .. } => Ok(0),
            FleetEventKind::Ended { code } => Err(format!("the socket of device {device} ended with {code:?}")),
        }
    }

    /// Keeps `window` unacknowledged writes per person for this time. Returns the number of acknowledged writes.
    fn write_with_window(&mut self, run: &mut TestRun, window: u32, time: Duration, times: &mut Latencies) -> Result<u64, String> {
        let (began, mut written, mut events, mut latencies) = (Instant::now(), 0, Vec::new(), WriteLatencies::default());
        for person in 0..self.persons {
            (0..window).for_each(|_| self.write(run, person, Instant::now()));
        }
        let mut within = 0;
        while self.pending_count() > 0 {
            self.fleet.poll_events(POLL_WAIT, &mut events)?;
            for event in events.drain(..) {
                let acknowledged = self.handle_event(event.device, event.at, &event.kind, &mut latencies)?;
                run.sampler.add_done(acknowledged);
                written += acknowledged;
                if began.elapsed() < time {
                    within = written;
                    let person = self.fleet.person(event.device);
                    (0..acknowledged).for_each(|_| self.write(run, person, Instant::now()));
                }
            }
            if began.elapsed() > time + Duration::from_secs(60) {
                return Err(format!("{} acknowledgements or deliveries are still missing", self.pending_count()));
            }
        }
        times.merge(&latencies.written);
        Ok(within)
    }

    /// Measures round trips that store nothing, at a fixed rate.
    fn round_trips(&mut self, rate: f64, times: &mut Latencies) -> Result<(), String> {
        let (mut events, began) = (Vec::new(), Instant::now());
        for number in 0..PACED {
            let due = began + Duration::from_secs_f64(f64::from(number) / rate);
            while let Some(early) = due.checked_duration_since(Instant::now()) {
                self.fleet.poll_events(early, &mut events)?;
            }
            let (before, start) = (self.fleet.pongs, Instant::now());
            self.fleet.send_message(0, &ClientMessage::Ping);
            while self.fleet.pongs == before {
                self.fleet.poll_events(POLL_WAIT, &mut events)?;
            }
            times.record(start.elapsed());
        }
        Ok(())
    }
}
