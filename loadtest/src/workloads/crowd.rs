//! The server's sessions without sockets: the devices are scripts in the same process, so that the limit of open files does not apply.
//!
//! Everything but the socket is the server's own: authentication, the store on disk, the hub, the timer wheel, the session's task.
//! A scripted device sends its hello, opens a dataset and sends heartbeats; it drops what it receives. A real socket also costs its
//! registration with the runtime, which `idle` measures.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use driftless::auth::Verifier;
use driftless::clock::{Clock, RunningClock};
use driftless::committer::{Committer, Reader};
use driftless::config::ServerConfig;
use driftless::hub::Hub;
use driftless::identity::Identities;
use driftless::metrics::Metrics;
use driftless::pools::Pools;
use driftless::push::PushService;
use driftless::session::{Authenticator, RequestSource, Sessions, SignInPurpose, TimerWheel};
use driftless::store::Store;
use driftless::sync::SyncService;
use driftless_protocol::{ClientMessage, Codec, DatasetName, DeviceId, Epoch};
use futures_util::task::AtomicWaker;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

use crate::context::TestRun;
use crate::machine::Process;
use crate::scenario::Crowd;
use crate::server::{self, TokenSigner};
use crate::websocket;

/// Within this time, sessions have freed their buffers.
const SETTLE: Duration = Duration::from_secs(15);

/// Devices that may be connecting at once.
const MAX_CONNECTING: usize = 1024;

pub fn execute(run: &mut TestRun, crowd: &Crowd) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    let server = SocketlessServer::new(run, &runtime)?;
    server.sign_in_all(run, crowd, &runtime)?;
    std::thread::sleep(SETTLE);
    let states: Arc<[ScriptedDeviceState]> = (0..crowd.sessions).map(|_| ScriptedDeviceState::default()).collect();
    let before = Process::own().resident_bytes();
    let (began, cpu) = (Instant::now(), Process::own().cpu());
    server.open_sessions(run, crowd, &runtime, &states)?;
    let (took, connect_cpu) = (began.elapsed(), Process::own().cpu() - cpu);
    let heartbeats = runtime.spawn(send_heartbeats(Arc::clone(&states), server.heartbeat_s));
    std::thread::sleep(SETTLE);
    run.start_phase("measuring idle sessions", crowd.watch_s);
    let (cpu, pings) = (Process::own().cpu(), count_pings(&states));
    for second in 0..crowd.watch_s {
        std::thread::sleep(Duration::from_secs(1));
        run.progress(second + 1);
    }
    let spent = Process::own().cpu() - cpu;
    let pings = count_pings(&states) - pings;
    let grown = Process::own().resident_bytes().saturating_sub(before);
    let sessions = f64::from(crowd.sessions);
    let report = &mut run.report;
    report.figure("sessions", server.metrics.open_sessions() as f64, "sessions", "authenticated and with an open dataset, at the end");
    report.figure("kib_per_session", grown as f64 / 1024.0 / sessions, "KiB", "growth of resident memory per session, without sockets");
    report.figure(
        "whole_kib_per_session",
        Process::own().resident_bytes() as f64 / 1024.0 / sessions,
        "KiB",
        "this process's whole memory per session, with store, cache and scripts",
    );
    report.figure("idle_cpu_percent", 100.0 * spent.as_secs_f64() / crowd.watch_s as f64, "% of a core", "while there are only heartbeats");
    report.figure(
        "heartbeats_per_s",
        pings as f64 / crowd.watch_s as f64,
        "1/s",
        &format!("from each device every {} s", server.heartbeat_s),
    );
    report.figure("heartbeat_cpu_us", spent.as_secs_f64() * 1e6 / pings.max(1) as f64, "us", "whole CPU per heartbeat");
    report.figure("opened_per_s", sessions / took.as_secs_f64(), "1/s", "sessions opened");
    report.figure("open_cpu_us", connect_cpu.as_secs_f64() * 1e6 / sessions, "us", "CPU per opened session");
    heartbeats.abort();
    Ok(())
}

/// The parts of a server, put together as `app` does, without its listener.
struct SocketlessServer {
    authenticator: Authenticator,
    sessions: Sessions,
    metrics: Metrics,
    signer: TokenSigner,
    heartbeat_s: u32,
}

