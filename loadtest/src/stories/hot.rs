//! Devices of one person fight over one record: each writes from what it saw last, and again from what it is told, until it is through.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::fleet::{Fleet, What, change};
use crate::run::{Run, TURN, value};
use crate::scenario::Hot;
use crate::times::Times;

const KEY: &str = "theme";

/// One device's fight.
struct Fighter {
    /// The record's version as it knows it.
    base: u64,
    left: u32,
    since: Instant,
    tries: u32,
}

pub fn tell(run: &mut Run, hot: &Hot) -> Result<(), String> {
    run.report.rate_says = "attempts";
    let mut fleet = run.fleet("hot", hot.devices, hot.devices)?;
    run.open_all(&mut fleet)?;
    let total = u64::from(hot.devices) * u64::from(hot.writes);
    run.begin("devices fight over a record", total);
    let began = Instant::now();
    let mut fighters: Vec<_> = (0..hot.devices).map(|_| Fighter { base: 0, left: hot.writes, since: began, tries: 0 }).collect();
    let (mut attempts, mut through, mut most, mut times, mut news) = (0_u64, 0, 0, Times::default(), Vec::new());
    for device in 0..hot.devices {
        attempts += attempt(run, &mut fleet, device, &mut fighters[device as usize]);
    }
    while through < total && began.elapsed() < Duration::from_secs(hot.limit_s) {
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            let fighter = &mut fighters[one.device as usize];
            match one.what {
                What::Says(ServerMessage::Changes { to, .. }) => fighter.base = fighter.base.max(to),
                What::Says(ServerMessage::Written { version, .. }) => {
                    times.add(one.at.saturating_duration_since(fighter.since));
                    most = most.max(fighter.tries);
                    *fighter = Fighter { base: version, left: fighter.left - 1, since: one.at, tries: 0 };
                    through += 1;
                    if fighter.left > 0 {
                        attempts += attempt(run, &mut fleet, one.device, fighter);
                    }
                }
                What::Says(ServerMessage::Conflict { records, .. }) => {
                    fighter.base = records.first().map_or(fighter.base, |record| record.version);
                    attempts += attempt(run, &mut fleet, one.device, fighter);
                }
                other => return Err(format!("device {} in the fight: {other:?}", one.device)),
            }
        }
        run.progress(through);
    }
    let seconds = began.elapsed().as_secs_f64();
    let report = &mut run.report;
    report.figure("not_through", (total - through) as f64, "writes", "that did not get through in time");
    report.figure("through_per_s", through as f64 / seconds, "1/s", "writes that got through");
    report.figure("attempts_per_s", attempts as f64 / seconds, "1/s", "with those that met a conflict");
    report.figure("attempts_each", attempts as f64 / through.max(1) as f64, "attempts", "for each write that got through");
    report.figure("attempts_most", f64::from(most), "attempts", "for the write that needed most");
    report.times("through", "until a write is through, with all its attempts", times);
    Ok(())
}

fn attempt(run: &mut Run, fleet: &mut Fleet, device: u32, fighter: &mut Fighter) -> u64 {
    fighter.tries += 1;
    fleet.write(device, vec![change(KEY, value(&mut run.chance, 64)).with_base(fighter.base)]);
    run.watch.done(1);
    1
}
