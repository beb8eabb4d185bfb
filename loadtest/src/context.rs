//! What every workload uses: the server under test, a folder, random numbers, the sampler and the report that it fills.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftless_protocol::{Codec, DatasetName, Value};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use toml::Table;

use crate::fleet::{Fleet, FleetConfig, FleetEvent, FleetEventKind};
use crate::latency::Latencies;
use crate::machine::{self, Process};
use crate::push_gateway::ScenarioGateway;
use crate::report::Report;
use crate::sampler::Sampler;
use crate::scenario::Scenario;
use crate::server::ServerUnderTest;

/// The longest wait of one poll.
pub const POLL_WAIT: Duration = Duration::from_millis(50);

/// How long no device may connect before the workload is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

pub struct TestRun {
    pub server: ServerUnderTest,
    pub folder: PathBuf,
    pub seed: u64,
    /// Seeded: the same seed repeats the run, as far as the machine's timing allows.
    pub rng: Rng,
    pub sampler: Sampler,
    pub report: Report,
    pub gateway: ScenarioGateway,
    /// The scenario's changes to the server's settings.
    pub settings: Table,
    bar: ProgressBar,
}

impl TestRun {
    pub fn new(name: &str, scenario: &Scenario, server: ServerUnderTest, gateway: ScenarioGateway, folder: &Path) -> TestRun {
        TestRun {
            sampler: Sampler::start(server.process()),
            report: Report::new(name, &scenario.says, scenario.seed),
            rng: Rng::with_seed(scenario.seed),
            server,
            folder: folder.to_owned(),
            seed: scenario.seed,
            gateway,
            settings: scenario.server.clone(),
            bar: ProgressBar::hidden(),
        }
    }

    pub fn finish(mut self) -> Report {
        self.report.samples = self.sampler.samples();
        self.bar.finish_and_clear();
        self.report
    }

    /// A fleet with the usual configuration. Its people are named `PREFIX-NUMBER`.
    pub fn fleet(&self, prefix: &str, devices: u32, devices_per_person: u32) -> Result<Fleet, String> {
        self.fleet_with(prefix, devices, devices_per_person, |_| {})
    }

    /// A fleet whose configuration `change` changes.
    pub fn fleet_with(
        &self,
        prefix: &str,
        devices: u32,
        devices_per_person: u32,
        change: impl FnOnce(&mut FleetConfig),
    ) -> Result<Fleet, String> {
        machine::check_file_limit(devices)?;
        let (signer, prefix) = (self.server.signer.clone(), prefix.to_owned());
        let mut config = FleetConfig {
            to: self.server.address,
            codec: Codec::MsgPack,
            devices,
            devices_per_person,
            dataset: DatasetName::new("settings").map_err(|error| error.to_string())?,
            sign: Box::new(move |person| signer.sign(&format!("{prefix}-{person}"))),
            reconnects: false,
            acknowledges: true,
            seed: self.seed,
        };
        change(&mut config);
        Fleet::new(config).map_err(|error| format!("cannot create the fleet: {error}"))
    }

    /// Shows a new progress bar, or prints a line if standard error is not a terminal.
    pub fn start_phase(&mut self, title: &'static str, total: u64) {
        self.bar.finish_and_clear();
        let style =
            ProgressStyle::with_template("{msg:<34} {bar:40} {pos}/{len} {per_sec} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::new(total).with_style(style).with_message(title);
        if self.bar.is_hidden() {
            eprintln!("{title}");
        }
    }

    pub fn progress(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Lets the fleet run for a time: it sends heartbeats and acknowledgements, and reconnects.
    pub fn idle(
        &mut self,
        title: &'static str,
        fleet: &mut Fleet,
        time: Duration,
        mut handle: impl FnMut(FleetEvent),
    ) -> Result<(), String> {
        self.start_phase(title, time.as_secs());
        let (began, mut events) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            fleet.poll_events(POLL_WAIT.min(time.saturating_sub(began.elapsed())), &mut events)?;
            events.drain(..).for_each(&mut handle);
            self.sampler.set_open_sessions(fleet.open());
            self.progress(began.elapsed().as_secs());
        }
        Ok(())
    }

    /// Connects all devices. Returns the time of each, from its first packet to its whole dataset, and the devices per second.
    pub fn connect_all(&mut self, fleet: &mut Fleet) -> Result<(Latencies, f64), String> {
        self.connect_devices(fleet, 0..fleet.size())
    }

    /// Connects some devices of a fleet whose devices are all disconnected. Returns the same as [`TestRun::connect_all`].
    pub fn connect_devices(&mut self, fleet: &mut Fleet, devices: impl ExactSizeIterator<Item = u32>) -> Result<(Latencies, f64), String> {
        let count = devices.len();
        self.start_phase("connecting devices", count as u64);
        devices.for_each(|device| fleet.connect(device));
        let (began, mut last, mut latencies, mut events) = (Instant::now(), Instant::now(), Latencies::default(), Vec::new());
        while fleet.open() < count {
            fleet.poll_events(POLL_WAIT, &mut events)?;
            for event in events.drain(..) {
                match event.kind {
                    FleetEventKind::Open { took } => {
                        latencies.record(took);
                        last = event.at;
                    }
                    FleetEventKind::Ended { code } => {
                        return Err(format!("the socket of device {} ended while it connected, code {code:?}", event.device));
                    }
                    FleetEventKind::Received(message) => {
                        return Err(format!("device {} received {message:?} while it connected", event.device));
                    }
                }
            }
            if last.elapsed() > CONNECT_TIMEOUT {
                return Err(format!("{} of {count} devices connected, then none for a minute", fleet.open()));
            }
            self.sampler.set_open_sessions(fleet.open());
            self.progress(fleet.open() as u64);
        }
        Ok((latencies, count as f64 / began.elapsed().as_secs_f64()))
    }

    /// The server's CPU time so far.
    pub fn server_cpu(&self) -> Duration {
        self.server.process().map_or(Duration::ZERO, Process::cpu)
    }

    /// The server's resident memory, in bytes.
    pub fn server_memory_bytes(&self) -> u64 {
        self.server.process().map_or(0, Process::resident_bytes)
    }
}

/// A random text of this length.
pub fn value(rng: &mut Rng, bytes: usize) -> Value {
    let mut text = format!("{:016x}", rng.u64(..));
    text.truncate(bytes);
    text.extend(std::iter::repeat_n('x', bytes - text.len()));
    Value::from(text)
}
