//! The same work for the server under test and for `redis-server`, in turns (A B B A ...), on the same disk: one write that another device
//! sees, many writers at once, one write for many devices, and a device that missed many writes.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::compared::{ComparedEventKind, ComparedFleet, DriftlessFleet, RedisFleet, RedisProcess};
use crate::context::{POLL_WAIT, TestRun, value};
use crate::disk::DiskProbe;
use crate::latency::Latencies;
use crate::machine::Process;
use crate::pairs::PairRatios;
use crate::scenario::Beside;

/// The number of keys that a device writes in turn.
const KEYS: u32 = 100;

/// Unacknowledged writes at once of the device that writes what another one misses.
const WINDOW: u32 = 32;

/// How long the disk itself is measured before each pair.
const DISK_TIME: Duration = Duration::from_millis(200);

/// How long one step may take, before the server is taken for stuck.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The devices of one server, in a fleet for each kind of work.
struct ComparedServer {
    process: Option<Process>,
    one: Box<dyn ComparedFleet>,
    many: Box<dyn ComparedFleet>,
    fan_out: Box<dyn ComparedFleet>,
    missing: Box<dyn ComparedFleet>,
    /// The version from which the device of `missing` catches up.
    missed_after: u64,
}

/// What one server did in one turn.
#[derive(Default)]
struct TurnFigures {
    one: Latencies,
    many: Latencies,
    writes_per_s: f64,
    write_cpu_us: f64,
    deliveries_per_s: f64,
    delivery_cpu_us: f64,
    catch_up: Latencies,
}

pub fn execute(run: &mut TestRun, beside: &Beside) -> Result<(), String> {
    run.report.rate_of = "writes and deliveries";
    let redis = RedisProcess::start(&run.folder)?;
    let Beside { writers, subscribers, .. } = *beside;
    let mut own = ComparedServer {
        process: run.server.process(),
        one: Box::new(DriftlessFleet::connect(run, "one", 1, 2)?),
        many: Box::new(DriftlessFleet::connect(run, "many", writers, 1)?),
        fan_out: Box::new(DriftlessFleet::connect(run, "fan-out", 1, subscribers + 1)?),
        missing: Box::new(DriftlessFleet::connect(run, "missing", 1, 2)?),
        missed_after: 0,
    };
    let mut other = ComparedServer {
        process: Some(redis.process()),
        one: Box::new(RedisFleet::connect(&redis, "one", 1, 2)?),
        many: Box::new(RedisFleet::connect(&redis, "many", writers, 1)?),
        fan_out: Box::new(RedisFleet::connect(&redis, "fan-out", 1, subscribers + 1)?),
        missing: Box::new(RedisFleet::connect(&redis, "missing", 1, 2)?),
        missed_after: 0,
    };
    run.start_phase("pairs of turns", u64::from(beside.pairs));
    for server in [&mut own, &mut other] {
        server.prepare_missing(&mut run.rng, beside)?;
        // The first turn warms up both, and is not counted.
        server.take_turn(run, beside)?;
    }
    let memory_bytes = run.server_memory_bytes();
    let (mut pairs, mut disk, mut flushes) = (Vec::new(), DiskProbe::new(&run.folder)?, Latencies::default());
    for pair in 0..beside.pairs {
        disk.append(beside.value_bytes, DISK_TIME, &mut flushes)?;
        let is_own_first = pair % 2 == 0;
        let first = if is_own_first { &mut own } else { &mut other }.take_turn(run, beside)?;
        let second = if is_own_first { &mut other } else { &mut own }.take_turn(run, beside)?;
        pairs.push(if is_own_first { (first, second) } else { (second, first) });
        run.progress(u64::from(pair) + 1);
    }
    report(run, &pairs, beside);
    let report = &mut run.report;
    report.latencies("disk", "the disk's own write and flush, before each pair: what both servers wait for", flushes);
    report.figure("memory_mib", memory_bytes as f64 / f64::from(1 << 20), "MiB", "of the server, with all these devices busy before");
    Ok(())
}

