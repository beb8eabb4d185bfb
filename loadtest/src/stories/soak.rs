//! Everything a little, for long: what grows?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftless_protocol::{Change, ServerMessage};

use crate::fleet::{Fleet, What, change};
use crate::machine::{Process, folder_bytes};
use crate::run::{Run, TURN, value};
use crate::scenario::Soak;
use crate::times::Times;

/// How long the last writes may wait for their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// The server's count of its tasks.
const TASKS: &str = "driftless_server_tasks";

/// An answer that did not come within this on a socket that lived is taken for lost: its device would have waited in vain.
const SILENCE: Duration = Duration::from_secs(5);

pub fn tell(run: &mut Run, soak: &Soak) -> Result<(), String> {
    run.report.rate_says = "writes";
    let mut fleet = run.fleet_with("soak", soak.persons * soak.devices_per_person, soak.devices_per_person, |plan| plan.returns = true)?;
    let tasks = run.server.counter(TASKS)?;
    run.open_all(&mut fleet)?;
    let mut work = Work::default();
    fill(run, &mut fleet, soak)?;
    let load = Duration::from_secs(soak.load_s);
    // The first quarter is to get warm.
    work.go_on(run, &mut fleet, soak, load / 4)?;
    let early = Sizes::of(run);
    work.go_on(run, &mut fleet, soak, load * 3 / 4)?;
    let late = Sizes::of(run);
    run.rest("nothing more happens", &mut fleet, Duration::from_secs(soak.rest_s) / 2, drop)?;
    let rested = Sizes::of(run);
    let open = run.server.counter("driftless_session_open")?;
    (0..fleet.size()).for_each(|device| fleet.dismiss(device));
    run.rest("all are gone", &mut fleet, Duration::from_secs(soak.rest_s) / 2, drop)?;
    let end = Sizes::of(run);
    let still_open = run.server.counter("driftless_session_open")?;
    let tasks_left = run.server.counter(TASKS)? - tasks;
    let report = &mut run.report;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let percent = |late: u64, early: u64| 100.0 * (late as f64 / early.max(1) as f64 - 1.0);
    report.figure("memory_growth_percent", percent(late.memory, early.memory), "%", "from the first quarter of the load to its end");
    report.figure("memory_mib", mib(late.memory), "MiB", "at the end of the load");
    report.figure("memory_gone_mib", mib(end.memory), "MiB", "when all are gone");
    report.figure("thread_growth", end.threads as f64 - early.threads as f64, "threads", "from then to the end");
    report.figure("tasks_left", tasks_left, "tasks", "more when all are gone than before the first came");
    report.figure(
        "files_left",
        end.files as f64 - early.files as f64 + f64::from(fleet.size()),
        "files",
        "more than before, apart from sockets",
    );
    report.figure("disk_growth_percent", percent(late.disk, early.disk), "%", "of the store, from the first quarter to the load's end");
    report.figure("disk_early_mib", mib(early.disk), "MiB", "of the store, after the first quarter");
    report.figure("disk_mib", mib(late.disk), "MiB", "at the end of the load");
    report.figure("disk_rest_percent", percent(rested.disk, late.disk), "%", "after the load");
    report.figure("sessions_astray", open - f64::from(fleet.size()), "sessions", "that the server counts, more than there are");
    report.figure("sessions_left", still_open, "sessions", "that it counts when all are gone");
    report.figure("writes", work.written as f64, "writes", "in all");
    report.figure("unanswered", work.unanswered.len() as f64, "writes", "that were not answered, those of cut sockets included");
    let says = format!("that were not answered within {} s, while their socket lived", SILENCE.as_secs());
    report.figure("silent", work.silent as f64, "writes", &says);
    report.figure("returns", work.returns as f64, "times", "that a device lost its socket and came back");
    report.times("written", "from when a write was due to its acknowledgement, of writes whose device was there meanwhile", work.times);
    Ok(())
}

/// What must not grow.
struct Sizes {
    memory: u64,
    threads: u64,
    files: u64,
    disk: u64,
}

impl Sizes {
    fn of(run: &Run) -> Sizes {
        let process = run.server.process();
        Sizes {
            memory: run.server_memory(),
            threads: process.map_or(0, Process::threads),
            files: process.map_or(0, Process::files),
            disk: run.server.data().map_or(0, folder_bytes),
        }
    }
}

