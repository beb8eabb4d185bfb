//! The same work at more and more people in the store: what one write and one arrival cost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::disk::Disk;
use crate::fleet::{Fleet, What};
use crate::machine::folder_bytes;
use crate::makers;
use crate::report::Curve;
use crate::run::{Run, TURN, value};
use crate::scenario::Grow;
use crate::times::Times;

/// Writes on their way at once.
const WINDOW: u32 = 64;

/// What a step came to.
struct Step {
    people: u64,
    writes_per_s: f64,
    write_us: f64,
    open_us: f64,
    server_mib: f64,
    store_mib: f64,
}

pub fn tell(run: &mut Run, grow: &Grow) -> Result<(), String> {
    run.report.rate_says = "writes";
    let (mut people, mut steps) = (0, Vec::new());
    let mut disk = Disk::new(&run.folder)?;
    for &step in &grow.steps {
        let began = Instant::now();
        makers::make(run, "grow", people..step, grow.makers, None)?;
        run.report.figure(
            &format!("made_per_s_{step}"),
            (step - people) as f64 / began.elapsed().as_secs_f64(),
            "1/s",
            "people made up to this step",
        );
        people = step;
        steps.push(measure(run, grow, people)?);
        let mut flush = Times::default();
        disk.append(4096, Duration::from_millis(500), &mut flush)?;
        tell_step(run, &steps[steps.len() - 1], &flush);
    }
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Err("name a step".to_owned()) };
    let report = &mut run.report;
    report.figure("people", last.people as f64, "people", "in the store at the end");
    report.figure(
        "write_cost_ratio",
        last.write_us / first.write_us,
        "x",
        "the server's CPU for a write at the last step, of at the first",
    );
    report.figure("open_cost_ratio", last.open_us / first.open_us, "x", "the same for an arrival");
    let line = |of: fn(&Step) -> f64| steps.iter().map(|step| ((step.people as f64).log10(), of(step))).collect();
    let lines = vec![("a write", line(|step| step.write_us)), ("an arrival", line(|step| step.open_us))];
    report.curves.push(Curve { says: "Cost of an operation", across: "people, as a power of ten", up: "us of CPU", lines });
    let lines = vec![("resident", line(|step| step.server_mib)), ("on disk", line(|step| step.store_mib))];
    report.curves.push(Curve { says: "Size", across: "people, as a power of ten", up: "MiB", lines });
    Ok(())
}

fn tell_step(run: &mut Run, step: &Step, flush: &Times) {
    let Step { people, writes_per_s, write_us, open_us, server_mib, store_mib } = *step;
    let report = &mut run.report;
    report.figure(&format!("writes_per_s_{people}"), writes_per_s, "1/s", "durable, each of another person, 64 on their way");
    report.figure(&format!("write_cpu_us_{people}"), write_us, "us", "the server's CPU for each");
    report.figure(&format!("open_cpu_us_{people}"), open_us, "us", "the server's CPU for an arrival");
    report.figure(&format!("server_mib_{people}"), server_mib, "MiB", "the server's resident memory");
    report.figure(&format!("store_mib_{people}"), store_mib, "MiB", "the store on disk");
    report.figure(&format!("flush_us_{people}"), flush.at(50.0), "us", "the disk's own flush, at its p50");
    eprintln!(
        "{people} people: {writes_per_s:.0} writes/s, {write_us:.0} us a write, {open_us:.0} us an arrival, {server_mib:.0} MiB, {store_mib:.0} MiB on disk"
    );
}

fn measure(run: &mut Run, grow: &Grow, people: u64) -> Result<Step, String> {
    let (signer, chance) = (run.server.signer.clone(), &mut run.chance);
    // No person twice: two devices of one name replace each other.
    let mut chosen = BTreeSet::new();
    while chosen.len() < (grow.persons as usize).min(people as usize) {
        chosen.insert(chance.u64(..people));
    }
    let mut chosen: Vec<u64> = chosen.into_iter().collect();
    chance.shuffle(&mut chosen);
    let persons = chosen.len() as u32;
    let mut fleet = run.fleet_with("grow", persons, 1, |plan| {
        plan.mint = Box::new(move |person| signer.mint(&format!("grow-{}", chosen[person as usize])));
        plan.acknowledges = false;
    })?;
    let cpu = run.server_cpu();
    run.open_all(&mut fleet)?;
    let open_us = (run.server_cpu() - cpu).as_secs_f64() * 1e6 / f64::from(persons);
    let time = Duration::from_secs(grow.step_s);
    let (cpu, began) = (run.server_cpu(), Instant::now());
    let written = write(run, &mut fleet, time, grow.value_bytes)?;
    let seconds = began.elapsed().as_secs_f64();
    let write_us = (run.server_cpu() - cpu).as_secs_f64() * 1e6 / written as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let store_mib = mib(run.server.data().map_or(0, folder_bytes));
    Ok(Step { people, writes_per_s: written as f64 / seconds, write_us, open_us, server_mib: mib(run.server_memory()), store_mib })
}

/// One after the other of them writes, so many at once.
fn write(run: &mut Run, fleet: &mut Fleet, time: Duration, bytes: usize) -> Result<u64, String> {
    run.begin("they write", time.as_secs());
    let (began, mut next, mut written, mut news) = (Instant::now(), 0, 0, Vec::new());
    let mut waiting = 0;
    loop {
        let goes_on = began.elapsed() < time;
        while goes_on && waiting < WINDOW {
            fleet.put(next, "theme", value(&mut run.chance, bytes));
            waiting += 1;
            next = (next + 1) % fleet.size();
        }
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            match one.what {
                What::Says(ServerMessage::Written { .. }) => {
                    written += 1;
                    waiting -= 1;
                    run.watch.done(1);
                }
                What::Says(ServerMessage::Refused { message, .. }) => return Err(format!("a write was refused: {message}")),
                _ => {}
            }
        }
        if waiting == 0 && !goes_on {
            return Ok(written);
        }
        if began.elapsed() > time + Duration::from_secs(60) {
            return Err(format!("{waiting} writes were not answered within a minute"));
        }
        run.progress(began.elapsed().as_secs());
    }
}
