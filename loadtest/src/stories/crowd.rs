//! The house without its sockets: sessions whose devices are scripts in this same process, so that no limit of open files ends them.
//!
//! Everything but the socket is the server's own: the door, the store on disk, the hub, the wheel of deadlines, the session's task. A script
//! says hello, opens a dataset, and says something once a heartbeat; what it is told it drops. A real socket adds its registration with
//! the runtime, which `idle` measures with what else it costs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use driftless::auth::Verifier;
use driftless::clock::Clock;
use driftless::committer::{Committer, Reader};
use driftless::config::ServerConfig;
use driftless::hub::Hub;
use driftless::identity::Identities;
use driftless::metrics::Metrics;
use driftless::push::PushService;
use driftless::session::{Authenticator, Sessions, TimerWheel};
use driftless::store::Store;
use driftless::sync::SyncService;
use driftless_protocol::{ClientMessage, Codec, DatasetName, DeviceId, Epoch};
use futures_util::task::AtomicWaker;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use crate::machine::Process;
use crate::run::Run;
use crate::scenario::Crowd;
use crate::server::{self, Signer};
use crate::wire;

/// After this long sessions have given back what they borrowed.
const SETTLE: Duration = Duration::from_secs(15);

/// Devices that may be on their way in at once.
const ARRIVING: usize = 1024;

pub fn tell(run: &mut Run, crowd: &Crowd) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    let house = House::new(run, &runtime)?;
    house.people(run, crowd, &runtime)?;
    std::thread::sleep(SETTLE);
    let lines: Arc<[Line]> = (0..crowd.sessions).map(|_| Line::default()).collect();
    let before = Process::own().resident();
    let (began, cpu) = (Instant::now(), Process::own().cpu());
    house.arrive(run, crowd, &runtime, &lines)?;
    let (took, coming_in) = (began.elapsed(), Process::own().cpu() - cpu);
    let beating = runtime.spawn(beat(Arc::clone(&lines), house.heartbeat_s));
    std::thread::sleep(SETTLE);
    run.begin("sessions are watched", crowd.watch_s);
    let (cpu, beats) = (Process::own().cpu(), heard(&lines));
    for second in 0..crowd.watch_s {
        std::thread::sleep(Duration::from_secs(1));
        run.progress(second + 1);
    }
    let spent = Process::own().cpu() - cpu;
    let beats = heard(&lines) - beats;
    let grown = Process::own().resident().saturating_sub(before);
    let sessions = f64::from(crowd.sessions);
    let report = &mut run.report;
    report.figure("sessions", house.metrics.open_sessions() as f64, "sessions", "authenticated, with a dataset open, at the end");
    report.figure("kib_per_session", grown as f64 / 1024.0 / sessions, "KiB", "resident memory that the sessions added, without sockets");
    report.figure(
        "whole_kib_per_session",
        Process::own().resident() as f64 / 1024.0 / sessions,
        "KiB",
        "all of this process, store, cache and scripts included",
    );
    report.figure(
        "idle_cpu_percent",
        100.0 * spent.as_secs_f64() / crowd.watch_s as f64,
        "% of a core",
        "while nothing but heartbeats happens",
    );
    report.figure("heartbeats_per_s", beats as f64 / crowd.watch_s as f64, "1/s", &format!("each device's every {} s", house.heartbeat_s));
    report.figure("heartbeat_cpu_us", spent.as_secs_f64() * 1e6 / beats.max(1) as f64, "us", "CPU for each, with all else that happens");
    report.figure("opened_per_s", sessions / took.as_secs_f64(), "1/s", "sessions that came in");
    report.figure("open_cpu_us", coming_in.as_secs_f64() * 1e6 / sessions, "us", "CPU for each");
    beating.abort();
    Ok(())
}

/// As `app` puts a server together, without its port.
struct House {
    door: Authenticator,
    sessions: Sessions,
    metrics: Metrics,
    signer: Signer,
    heartbeat_s: u32,
}

