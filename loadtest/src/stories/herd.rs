//! The server goes and comes back under its sessions: how long until every one has everything again.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;
use rustix::process::Signal;

use crate::fleet::{Fleet, News, What};
use crate::makers::{self, MAKERS};
use crate::run::{Run, TURN, value};
use crate::scenario::{Going, Herd};
use crate::times::Times;

pub fn tell(run: &mut Run, herd: &Herd) -> Result<(), String> {
    let people = u64::from(herd.sessions.div_ceil(herd.devices_per_person));
    makers::make(run, "herd", 0..people, MAKERS, None)?;
    let mut fleet = run.fleet_with("herd", herd.sessions, herd.devices_per_person, |plan| plan.returns = true)?;
    let (first, rate) = run.open_all(&mut fleet)?;
    let mut flock = Flock::new(&fleet, herd);
    let gone = Instant::now();
    run.server.signal(if herd.how == Going::Drain { Signal::TERM } else { Signal::KILL })?;
    run.begin("the server goes", 1);
    while !run.server.has_ended()? {
        flock.turn(run, &mut fleet)?;
        if gone.elapsed() > Duration::from_secs(herd.limit_s) {
            return Err("the server does not end".to_owned());
        }
    }
    let ended = gone.elapsed();
    let starts = Instant::now();
    // Devices knock meanwhile, and are not answered.
    let starting = run.server.start_again()?;
    while !starting.is_finished() {
        flock.turn(run, &mut fleet)?;
    }
    run.server.started(starting)?;
    run.watch.follow(run.server.process());
    let started = starts.elapsed();
    flock.back_at = Some(Instant::now());
    run.begin("devices come back", u64::from(herd.sessions));
    let limit = Duration::from_secs(herd.limit_s);
    while flock.missing(&fleet) > 0 && starts.elapsed() < limit {
        flock.turn(run, &mut fleet)?;
        run.progress(fleet.open() as u64);
    }
    let report = &mut run.report;
    report.figure("end_s", ended.as_secs_f64(), "s", "until the server had ended");
    report.figure("start_s", started.as_secs_f64(), "s", "until it accepted connections again");
    report.figure(
        "converged_s",
        flock.last.saturating_duration_since(starts).as_secs_f64(),
        "s",
        "from its start until every device had everything",
    );
    report.figure("not_back", flock.missing(&fleet) as f64, "devices", "that had not come back, or not converged, at the limit");
    report.figure("turned_away", flock.turned_away as f64, "times", "that a device that came was sent away, and came again");
    report.figure("first_opened_per_s", rate, "1/s", "sessions that came in at first");
    report.times("open_first", "from the first packet to the dataset, when all came at first", first);
    report.times("open_again", "from the first packet to the dataset, when all came back", flock.opened);
    report.times("away", "from the server's return until a device had everything", flock.away);
    Ok(())
}

struct Flock {
    devices_per_person: u32,
    writers: u32,
    /// The version that each person's devices must have.
    due: Vec<u64>,
    written: Vec<bool>,
    back_at: Option<Instant>,
    last: Instant,
    turned_away: u64,
    opened: Times,
    away: Times,
    news: Vec<News>,
}

impl Flock {
    fn new(fleet: &Fleet, herd: &Herd) -> Flock {
        let due: Vec<_> = (0..fleet.size()).step_by(herd.devices_per_person as usize).map(|device| fleet.version(device)).collect();
        Flock {
            devices_per_person: herd.devices_per_person,
            writers: herd.writers,
            written: vec![false; due.len()],
            due,
            back_at: None,
            last: Instant::now(),
            turned_away: 0,
            opened: Times::default(),
            away: Times::default(),
            news: Vec::new(),
        }
    }

    /// Devices that are not open, or lack something.
    fn missing(&self, fleet: &Fleet) -> usize {
        let away = fleet.size() as usize - fleet.open();
        if away > 0 {
            return away;
        }
        (0..fleet.size()).filter(|device| fleet.version(*device) < self.due[(device / self.devices_per_person) as usize]).count()
    }

    fn turn(&mut self, run: &mut Run, fleet: &mut Fleet) -> Result<(), String> {
        let mut news = std::mem::take(&mut self.news);
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            match one.what {
                What::Open { took } => self.opened(run, fleet, one.device, one.at, took),
                What::Ended { .. } => self.turned_away += u64::from(self.back_at.is_some()),
                What::Says(message) => {
                    if let ServerMessage::Written { version, .. } = message {
                        fleet.wrote(one.device, version);
                    }
                    self.last = one.at;
                }
            }
        }
        self.news = news;
        run.watch.open(fleet.open());
        Ok(())
    }

    fn opened(&mut self, run: &mut Run, fleet: &mut Fleet, device: u32, at: Instant, took: Duration) {
        self.last = at;
        self.opened.add(took);
        if let Some(back_at) = self.back_at {
            self.away.add(at.saturating_duration_since(back_at));
        }
        let person = fleet.person(device) as usize;
        // The first of some people's devices that is back writes, while others are still on their way.
        if person < self.writers as usize && !std::mem::replace(&mut self.written[person], true) {
            fleet.put(device, "theme", value(&mut run.chance, 20));
            self.due[person] += 1;
        }
    }
}
