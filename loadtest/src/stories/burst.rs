//! One write for very many devices of one person: deliveries a second, beside a bare program that writes the same bytes to as many sockets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftless_protocol::{DatasetName, ServerMessage};

use crate::fleet::{Fleet, What};
use crate::floor;
use crate::run::{Run, TURN, value};
use crate::scenario::Burst;
use crate::times::Times;

/// Turns in which the server and the bare program are measured one after the other.
const TURNS: u32 = 4;

pub fn tell(run: &mut Run, burst: &Burst) -> Result<(), String> {
    run.report.rate_says = "deliveries";
    let mut fleet = run.fleet("burst", burst.devices + 1, burst.devices + 1)?;
    run.open_all(&mut fleet)?;
    let bare = Bare::start(burst.value_bytes)?;
    let mut floor = run.fleet_with("floor", burst.devices + 1, burst.devices + 1, |plan| {
        plan.to = bare.address;
        plan.acknowledges = false;
        plan.dataset = DatasetName::new(floor::DATASET).unwrap_or_else(|_| unreachable!("it is a name"));
    })?;
    run.open_all(&mut floor)?;
    run.begin("bursts", u64::from(burst.rounds));
    let (mut own, mut other) = (Waves::default(), Waves::default());
    let mut cpu = Duration::ZERO;
    for turn in 0..TURNS {
        let before = run.server_cpu();
        own.rounds(run, &mut fleet, burst, burst.rounds / TURNS)?;
        cpu += run.server_cpu() - before;
        other.rounds(run, &mut floor, burst, burst.rounds / TURNS)?;
        run.progress(u64::from((turn + 1) * burst.rounds / TURNS));
    }
    let report = &mut run.report;
    report.figure("deliveries_per_s", own.rate(), "1/s", "from the first device of a burst to the last");
    report.figure("floor_deliveries_per_s", other.rate(), "1/s", "of the bare program, in turns");
    report.figure("floor_share", 100.0 * own.rate() / other.rate(), "%", "of the bare program's");
    report.figure("whole_deliveries_per_s", own.whole_rate(), "1/s", "from the write to the last device, with its flush");
    report.figure("floor_whole_deliveries_per_s", other.whole_rate(), "1/s", "of the bare program, which flushes nothing");
    report.figure(
        "delivery_cpu_us",
        cpu.as_secs_f64() * 1e6 / own.deliveries as f64,
        "us",
        "the server's CPU for each, with acknowledgements",
    );
    report.times("last", "from a write to the last of its devices", own.last);
    report.times("floor_last", "the same of the bare program", other.last);
    Ok(())
}

/// Bursts of one server.
#[derive(Default)]
struct Waves {
    deliveries: u64,
    spread: Duration,
    whole: Duration,
    last: Times,
}

impl Waves {
    fn rounds(&mut self, run: &mut Run, fleet: &mut Fleet, burst: &Burst, rounds: u32) -> Result<(), String> {
        let mut news = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            fleet.put(0, "theme", value(&mut run.chance, burst.value_bytes));
            let (mut left, mut written, mut first) = (u64::from(burst.devices), false, None);
            let mut latest = start;
            while left > 0 || !written {
                fleet.turn(TURN, &mut news)?;
                for one in news.drain(..) {
                    match one.what {
                        What::Says(ServerMessage::Changes { .. }) => {
                            first.get_or_insert(one.at);
                            latest = one.at;
                            left = left.saturating_sub(1);
                        }
                        What::Says(ServerMessage::Written { .. }) => written = true,
                        other => return Err(format!("device {} in a burst: {other:?}", one.device)),
                    }
                }
                if start.elapsed() > Duration::from_secs(60) {
                    return Err(format!("{left} devices did not get a write within a minute"));
                }
            }
            self.deliveries += u64::from(burst.devices);
            self.spread += latest.saturating_duration_since(first.unwrap_or(start));
            self.whole += latest.saturating_duration_since(start);
            self.last.add(latest.saturating_duration_since(start));
            run.watch.done(u64::from(burst.devices));
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

/// The bare program, as a process of its own.
struct Bare {
    child: Child,
    address: std::net::SocketAddr,
}

impl Bare {
    fn start(value_bytes: usize) -> Result<Bare, String> {
        let fail = |error: std::io::Error| format!("the bare program cannot be started: {error}");
        let own = std::env::current_exe().map_err(fail)?;
        let mut child = Command::new(own)
            .args(["floor", &value_bytes.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it says nothing")?).read_line(&mut line).map_err(fail)?;
        let address = line.trim().parse().map_err(|_| "the bare program did not say where it is")?;
        Ok(Bare { child, address })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
