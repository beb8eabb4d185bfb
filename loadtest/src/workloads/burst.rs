//! One write for very many devices of one person: deliveries per second, compared with a bare server that sends the same bytes to as many
//! sockets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftless_protocol::{DatasetName, ServerMessage};

use crate::bare_server;
use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEventKind};
use crate::latency::Latencies;
use crate::scenario::Burst;

/// The server and the bare server are measured in turns.
const TURNS: u32 = 4;

pub fn execute(run: &mut TestRun, burst: &Burst) -> Result<(), String> {
    run.report.rate_of = "deliveries";
    let mut fleet = run.fleet("burst", burst.devices + 1, burst.devices + 1)?;
    run.connect_all(&mut fleet)?;
    let bare = BareServerProcess::start(burst.value_bytes)?;
    let mut bare_fleet = run.fleet_with("bare", burst.devices + 1, burst.devices + 1, |config| {
        config.to = bare.address;
        config.acknowledges = false;
        config.dataset = DatasetName::new(bare_server::DATASET).unwrap_or_else(|_| unreachable!("it is a name"));
    })?;
    run.connect_all(&mut bare_fleet)?;
    run.start_phase("bursts", u64::from(burst.rounds));
    let (mut own, mut other) = (BurstResults::default(), BurstResults::default());
    let mut cpu = Duration::ZERO;
    for turn in 0..TURNS {
        let before = run.server_cpu();
        own.rounds(run, &mut fleet, burst, burst.rounds / TURNS)?;
        cpu += run.server_cpu() - before;
        other.rounds(run, &mut bare_fleet, burst, burst.rounds / TURNS)?;
        run.progress(u64::from((turn + 1) * burst.rounds / TURNS));
    }
    let report = &mut run.report;
    report.figure("deliveries_per_s", own.rate(), "1/s", "from the first device of a burst to the last");
    report.figure("floor_deliveries_per_s", other.rate(), "1/s", "of the bare server, measured in turns");
    report.figure("floor_share", 100.0 * own.rate() / other.rate(), "%", "of the bare server's rate");
    report.figure("whole_deliveries_per_s", own.whole_rate(), "1/s", "from the write to the last device, the flush included");
    report.figure("floor_whole_deliveries_per_s", other.whole_rate(), "1/s", "of the bare server, which does not flush");
    report.figure(
        "delivery_cpu_us",
        cpu.as_secs_f64() * 1e6 / own.deliveries as f64,
        "us",
        "the server's CPU per delivery, acknowledgements included",
    );
    report.latencies("last", "from a write to the last device", own.last);
    report.latencies("floor_last", "the same for the bare server", other.last);
    Ok(())
}

/// The bursts of one server.
#[derive(Default)]
struct BurstResults {
    deliveries: u64,
    spread: Duration,
    whole: Duration,
    last: Latencies,
}

impl BurstResults {
    fn rounds(&mut self, run: &mut TestRun, fleet: &mut Fleet, burst: &Burst, rounds: u32) -> Result<(), String> {
        let mut events = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            fleet.put(0, "theme", value(&mut run.rng, burst.value_bytes));
            let (mut left, mut written, mut first) = (u64::from(burst.devices), false, None);
            let mut latest = start;
            while left > 0 || !written {
                fleet.poll_events(POLL_WAIT, &mut events)?;
                for event in events.drain(..) {
                    match event.kind {
                        FleetEventKind::Received(ServerMessage::Changes { .. }) => {
                            first.get_or_insert(event.at);
                            latest = event.at;
                            left = left.saturating_sub(1);
                        }
                        FleetEventKind::Received(ServerMessage::Written { .. }) => written = true,
                        other => return Err(format!("unexpected event at device {} in a burst: {other:?}", event.device)),
                    }
                }
                if start.elapsed() > Duration::from_secs(60) {
                    return Err(format!("{left} devices did not get a write within a minute"));
                }
            }
            self.deliveries += u64::from(burst.devices);
            self.spread += latest.saturating_duration_since(first.unwrap_or(start));
            self.whole += latest.saturating_duration_since(start);
            self.last.record(latest.saturating_duration_since(start));
            run.sampler.add_done(u64::from(burst.devices));
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.deliveries as f64 / self.spread.as_secs_f64()
    }

    fn whole_rate(&self) -> f64 {
        self.deliveries as f64 / self.whole.as_secs_f64()
    }
}

/// The bare server, as a process of its own.
struct BareServerProcess {
    child: Child,
    address: std::net::SocketAddr,
}

impl BareServerProcess {
    fn start(value_bytes: usize) -> Result<BareServerProcess, String> {
        let fail = |error: std::io::Error| format!("cannot start the bare server: {error}");
        let own = std::env::current_exe().map_err(fail)?;
        let mut child = Command::new(own)
            .args(["bare-server", &value_bytes.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the bare server has no output")?).read_line(&mut line).map_err(fail)?;
        let address = line.trim().parse().map_err(|_| "the bare server did not print its address")?;
        Ok(BareServerProcess { child, address })
    }
}

impl Drop for BareServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
