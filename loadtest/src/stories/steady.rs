//! People who write, each on one device; each write arrives at their other devices.
//!
//! First at a rate that the server keeps with ease, for the times: in turns with the disk's own flush and with a round trip that stores
//! nothing. Then as fast as it goes, in turns with the disk's own limit for groups of the same size.

use std::time::{Duration, Instant};

use driftless_protocol::{ClientMessage, ServerMessage};

use crate::disk::{Disk, Paced};
use crate::fleet::{Fleet, What};
use crate::run::{Run, TURN, Versions, value};
use crate::scenario::Steady;
use crate::times::Times;

/// Turns in which the server and the disk are measured one after the other: the disk's speed moves from minute to minute.
const TURNS: u32 = 5;

/// Flushes and round trips that are measured in each turn.
const PACED: u32 = 500;

/// Keys that each person's writes go round.
const KEYS: u64 = 100;

/// Bytes of a write on disk, apart from its value, as the store's benchmark counts them: the record, the head, the result, history.
const ROW_BYTES: usize = 360;

pub fn tell(run: &mut Run, steady: &Steady) -> Result<(), String> {
    let mut crowd = Crowd::new(run, steady)?;
    run.open_all(&mut crowd.fleet)?;
    run.report.rate_says = "writes";
    let mut disk = Disk::new(&run.folder)?;
    let mut timed = Timed::default();
    let bytes = steady.value_bytes + ROW_BYTES;
    for _ in 0..TURNS {
        crowd.scheduled(run, steady.rate, Duration::from_secs(steady.rate_s) / TURNS, &mut timed)?;
        // At the same pace: a machine that has nothing to do between takes longer to wake.
        disk.pace(bytes, steady.rate, PACED, &mut timed.disk)?;
        crowd.round_trips(steady.rate, &mut timed.trip)?;
    }
    times(run, timed);
    if steady.flood_s > 0 {
        flood(run, steady, &mut crowd, &mut disk)?;
    }
    Ok(())
}

/// What is measured at a rate.
#[derive(Default)]
pub struct Timed {
    pub written: Times,
    pub seen: Times,
    disk: Paced,
    trip: Times,
    pub refused: u64,
}

fn times(run: &mut Run, timed: Timed) {
    let Timed { written, seen, disk: Paced { flush, write }, trip, refused } = timed;
    let disk_p99 = write.at(99.0);
    let floor = flush.at(50.0) + trip.at(50.0);
    let (p50, p99) = (seen.at(50.0) / floor, seen.at(99.0) / floor);
    let of_disk = seen.at(99.0) / (disk_p99 + trip.at(50.0));
    let report = &mut run.report;
    report.times("written", "from a write to its acknowledgement", written);
    report.times("seen", "from a write to each other device", seen);
    report.times("flush", "the disk's own flush of what is due, at that rate", flush);
    report.times("disk", "the same schedule straight to the disk, from when a write was due", write);
    report.times("trip", "a ping and its pong", trip);
    report.figure("seen_p50_ratio", p50, "x", "of one flush and one round trip, both at their p50");
    report.figure("seen_p99_ratio", p99, "x", "of the same");
    report.figure("seen_p99_of_disk", of_disk, "x", "of the disk's own p99 under the same schedule, and one round trip");
    report.figure("refused", refused as f64, "writes", "that were not taken");
}

fn flood(run: &mut Run, steady: &Steady, crowd: &mut Crowd, disk: &mut Disk) -> Result<(), String> {
    let slice = Duration::from_secs(steady.flood_s) / TURNS / 2;
    let (mut writes, mut groups, mut disk_groups, mut cpu) = (0, 0.0, 0.0, Duration::ZERO);
    let mut times = Times::default();
    run.begin("as fast as it goes", u64::from(TURNS));
    for turn in 0..TURNS {
        let before = (run.server.counter("driftless_committer_groups_total")?, run.server_cpu());
        let written = crowd.flooded(run, steady.window, slice, &mut times)?;
        let made = run.server.counter("driftless_committer_groups_total")? - before.0;
        cpu += run.server_cpu() - before.1;
        writes += written;
        groups += made;
        let group = written as f64 / made.max(1.0);
        let bytes = (group * (steady.value_bytes + ROW_BYTES) as f64) as usize;
        disk_groups += disk.append(bytes, slice, &mut Times::default())? * group * slice.as_secs_f64();
        run.progress(u64::from(turn) + 1);
    }
    let seconds = (slice * TURNS).as_secs_f64();
    let report = &mut run.report;
    report.figure("writes_per_s", writes as f64 / seconds, "1/s", "durable, as fast as it goes");
    report.figure("disk_writes_per_s", disk_groups / seconds, "1/s", "the raw disk's, in groups of the same size, in turns");
    report.figure("disk_share", 100.0 * writes as f64 / disk_groups, "%", "of what the raw disk allows");
    report.figure("group", writes as f64 / groups.max(1.0), "writes", "made durable at once");
    report.figure("write_cpu_us", cpu.as_secs_f64() * 1e6 / writes.max(1) as f64, "us", "the server's CPU for each write");
    report.figure("server_cores", cpu.as_secs_f64() / seconds, "cores", "the server's, meanwhile");
    report.times("flood", "a write's acknowledgement, as fast as it goes", times);
    Ok(())
}

/// People, each with one device that writes and others that read.
pub struct Crowd {
    pub fleet: Fleet,
    persons: u32,
    devices: u32,
    /// Devices of each person that read.
    readers: Vec<u32>,
    versions: Vec<Versions>,
    begun: Vec<std::collections::VecDeque<Instant>>,
    number: u64,
    bytes: usize,
}