impl SocketlessServer {
    fn new(run: &TestRun, runtime: &Runtime) -> Result<SocketlessServer, String> {
        let fail = |error: &dyn std::fmt::Display| error.to_string();
        let _inside = runtime.enter();
        let (clock, hub, wheel, metrics) = (Clock::start(), Hub::default(), TimerWheel::default(), Metrics::default());
        let signer = TokenSigner::own();
        let config =
            ServerConfig::deserialize(server::settings(&run.folder.join("store"), &signer, &run.settings)).map_err(|error| fail(&error))?;
        let verifier = Verifier::new(config.issuers()).map_err(|error| fail(&error))?;
        let epoch = Epoch::new("crowd").map_err(|error| fail(&error))?;
        let store = Store::open(&config.data, &config.store(), &epoch).map_err(|error| fail(&error))?;
        let running = RunningClock::new(clock);
        let started = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock);
        let (committer, _) = started.map_err(|error| fail(&error))?;
        let reader = Reader::start(store).map_err(|error| fail(&error))?;
        let authenticator = Authenticator::new(
            verifier,
            Identities::new(reader.clone(), committer.clone(), clock),
            Pools::declared(config.pools()),
            running.clone(),
            metrics.clone(),
        );
        let sync = SyncService::new(reader, committer, PushService::default(), clock);
        let heartbeat_s = config.session().heartbeat_s;
        let sessions = Sessions::new(authenticator.clone(), sync, hub, wheel.clone(), running.clone(), metrics.clone(), config.session());
        runtime.spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(1));
            loop {
                turns.tick().await;
                running.tick();
                wheel.advance(running.running_ms());
            }
        });
        Ok(SocketlessServer { authenticator, sessions, metrics, signer, heartbeat_s })
    }

    /// Signs all people in, so that a person's cost in the store is not counted as the session's.
    fn sign_in_all(&self, run: &mut TestRun, crowd: &Crowd, runtime: &Runtime) -> Result<(), String> {
        run.start_phase("creating people", u64::from(crowd.sessions));
        let (next, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let end = u64::from(crowd.sessions);
        let tasks: Vec<_> = (0..MAX_CONNECTING)
            .map(|_| {
                let (authenticator, signer, next, failed) =
                    (self.authenticator.clone(), self.signer.clone(), Arc::clone(&next), Arc::clone(&failed));
                runtime.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            return;
                        }
                        let token = signer.sign(&format!("crowd-{number}"));
                        let entered =
                            Box::pin(authenticator.authenticate(&token, device(), SignInPurpose::Use, &RequestSource::of_this_process()))
                                .await;
                        failed.fetch_or(entered.is_err(), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while tasks.iter().any(|task| !task.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            run.progress(next.load(Ordering::Relaxed).min(end));
        }
        if failed.load(Ordering::Relaxed) { Err("a sign-in failed".to_owned()) } else { Ok(()) }
    }

    fn open_sessions(
        &self,
        run: &mut TestRun,
        crowd: &Crowd,
        runtime: &Runtime,
        states: &Arc<[ScriptedDeviceState]>,
    ) -> Result<(), String> {
        run.start_phase("opening sessions", u64::from(crowd.sessions));
        let (mut spawned, mut done) = (0, 0);
        while done < crowd.sessions {
            while spawned < crowd.sessions && spawned - done < MAX_CONNECTING as u32 {
                let token = self.signer.sign(&format!("crowd-{spawned}"));
                let script = ScriptedDevice { states: Arc::clone(states), number: spawned, outgoing: Some(hello(token)), must_open: true };
                let sessions = self.sessions.clone();
                runtime.spawn(async move {
                    if let Some(session) = Box::pin(sessions.open(script, Codec::MsgPack, RequestSource::of_this_process())).await {
                        session.run().await;
                    }
                });
                spawned += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
            // All sessions up to `done` are open.
            while done < spawned && states[done as usize].opened.load(Ordering::Relaxed) {
                done += 1;
            }
            run.progress(u64::from(done));
            run.sampler.set_open_sessions(done as usize);
        }
        Ok(())
    }
}

/// The state that a scripted device and its heartbeat timer share.
#[derive(Default)]
struct ScriptedDeviceState {
    waker: AtomicWaker,
    pings: AtomicU64,
    due: AtomicBool,
    opened: AtomicBool,
}

/// A device without a socket, which the session uses as its socket.
struct ScriptedDevice {
    states: Arc<[ScriptedDeviceState]>,
    number: u32,
    outgoing: Option<Vec<u8>>,
    must_open: bool,
}

impl ScriptedDevice {
    fn state(&self) -> &ScriptedDeviceState {
        &self.states[self.number as usize]
    }
}

impl AsyncRead for ScriptedDevice {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_none() {
            self.state().waker.register(context.waker());
            if !self.state().due.swap(false, Ordering::AcqRel) {
                return Poll::Pending;
            }
            self.state().pings.fetch_add(1, Ordering::Relaxed);
            self.outgoing = Some(encode(&ClientMessage::Ping));
        }
        let outgoing = self.outgoing.take().unwrap_or_default();
        let taken = outgoing.len().min(buffer.remaining());
        buffer.put_slice(&outgoing[..taken]);
        if taken < outgoing.len() {
            self.outgoing = Some(outgoing[taken..].to_vec());
        } else if std::mem::take(&mut self.must_open) {
            let dataset = DatasetName::new("settings").unwrap_or_else(|_| unreachable!("a valid name"));
            self.outgoing = Some(encode(&ClientMessage::Open { dataset, position: None }));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ScriptedDevice {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The welcome comes before the device has sent its open message; what comes after it is the dataset.
        if !self.must_open && self.outgoing.is_none() {
            self.state().opened.store(true, Ordering::Relaxed);
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
    DeviceId::new("phone").unwrap_or_else(|_| unreachable!("a valid name"))
}

fn hello(token: String) -> Vec<u8> {
    encode(&ClientMessage::Hello { token, device: device(), client: "driftless-loadtest".to_owned() })
}

fn encode(message: &ClientMessage) -> Vec<u8> {
    let mut framed = Vec::new();
    websocket::frame(websocket::BINARY, &Codec::MsgPack.encode(message), &mut framed);
    framed
}

fn count_pings(states: &[ScriptedDeviceState]) -> u64 {
    states.iter().map(|state| state.pings.load(Ordering::Relaxed)).sum()
}

/// Sends one ping per device and heartbeat interval, spread evenly over the interval.
async fn send_heartbeats(states: Arc<[ScriptedDeviceState]>, heartbeat_s: u32) {
    let (mut ticks, mut number) = (tokio::time::interval(Duration::from_millis(10)), 0);
    let each = states.len() as f64 / f64::from(heartbeat_s) / 100.0;
    let mut due = 0.0;
    loop {
        ticks.tick().await;
        due += each;
        while due >= 1.0 {
            due -= 1.0;
            states[number].due.store(true, Ordering::Release);
            states[number].waker.wake();
            number = (number + 1) % states.len();
        }
    }
}