/// Writes every record once, so that later ones replace what is there.
fn fill(run: &mut Run, fleet: &mut Fleet, soak: &Soak) -> Result<(), String> {
    let total = u64::from(soak.persons) * u64::from(soak.records);
    run.begin("records are filled", total);
    let (mut sent, mut written, mut news) = (0, 0, Vec::new());
    while written < total {
        while sent < total && sent - written < 512 {
            let person = (sent % u64::from(soak.persons)) as u32;
            let key = format!("k{}", sent / u64::from(soak.persons));
            fleet.put(person * soak.devices_per_person, &key, value(&mut run.chance, soak.value_bytes));
            sent += 1;
        }
        fleet.turn(TURN, &mut news)?;
        for one in news.drain(..) {
            match one.what {
                What::Says(ServerMessage::Written { .. }) => written += 1,
                What::Says(ServerMessage::Changes { .. }) => {}
                other => return Err(format!("device {} while records are filled: {other:?}", one.device)),
            }
        }
        run.progress(written);
    }
    Ok(())
}

/// What was done so far.
#[derive(Default)]
struct Work {
    written: u64,
    returns: u64,
    silent: u64,
    times: Times,
    /// Writes without an answer, by device and number. As an app's, they wait for its next session, and go out again.
    unanswered: BTreeMap<(u32, u64), Unanswered>,
}

struct Unanswered {
    due: Instant,
    /// When it went out in the present session of its device.
    sent: Option<Instant>,
    /// Its device was away meanwhile.
    waited: bool,
    changes: Vec<Change>,
}

impl Work {
    fn go_on(&mut self, run: &mut Run, fleet: &mut Fleet, soak: &Soak, time: Duration) -> Result<(), String> {
        run.begin("writes, and devices that go and come", time.as_secs());
        let (began, mut news) = (Instant::now(), Vec::new());
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
            fleet.turn(Duration::from_millis(2), &mut news)?;
            for one in news.drain(..) {
                match one.what {
                    What::Says(ServerMessage::Written { id, .. }) => {
                        if let Some(write) = self.unanswered.remove(&(one.device, id)) {
                            if !write.waited {
                                self.times.add(one.at.saturating_duration_since(write.due));
                            }
                            self.silent += u64::from(write.is_late(one.at));
                            self.written += 1;
                            run.watch.done(1);
                        }
                    }
                    What::Says(ServerMessage::Changes { .. }) => {}
                    What::Says(other) => return Err(format!("device {} was told {other:?}", one.device)),
                    What::Open { .. } => {
                        self.returns += 1;
                        for ((device, id), write) in self.unanswered.range_mut((one.device, 0)..(one.device + 1, 0)) {
                            write.sent = Some(one.at);
                            fleet.send(*device, *id, write.changes.clone());
                        }
                    }
                    What::Ended { code } => return Err(format!("the socket of device {} ended with {code:?}", one.device)),
                }
            }
            run.watch.open(fleet.open());
            run.progress(began.elapsed().as_secs());
        }
        Ok(())
    }

    /// Some device writes, whether it is there or not.
    fn write(&mut self, run: &mut Run, fleet: &mut Fleet, soak: &Soak, due: Instant) {
        let device = run.chance.u32(..fleet.size());
        let key = format!("k{}", run.chance.u32(..soak.records));
        let changes = vec![change(&key, value(&mut run.chance, soak.value_bytes))];
        let id = fleet.number(device);
        let sent = fleet.is_open(device).then(Instant::now);
        if sent.is_some() {
            fleet.send(device, id, changes.clone());
        }
        self.unanswered.insert((device, id), Unanswered { due, sent, waited: sent.is_none(), changes });
    }

    /// A device loses its socket, and comes back at once.
    fn cut_off(&mut self, run: &mut Run, fleet: &mut Fleet) {
        let device = run.chance.u32(..fleet.size());
        if !fleet.is_open(device) {
            return;
        }
        fleet.dismiss(device);
        fleet.summon(device);
        for (_, write) in self.unanswered.range_mut((device, 0)..(device + 1, 0)) {
            self.silent += u64::from(write.is_late(Instant::now()));
            (write.sent, write.waited) = (None, true);
        }
    }
}

impl Unanswered {
    fn is_late(&self, now: Instant) -> bool {
        self.sent.is_some_and(|sent| now.saturating_duration_since(sent) > SILENCE)
    }
}