fn report(run: &mut TestRun, pairs: &[(TurnFigures, TurnFigures)], beside: &Beside) {
    let Beside { writers, subscribers, changes, .. } = *beside;
    let mut compare = |name: &str, unit: &'static str, says: &str, of: &dyn Fn(&TurnFigures) -> f64| {
        let mut ratios = PairRatios::default();
        pairs.iter().for_each(|(own, redis)| ratios.add(of(own), of(redis)));
        let report = &mut run.report;
        report.figure(name, ratios.own_median(), unit, &format!("{says}, median of the turns"));
        report.figure(&format!("redis_{name}"), ratios.other_median(), unit, "the same of redis-server");
        report.figure(&format!("{name}_ratio"), ratios.median(), "x", &format!("relative to redis-server, median ({})", ratios.spread()));
    };
    compare("seen_p50_us", "us", "from a write to the other device, p50", &|turn| turn.one.percentile_us(50.0));
    compare("seen_p99_us", "us", "the same, p99", &|turn| turn.one.percentile_us(99.0));
    let says = format!("{writers} devices of as many people, each with one write at a time");
    compare("writes_per_s", "1/s", &says, &|turn| turn.writes_per_s);
    compare("write_p50_us", "us", "from a write to its acknowledgement then, p50", &|turn| turn.many.percentile_us(50.0));
    compare("write_p99_us", "us", "the same, p99", &|turn| turn.many.percentile_us(99.0));
    compare("write_p99_of_p50", "x", "the same, p99 relative to p50", &|turn| {
        turn.many.percentile_us(99.0) / turn.many.percentile_us(50.0)
    });
    compare("write_cpu_us", "us", "the server's CPU per write then", &|turn| turn.write_cpu_us);
    let says = format!("one write for {subscribers} devices, and the next when all have it");
    compare("deliveries_per_s", "1/s", &says, &|turn| turn.deliveries_per_s);
    compare("delivery_cpu_us", "us", "the server's CPU per delivery then", &|turn| turn.delivery_cpu_us);
    let says = format!("from the first packet until a device has the {changes} changes that it missed");
    compare("catch_up_ms", "ms", &says, &|turn| turn.catch_up.percentile_us(50.0) / 1000.0);
}

impl ComparedServer {
    /// One turn of each kind of work.
    fn take_turn(&mut self, run: &mut TestRun, beside: &Beside) -> Result<TurnFigures, String> {
        let (mut turn, rng) = (TurnFigures::default(), &mut run.rng);
        let cpu = |process: Option<Process>| process.map_or(Duration::ZERO, Process::all_threads_cpu);
        for number in 0..beside.rounds {
            let took = write_seen(&mut *self.one, rng, number, 1, beside)?;
            turn.one.record(took);
        }
        let before = cpu(self.process);
        let (writes, seconds) = write_back_to_back(&mut *self.many, rng, beside, &mut turn.many)?;
        turn.write_cpu_us = (cpu(self.process) - before).as_secs_f64() * 1e6 / writes.max(1) as f64;
        turn.writes_per_s = writes as f64 / seconds;
        let (before, began) = (cpu(self.process), Instant::now());
        for number in 0..beside.fan_outs {
            write_seen(&mut *self.fan_out, rng, number, beside.subscribers, beside)?;
        }
        let deliveries = u64::from(beside.fan_outs) * u64::from(beside.subscribers);
        turn.deliveries_per_s = deliveries as f64 / began.elapsed().as_secs_f64();
        turn.delivery_cpu_us = (cpu(self.process) - before).as_secs_f64() * 1e6 / deliveries.max(1) as f64;
        for _ in 0..beside.catch_ups {
            turn.catch_up.record(self.catch_up()?);
        }
        run.sampler.add_done(writes + deliveries + u64::from(beside.rounds));
        Ok(turn)
    }

