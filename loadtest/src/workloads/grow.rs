//! The same work with more and more people in the store: the cost of a write and of a connecting device.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::context::{POLL_WAIT, TestRun, value};
use crate::disk::DiskProbe;
use crate::fleet::{Fleet, FleetEventKind};
use crate::latency::Latencies;
use crate::machine::folder_bytes;
use crate::people;
use crate::report::Chart;
use crate::scenario::Grow;

/// Unacknowledged writes at once.
const WINDOW: u32 = 64;

/// The measurements of one step.
struct GrowthStep {
    people: u64,
    writes_per_s: f64,
    write_us: f64,
    open_us: f64,
    server_mib: f64,
    store_mib: f64,
}

pub fn execute(run: &mut TestRun, grow: &Grow) -> Result<(), String> {
    run.report.rate_of = "writes";
    let (mut people, mut steps) = (0, Vec::new());
    let mut disk = DiskProbe::new(&run.folder)?;
    for &step in &grow.steps {
        let began = Instant::now();
        people::create(run, "grow", people..step, grow.connections, None)?;
        run.report.figure(
            &format!("made_per_s_{step}"),
            (step - people) as f64 / began.elapsed().as_secs_f64(),
            "1/s",
            "people created up to this step",
        );
        people = step;
        steps.push(measure(run, grow, people)?);
        let mut flush = Latencies::default();
        disk.append(4096, Duration::from_millis(500), &mut flush)?;
        report_step(run, &steps[steps.len() - 1], &flush);
    }
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Err("load.steps is empty".to_owned()) };
    let report = &mut run.report;
    report.figure("people", last.people as f64, "people", "in the store at the end");
    report.figure("write_cost_ratio", last.write_us / first.write_us, "x", "the server's CPU per write, last step relative to first");
    report.figure("open_cost_ratio", last.open_us / first.open_us, "x", "the same per connecting device");
    let line = |of: fn(&GrowthStep) -> f64| steps.iter().map(|step| ((step.people as f64).log10(), of(step))).collect();
    let lines = vec![("a write", line(|step| step.write_us)), ("a connecting device", line(|step| step.open_us))];
    report.charts.push(Chart { title: "Cost of an operation", x_label: "people (power of ten)", y_label: "us of CPU", lines });
    let lines = vec![("resident", line(|step| step.server_mib)), ("on disk", line(|step| step.store_mib))];
    report.charts.push(Chart { title: "Size", x_label: "people (power of ten)", y_label: "MiB", lines });
    Ok(())
}

fn report_step(run: &mut TestRun, step: &GrowthStep, flush: &Latencies) {
    let GrowthStep { people, writes_per_s, write_us, open_us, server_mib, store_mib } = *step;
    let report = &mut run.report;
    report.figure(&format!("writes_per_s_{people}"), writes_per_s, "1/s", "durable, by changing people, 64 unacknowledged at once");
    report.figure(&format!("write_cpu_us_{people}"), write_us, "us", "the server's CPU per write");
    report.figure(&format!("open_cpu_us_{people}"), open_us, "us", "the server's CPU per connecting device");
    report.figure(&format!("server_mib_{people}"), server_mib, "MiB", "the server's resident memory");
    report.figure(&format!("store_mib_{people}"), store_mib, "MiB", "the store on disk");
    report.figure(&format!("flush_us_{people}"), flush.percentile_us(50.0), "us", "the disk's own flush, at its p50");
    eprintln!(
        "{people} people: {writes_per_s:.0} writes/s, {write_us:.0} us per write, {open_us:.0} us per connecting device, {server_mib:.0} MiB, {store_mib:.0} MiB on disk"
    );
}

fn measure(run: &mut TestRun, grow: &Grow, people: u64) -> Result<GrowthStep, String> {
    let (signer, rng) = (run.server.signer.clone(), &mut run.rng);
    // Each person once: a second session of the same device would replace the first.
    let mut chosen = BTreeSet::new();
    while chosen.len() < (grow.persons as usize).min(people as usize) {
        chosen.insert(rng.u64(..people));
    }
    let mut chosen: Vec<u64> = chosen.into_iter().collect();
    rng.shuffle(&mut chosen);
    let persons = chosen.len() as u32;
    let mut fleet = run.fleet_with("grow", persons, 1, |config| {
        config.sign = Box::new(move |person| signer.sign(&format!("grow-{}", chosen[person as usize])));
        config.acknowledges = false;
    })?;
    let cpu = run.server_cpu();
    run.connect_all(&mut fleet)?;
    let open_us = (run.server_cpu() - cpu).as_secs_f64() * 1e6 / f64::from(persons);
    let time = Duration::from_secs(grow.step_s);
    let (cpu, began) = (run.server_cpu(), Instant::now());
    let written = write(run, &mut fleet, time, grow.value_bytes)?;
    let seconds = began.elapsed().as_secs_f64();
    let write_us = (run.server_cpu() - cpu).as_secs_f64() * 1e6 / written as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let store_mib = mib(run.server.data().map_or(0, folder_bytes));
    Ok(GrowthStep {
        people,
        writes_per_s: written as f64 / seconds,
        write_us,
        open_us,
        server_mib: mib(run.server_memory_bytes()),
        store_mib,
    })
}

/// The devices write in turn. Returns the number of writes.
fn write(run: &mut TestRun, fleet: &mut Fleet, time: Duration, bytes: usize) -> Result<u64, String> {
    run.start_phase("writing", time.as_secs());
    let (began, mut next, mut written, mut events) = (Instant::now(), 0, 0, Vec::new());
    let mut waiting = 0;
    loop {
        let is_running = began.elapsed() < time;
        while is_running && waiting < WINDOW {
            fleet.put(next, "theme", value(&mut run.rng, bytes));
            waiting += 1;
            next = (next + 1) % fleet.size();
        }
        fleet.poll_events(POLL_WAIT, &mut events)?;
        for event in events.drain(..) {
            match event.kind {
                FleetEventKind::Received(ServerMessage::Written { .. }) => {
                    written += 1;
                    waiting -= 1;
                    run.sampler.add_done(1);
                }
                FleetEventKind::Received(ServerMessage::Refused { message, .. }) => return Err(format!("a write was refused: {message}")),
                _ => {}
            }
        }
        if waiting == 0 && !is_running {
            return Ok(written);
        }
        if began.elapsed() > time + Duration::from_secs(60) {
            return Err(format!("{waiting} writes were not answered within a minute"));
        }
        run.progress(began.elapsed().as_secs());
    }
}