impl Crowd {
    fn new(run: &Run, steady: &Steady) -> Result<Crowd, String> {
        Crowd::of(run, steady.persons, steady.devices_per_person, steady.value_bytes)
    }

    /// People of so many devices each, all away.
    pub fn of(run: &Run, persons: u32, devices: u32, bytes: usize) -> Result<Crowd, String> {
        let fleet = run.fleet("steady", persons * devices, devices)?;
        let versions = (0..persons).map(|_| Versions::after(0)).collect();
        let begun = (0..persons).map(|_| Default::default()).collect();
        let readers = vec![devices - 1; persons as usize];
        Ok(Crowd { fleet, persons, devices, readers, versions, begun, number: 0, bytes })
    }

    /// A device that only reads does so no more, and nobody waits for it.
    pub fn stick(&mut self, device: u32) {
        self.fleet.stick(device);
        self.readers[self.fleet.person(device) as usize] -= 1;
    }

    /// Whether a device has all that its person has written.
    pub fn is_newest(&self, device: u32) -> bool {
        let person = self.fleet.person(device) as usize;
        self.fleet.version(device) >= self.versions[person].newest()
    }

    /// A person writes; what is measured counts from when it was due.
    fn write(&mut self, run: &mut Run, person: u32, due: Instant) {
        self.number += 1;
        let key = format!("k{}", self.number % KEYS);
        self.fleet.put(person * self.devices, &key, value(&mut run.chance, self.bytes));
        self.versions[person as usize].write(due, self.readers[person as usize]);
        self.begun[person as usize].push_back(due);
    }

    /// Writes at a rate, spread over all people.
    pub fn scheduled(&mut self, run: &mut Run, rate: f64, time: Duration, timed: &mut Timed) -> Result<(), String> {
        let (began, mut sent, mut news) = (Instant::now(), 0_u64, Vec::new());
        let total = (rate * time.as_secs_f64()) as u64;
        run.begin("writes at a rate", total);
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / rate);
        while sent < total || self.waiting() > 0 {
            while sent < total && due(sent) <= Instant::now() {
                let person = run.chance.u32(..self.persons);
                self.write(run, person, due(sent));
                sent += 1;
            }
            let wait = if sent < total { due(sent).saturating_duration_since(Instant::now()) } else { TURN };
            self.fleet.turn(wait.min(TURN), &mut news)?;
            for one in news.drain(..) {
                run.watch.done(self.heard(one.device, one.at, &one.what, timed)?);
            }
            run.watch.open(self.fleet.open());
            run.progress(sent);
            if began.elapsed() > time + Duration::from_secs(30) {
                return Err(format!("{} writes or their arrivals are still awaited", self.waiting()));
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.begun.iter().map(std::collections::VecDeque::len).sum::<usize>() + self.versions.iter().map(Versions::waiting).sum::<usize>()
    }

    /// How many writes were acknowledged by this.
    fn heard(&mut self, device: u32, at: Instant, what: &What, timed: &mut Timed) -> Result<u64, String> {
        let person = self.fleet.person(device) as usize;
        match what {
            What::Says(ServerMessage::Written { .. }) => {
                if let Some(due) = self.begun[person].pop_front() {
                    timed.written.add(at.saturating_duration_since(due));
                }
                Ok(1)
            }
            What::Says(ServerMessage::Changes { from, to, .. }) => {
                self.versions[person].arrive(*from, *to, at, |took| timed.seen.add(took));
                Ok(0)
            }
            What::Says(ServerMessage::Refused { .. }) => {
                timed.refused += 1;
                self.begun[person].pop_front();
                Ok(0)
            }
            What::Says(_) | What::Open { .. } => Ok(0),
            What::Ended { code } => Err(format!("the socket of device {device} ended with {code:?}")),
        }
    }

    /// Every person has so many writes on its way, for so long; returns how many were acknowledged.
    fn flooded(&mut self, run: &mut Run, window: u32, time: Duration, times: &mut Times) -> Result<u64, String> {
        let (began, mut written, mut news, mut timed) = (Instant::now(), 0, Vec::new(), Timed::default());
        for person in 0..self.persons {
            (0..window).for_each(|_| self.write(run, person, Instant::now()));
        }
        let mut within = 0;
        while self.waiting() > 0 {
            self.fleet.turn(TURN, &mut news)?;
            for one in news.drain(..) {
                let acknowledged = self.heard(one.device, one.at, &one.what, &mut timed)?;
                run.watch.done(acknowledged);
                written += acknowledged;
                if began.elapsed() < time {
                    within = written;
                    let person = self.fleet.person(one.device);
                    (0..acknowledged).for_each(|_| self.write(run, person, Instant::now()));
                }
            }
            if began.elapsed() > time + Duration::from_secs(60) {
                return Err(format!("{} writes or their arrivals are still awaited", self.waiting()));
            }
        }
        times.add_all(&timed.written);
        Ok(within)
    }

    /// What a round trip takes that stores nothing, at a rate.
    fn round_trips(&mut self, rate: f64, times: &mut Times) -> Result<(), String> {
        let (mut news, began) = (Vec::new(), Instant::now());
        for number in 0..PACED {
            let due = began + Duration::from_secs_f64(f64::from(number) / rate);
            while let Some(early) = due.checked_duration_since(Instant::now()) {
                self.fleet.turn(early, &mut news)?;
            }
            let (before, start) = (self.fleet.pongs, Instant::now());
            self.fleet.say(0, &ClientMessage::Ping);
            while self.fleet.pongs == before {
                self.fleet.turn(TURN, &mut news)?;
            }
            times.add(start.elapsed());
        }
        Ok(())
    }
}
