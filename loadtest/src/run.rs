//! What every story has at hand: the server, a folder, chance, somebody who watches, and the report that it fills.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftless_protocol::{Codec, DatasetName, Value};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use toml::Table;

use crate::fleet::{Fleet, News, Plan, What};
use crate::machine::{self, Process};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::server::Server;
use crate::stories::Gateways;
use crate::times::Times;
use crate::watch::Watch;

/// How long a turn of the poll may last when nothing happens.
pub const TURN: Duration = Duration::from_millis(50);

/// How long nothing may happen before a story is given up.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Run {
    pub server: Server,
    pub folder: PathBuf,
    pub seed: u64,
    /// Repeatable: the same seed makes the same run, as far as the machine lets it.
    pub chance: Rng,
    pub watch: Watch,
    pub report: Report,
    pub gateways: Gateways,
    /// What the scenario changes of a server's settings.
    pub settings: Table,
    bar: ProgressBar,
}

impl Run {
    pub fn new(name: &str, scenario: &Scenario, server: Server, gateways: Gateways, folder: &Path) -> Result<Run, String> {
        let watch = Watch::start(server.process());
        let report = Report::new(name, &scenario.says, scenario.seed);
        let chance = Rng::with_seed(scenario.seed);
        Ok(Run {
            server,
            folder: folder.to_owned(),
            seed: scenario.seed,
            chance,
            watch,
            report,
            gateways,
            settings: scenario.server.clone(),
            bar: ProgressBar::hidden(),
        })
    }

    /// The run is over.
    pub fn finish(mut self) -> Report {
        self.report.samples = self.watch.samples();
        self.bar.finish_and_clear();
        self.report
    }

    /// Devices of this many persons, as most stories want them.
    pub fn fleet(&self, crowd: &str, devices: u32, devices_per_person: u32) -> Result<Fleet, String> {
        self.fleet_with(crowd, devices, devices_per_person, |_| {})
    }

    /// The same, with something changed.
    pub fn fleet_with(&self, crowd: &str, devices: u32, devices_per_person: u32, change: impl FnOnce(&mut Plan)) -> Result<Fleet, String> {
        machine::has_room_for(devices)?;
        let (signer, crowd) = (self.server.signer.clone(), crowd.to_owned());
        let mut plan = Plan {
            to: self.server.address,
            codec: Codec::MsgPack,
            devices,
            devices_per_person,
            dataset: DatasetName::new("settings").map_err(|error| error.to_string())?,
            mint: Box::new(move |person| signer.mint(&format!("{crowd}-{person}"))),
            returns: false,
            acknowledges: true,
            seed: self.seed,
        };
        change(&mut plan);
        Fleet::new(plan).map_err(|error| format!("the system has no room for a fleet: {error}"))
    }