    /// A device is disconnected, and then all the changes are written that it catches up with.
    fn prepare_missing(&mut self, rng: &mut Rng, beside: &Beside) -> Result<(), String> {
        // The device must have a version, or it would connect as a new device.
        write_seen(&mut *self.missing, rng, 0, 1, beside)?;
        self.missed_after = self.missing.version(1);
        self.missing.disconnect(1);
        let (mut sent, mut written, mut events, began) = (0, 0, Vec::new(), Instant::now());
        while written < beside.changes {
            while sent < beside.changes && sent - written < WINDOW {
                self.missing.write(0, &format!("record-{sent}"), &value(rng, beside.value_bytes));
                sent += 1;
            }
            self.missing.poll(POLL_WAIT, &mut events)?;
            written += events.drain(..).filter(|event| event.kind == ComparedEventKind::Written).count() as u32;
            check_time(began, "writing what a device misses")?;
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<Duration, String> {
        let (began, mut events) = (Instant::now(), Vec::new());
        self.missing.reconnect_at(1, self.missed_after)?;
        loop {
            self.missing.poll(POLL_WAIT, &mut events)?;
            for event in events.drain(..) {
                if event.device == 1 && event.kind == ComparedEventKind::CaughtUp {
                    if self.missing.version(1) != self.missing.version(0) {
                        return Err("a device that caught up has not all changes".to_owned());
                    }
                    self.missing.disconnect(1);
                    return Ok(event.at.saturating_duration_since(began));
                }
            }
            check_time(began, "catching up")?;
        }
    }
}

/// The first device writes, and this number of others receive it. Returns the time until the last of them has it; the writer has its answer then, too.
fn write_seen(fleet: &mut dyn ComparedFleet, rng: &mut Rng, number: u32, readers: u32, beside: &Beside) -> Result<Duration, String> {
    let value = value(rng, beside.value_bytes);
    let (began, mut events, mut last) = (Instant::now(), Vec::new(), Duration::ZERO);
    fleet.write(0, &format!("k{}", number % KEYS), &value);
    let (mut seen, mut is_written) = (0, false);
    while seen < readers || !is_written {
        fleet.poll(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            match event.kind {
                ComparedEventKind::Seen => {
                    seen += 1;
                    last = event.at.saturating_duration_since(began);
                }
                ComparedEventKind::Written => is_written = true,
                ComparedEventKind::CaughtUp => {}
            }
        }
        check_time(began, "a write that others see")?;
    }
    Ok(last)
}

/// Each device writes again as soon as its write is answered. Returns the writes and the seconds that they took.
fn write_back_to_back(
    fleet: &mut dyn ComparedFleet,
    rng: &mut Rng,
    beside: &Beside,
    latencies: &mut Latencies,
) -> Result<(u64, f64), String> {
    let (began, mut events, time) = (Instant::now(), Vec::new(), Duration::from_millis(beside.writers_ms));
    let mut since = vec![began; beside.writers as usize];
    let mut write = |fleet: &mut dyn ComparedFleet, device: u32, number: u64| {
        fleet.write(device, &format!("k{}", number % u64::from(KEYS)), &value(rng, beside.value_bytes));
    };
    (0..beside.writers).for_each(|device| write(fleet, device, u64::from(device)));
    let (mut written, mut under_way, mut end) = (0, beside.writers, began);
    while under_way > 0 {
        fleet.poll(POLL_WAIT, &mut events)?;
        for event in events.drain(..).filter(|event| event.kind == ComparedEventKind::Written) {
            let writer = &mut since[event.device as usize];
            latencies.record(event.at.saturating_duration_since(*writer));
            (written, end) = (written + 1, event.at);
            if event.at.saturating_duration_since(began) < time {
                *writer = Instant::now();
                write(fleet, event.device, written);
            } else {
                under_way -= 1;
            }
        }
        check_time(began, "writing back to back")?;
    }
    Ok((written, end.saturating_duration_since(began).as_secs_f64()))
}

fn check_time(began: Instant, step: &str) -> Result<(), String> {
    if began.elapsed() > STEP_TIMEOUT { Err(format!("{step}: not done after {} s", STEP_TIMEOUT.as_secs())) } else { Ok(()) }
}
