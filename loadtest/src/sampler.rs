//! Samples the server, this tool and the kernel once a second while a scenario runs.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::machine::{Process, kernel_socket_bytes};

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ResourceSample {
    /// Seconds since the scenario's start.
    pub at_s: f64,
    /// CPU cores that the server used since the previous sample.
    pub server_cores: f64,
    /// CPU cores that this tool used since the previous sample.
    pub tool_cores: f64,
    /// The server's resident memory, in MiB.
    pub server_mib: f64,
    /// This tool's resident memory, in MiB.
    pub tool_mib: f64,
    /// The kernel's memory for sockets, for both should_stop, in MiB.
    pub sockets_mib: f64,
    pub open: u64,
    /// What the workload counts, per second.
    pub rate: f64,
}

#[derive(Default)]
struct SamplerState {
    pid: AtomicU32,
    open: AtomicU64,
    done: AtomicU64,
    should_stop: AtomicBool,
    samples: Mutex<Vec<ResourceSample>>,
}

/// The sampling thread. It should_stop when this is dropped.
pub struct Sampler {
    state: Arc<SamplerState>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts sampling.
    pub fn start(server: Option<Process>) -> Sampler {
        let state = Arc::new(SamplerState::default());
        let thread_state = Arc::clone(&state);
        let thread = std::thread::spawn(move || sample(&thread_state));
        let sampler = Sampler { state, thread: Some(thread) };
        sampler.set_server(server);
        sampler
    }

    /// Samples this server process from now on.
    pub fn set_server(&self, server: Option<Process>) {
        self.state.pid.store(server.map_or(0, |process| process.0), Ordering::Relaxed);
    }

    /// Sets the number of open sessions.
    pub fn set_open_sessions(&self, sessions: usize) {
        self.state.open.store(sessions as u64, Ordering::Relaxed);
    }

    /// Adds to what the workload counts.
    pub fn add_done(&self, more: u64) {
        self.state.done.fetch_add(more, Ordering::Relaxed);
    }

    /// All samples so far.
    pub fn samples(&self) -> Vec<ResourceSample> {
        self.state.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.state.should_stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn sample(state: &SamplerState) {
    let began = Instant::now();
    let mut last = (Instant::now(), 0, Duration::ZERO, Process::own().cpu(), 0);
    while !state.should_stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(INTERVAL);
        let pid = state.pid.load(Ordering::Relaxed);
        let (server, own, done) = (Process(pid), Process::own().cpu(), state.done.load(Ordering::Relaxed));
        let cpu = server.cpu();
        let seconds = last.0.elapsed().as_secs_f64().max(0.001);
        // A new process's CPU time starts at 0.
        let spent = if pid == last.1 { cpu.saturating_sub(last.2) } else { cpu };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let sample = ResourceSample {
            at_s: began.elapsed().as_secs_f64(),
            server_cores: spent.as_secs_f64() / seconds,
            tool_cores: own.saturating_sub(last.3).as_secs_f64() / seconds,
            server_mib: mib(server.resident_bytes()),
            tool_mib: mib(Process::own().resident_bytes()),
            sockets_mib: mib(kernel_socket_bytes()),
            open: state.open.load(Ordering::Relaxed),
            rate: (done - last.4) as f64 / seconds,
        };
        last = (Instant::now(), pid, cpu, own, done);
        state.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}