    /// Shows how far something is. For a log, too: then it says so now and then.
    pub fn begin(&mut self, says: &'static str, total: u64) {
        self.bar.finish_and_clear();
        let style =
            ProgressStyle::with_template("{msg:<34} {bar:40} {pos}/{len} {per_sec} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::new(total).with_style(style).with_message(says);
        if self.bar.is_hidden() {
            eprintln!("{says}");
        }
    }

    pub fn progress(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Waits so long, with the fleet's heartbeats, acknowledgements and returns.
    pub fn rest(&mut self, says: &'static str, fleet: &mut Fleet, time: Duration, mut hear: impl FnMut(News)) -> Result<(), String> {
        self.begin(says, time.as_secs());
        let (began, mut news) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            fleet.turn(TURN.min(time.saturating_sub(began.elapsed())), &mut news)?;
            news.drain(..).for_each(&mut hear);
            self.watch.open(fleet.open());
            self.progress(began.elapsed().as_secs());
        }
        Ok(())
    }

    /// Has all devices come in; how long each took, from its first packet until it had its dataset, and how many came a second.
    pub fn open_all(&mut self, fleet: &mut Fleet) -> Result<(Times, f64), String> {
        self.open_some(fleet, 0..fleet.size())
    }

    /// The same of some devices, of a fleet that is away.
    pub fn open_some(&mut self, fleet: &mut Fleet, devices: impl ExactSizeIterator<Item = u32>) -> Result<(Times, f64), String> {
        let count = devices.len();
        self.begin("devices come in", count as u64);
        devices.for_each(|device| fleet.summon(device));
        let (began, mut last, mut times, mut news) = (Instant::now(), Instant::now(), Times::default(), Vec::new());
        while fleet.open() < count {
            fleet.turn(TURN, &mut news)?;
            for one in news.drain(..) {
                match one.what {
                    What::Open { took } => {
                        times.add(took);
                        last = one.at;
                    }
                    What::Ended { code } => return Err(format!("device {} was turned away on its way in, with code {code:?}", one.device)),
                    What::Says(message) => return Err(format!("device {} was told {message:?} on its way in", one.device)),
                }
            }
            if last.elapsed() > PATIENCE {
                return Err(format!("{} of {count} devices came in, then none for a minute", fleet.open()));
            }
            self.watch.open(fleet.open());
            self.progress(fleet.open() as u64);
        }
        Ok((times, count as f64 / began.elapsed().as_secs_f64()))
    }

    /// CPU time of the server so far.
    pub fn server_cpu(&self) -> Duration {
        self.server.process().map_or(Duration::ZERO, Process::cpu)
    }

    /// The server's resident memory, in bytes.
    pub fn server_memory(&self) -> u64 {
        self.server.process().map_or(0, Process::resident)
    }
}

/// A text of so many bytes, different each time.
pub fn value(chance: &mut Rng, bytes: usize) -> Value {
    let mut text = format!("{:016x}", chance.u64(..));
    text.truncate(bytes);
    text.extend(std::iter::repeat_n('x', bytes - text.len()));
    Value::Text(text)
}

/// When each version of a dataset should have been written, until all who are to have it have it.
#[derive(Debug, Default)]
pub struct Versions {
    first: u64,
    due: VecDeque<(Instant, u32)>,
}

impl Versions {
    /// Of a dataset that has this version now.
    pub fn after(version: u64) -> Versions {
        Versions { first: version + 1, due: VecDeque::new() }
    }

    /// The next version is due at this moment, and so many others are to have it.
    pub fn write(&mut self, due: Instant, readers: u32) {
        self.due.push_back((due, readers));
    }

    /// Somebody has what came after one version up to another; how long each took.
    pub fn arrive(&mut self, from: u64, to: u64, at: Instant, mut took: impl FnMut(Duration)) {
        for version in from + 1..=to {
            let place = version.checked_sub(self.first).and_then(|place| self.due.get_mut(usize::try_from(place).ok()?));
            if let Some((due, readers)) = place {
                took(at.saturating_duration_since(*due));
                *readers = readers.saturating_sub(1);
            }
        }
        while self.due.front().is_some_and(|(_, readers)| *readers == 0) {
            self.due.pop_front();
            self.first += 1;
        }
    }

    /// The newest version that is due.
    pub fn newest(&self) -> u64 {
        self.first + self.due.len() as u64 - 1
    }

    /// Versions that somebody still waits for.
    pub fn waiting(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_counts_once_for_each_version() {
        let (mut versions, begun) = (Versions::after(7), Instant::now());
        let at = |ms: u64| begun + Duration::from_millis(ms);
        versions.write(at(0), 2);
        versions.write(at(10), 2);
        let mut took = Vec::new();
        versions.arrive(7, 8, at(3), |time| took.push(time.as_millis()));
        versions.arrive(7, 9, at(20), |time| took.push(time.as_millis()));
        assert_eq!((took.as_slice(), versions.waiting()), ([3, 20, 10].as_slice(), 1));
        versions.arrive(8, 9, at(21), |time| took.push(time.as_millis()));
        assert_eq!((took.last(), versions.waiting()), (Some(&11), 0));
    }
}