impl House {
    fn new(run: &Run, runtime: &Runtime) -> Result<House, String> {
        let fail = |error: &dyn std::fmt::Display| error.to_string();
        let _inside = runtime.enter();
        let (clock, hub, wheel, metrics) = (Clock::start(), Hub::default(), TimerWheel::default(), Metrics::default());
        let signer = Signer::own();
        let config =
            ServerConfig::deserialize(server::settings(&run.folder.join("store"), &signer, &run.settings)).map_err(|error| fail(&error))?;
        let verifier = Verifier::new(config.issuers()).map_err(|error| fail(&error))?;
        let epoch = Epoch::new("crowd").map_err(|error| fail(&error))?;
        let store = Store::open(&config.data, &config.store(), &epoch).map_err(|error| fail(&error))?;
        let started = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock);
        let (committer, _) = started.map_err(|error| fail(&error))?;
        let reader = Reader::start(store, committer.gate().clone()).map_err(|error| fail(&error))?;
        let door = Authenticator::new(verifier, Identities::new(reader.clone(), committer.clone()), config.pools(), clock);
        let sync = SyncService::new(reader, committer, PushService::default(), clock);
        let heartbeat_s = config.session().heartbeat_s;
        let sessions = Sessions::new(door.clone(), sync, hub, wheel.clone(), metrics.clone(), config.session());
        runtime.spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(1));
            loop {
                turns.tick().await;
                wheel.advance(clock.elapsed_ms());
            }
        });
        Ok(House { door, sessions, metrics, signer, heartbeat_s })
    }

    /// All sign in, so that what a person costs in the store is there before.
    fn people(&self, run: &mut Run, crowd: &Crowd, runtime: &Runtime) -> Result<(), String> {
        run.begin("people are made", u64::from(crowd.sessions));
        let (next, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let end = u64::from(crowd.sessions);
        let makers: Vec<_> = (0..ARRIVING)
            .map(|_| {
                let (door, signer, next, failed) = (self.door.clone(), self.signer.clone(), Arc::clone(&next), Arc::clone(&failed));
                runtime.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            return;
                        }
                        let token = signer.mint(&format!("crowd-{number}"));
                        let entered = Box::pin(door.authenticate(&token, device())).await;
                        failed.fetch_or(entered.is_err(), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while makers.iter().any(|maker| !maker.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            run.progress(next.load(Ordering::Relaxed).min(end));
        }
        if failed.load(Ordering::Relaxed) { Err("somebody could not sign in".to_owned()) } else { Ok(()) }
    }

    fn arrive(&self, run: &mut Run, crowd: &Crowd, runtime: &Runtime, lines: &Arc<[Line]>) -> Result<(), String> {
        run.begin("sessions come in", u64::from(crowd.sessions));
        let (mut spawned, mut done) = (0, 0);
        while done < crowd.sessions {
            while spawned < crowd.sessions && spawned - done < ARRIVING as u32 {
                let token = self.signer.mint(&format!("crowd-{spawned}"));
                let script = Script { lines: Arc::clone(lines), number: spawned, says: Some(first_words(token)), opens: true };
                let sessions = self.sessions.clone();
                runtime.spawn(async move {
                    if let Some(session) = Box::pin(sessions.open(script, Codec::MsgPack)).await {
                        session.run().await;
                    }
                });
                spawned += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
            // Up to here all are in.
            while done < spawned && lines[done as usize].opened.load(Ordering::Relaxed) {
                done += 1;
            }
            run.progress(u64::from(done));
            run.watch.open(done as usize);
        }
        Ok(())
    }
}

/// What a script and its session have in common.
#[derive(Default)]
struct Line {
    bell: AtomicWaker,
    beats: AtomicU64,
    due: AtomicBool,
    opened: AtomicBool,
}

/// A device without a socket.
struct Script {
    lines: Arc<[Line]>,
    number: u32,
    says: Option<Vec<u8>>,
    opens: bool,
}

impl Script {
    fn line(&self) -> &Line {
        &self.lines[self.number as usize]
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.says.is_none() {
            self.line().bell.register(context.waker());
            if !self.line().due.swap(false, Ordering::AcqRel) {
                return Poll::Pending;
            }
            self.line().beats.fetch_add(1, Ordering::Relaxed);
            self.says = Some(said(&ClientMessage::Ping));
        }
        let says = self.says.take().unwrap_or_default();
        let taken = says.len().min(buffer.remaining());
        buffer.put_slice(&says[..taken]);
        if taken < says.len() {
            self.says = Some(says[taken..].to_vec());
        } else if std::mem::take(&mut self.opens) {
            let dataset = DatasetName::new("settings").unwrap_or_else(|_| unreachable!("it is a name"));
            self.says = Some(said(&ClientMessage::Open { dataset, position: None }));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The welcome comes before it has opened anything; what comes then is the dataset.
        if !self.opens && self.says.is_none() {
            self.line().opened.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn device() -> DeviceId {
    DeviceId::new("phone").unwrap_or_else(|_| unreachable!("it is a name"))
}

fn first_words(token: String) -> Vec<u8> {
    said(&ClientMessage::Hello { token, device: device(), client: "driftless-loadtest".to_owned() })
}

fn said(message: &ClientMessage) -> Vec<u8> {
    let mut framed = Vec::new();
    wire::frame(wire::BINARY, &Codec::MsgPack.encode(message), &mut framed);
    framed
}

fn heard(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.beats.load(Ordering::Relaxed)).sum()
}

/// Every device says something once a heartbeat, each at its own moment of it.
async fn beat(lines: Arc<[Line]>, heartbeat_s: u32) {
    let (mut ticks, mut number) = (tokio::time::interval(Duration::from_millis(10)), 0);
    let each = lines.len() as f64 / f64::from(heartbeat_s) / 100.0;
    let mut due = 0.0;
    loop {
        ticks.tick().await;
        due += each;
        while due >= 1.0 {
            due -= 1.0;
            lines[number].due.store(true, Ordering::Release);
            lines[number].bell.wake();
            number = (number + 1) % lines.len();
        }
    }
}
