//! A device comes back after it missed very much.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::fleet::{Fleet, What};
use crate::run::{Run, TURN, value};
use crate::scenario::CatchUp;
use crate::times::Times;

/// Writes on their way at once while the device is away.
const WINDOW: u32 = 32;

pub fn tell(run: &mut Run, story: &CatchUp) -> Result<(), String> {
    let mut fleet = run.fleet("catch-up", 2, 2)?;
    run.open_all(&mut fleet)?;
    let (reader, writer) = (1, 0);
    // It has something, or it would come back as a new device.
    write(run, &mut fleet, writer, story, 1)?;
    run.rest("the device has the first record", &mut fleet, Duration::from_secs(1), drop)?;
    let since = fleet.version(reader);
    fleet.dismiss(reader);
    if since == 0 {
        return Err("the device did not get the first record within a second".to_owned());
    }
    write(run, &mut fleet, writer, story, story.changes)?;
    run.begin("the device comes back", u64::from(story.rounds));
    let (mut times, mut nothing, mut bytes) = (Times::default(), Times::default(), 0);
    let cpu = run.server_cpu();
    for round in 0..story.rounds {
        let before = fleet.bytes;
        times.add(back(&mut fleet, reader, since)?);
        bytes = fleet.bytes - before;
        run.progress(u64::from(round) + 1);
    }
    let spent = run.server_cpu() - cpu;
    let newest = fleet.version(reader);
    for _ in 0..story.rounds {
        nothing.add(back(&mut fleet, reader, newest)?);
    }
    let report = &mut run.report;
    report.figure("catch_up_ms", times.at(50.0) / 1000.0, "ms", "from the first packet until it has all of it, in the middle");
    report.figure("catch_up_bytes", bytes as f64, "bytes", "that it is sent");
    report.figure("catch_up_cpu_ms", spent.as_secs_f64() * 1e3 / f64::from(story.rounds), "ms", "the server's CPU each time");
    report.times("back", "from the first packet until the device has all that it missed", times);
    report.times("back_nothing", "the same when it missed nothing", nothing);
    Ok(())
}

fn write(run: &mut Run, fleet: &mut Fleet, writer: u32, story: &CatchUp, changes: u32) -> Result<(), String> {
    run.begin("writes that a device misses", u64::from(changes));
    let (mut sent, mut written, mut news) = (0, 0, Vec::new());
    while written < changes {
        while sent < changes && sent - written < WINDOW {
            fleet.put(writer, &format!("record-{}", sent % story.records), value(&mut run.chance, story.value_bytes));
            sent += 1;
        }
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            match one.what {
                What::Says(ServerMessage::Written { .. }) => written += 1,
                What::Says(ServerMessage::Changes { .. }) => {}
                other => return Err(format!("the writer: {other:?}")),
            }
        }
        run.progress(u64::from(written));
    }
    Ok(())
}

/// Comes back with what it had at this version, and goes again.
fn back(fleet: &mut Fleet, device: u32, version: u64) -> Result<Duration, String> {
    fleet.rewind(device, version);
    let (start, mut news) = (Instant::now(), Vec::new());
    fleet.summon(device);
    while start.elapsed() < Duration::from_secs(60) {
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            if let What::Open { .. } = one.what {
                fleet.dismiss(device);
                return Ok(one.at.saturating_duration_since(start));
            }
        }
    }
    Err("the device did not get what it missed within a minute".to_owned())
}
