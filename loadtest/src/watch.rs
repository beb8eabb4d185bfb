//! Looks at the server, at this tool and at the kernel once a second while a scenario runs.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::machine::{Process, kernel_sockets};

const EVERY: Duration = Duration::from_secs(1);

/// One look.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sample {
    /// Seconds since the scenario's start.
    pub at_s: f64,
    /// Cores that the server used since the last look.
    pub server_cores: f64,
    /// Cores that this tool used.
    pub tool_cores: f64,
    /// The server's resident memory, in MiB.
    pub server_mib: f64,
    /// This tool's.
    pub tool_mib: f64,
    /// Memory of sockets in the kernel, of both sides, in MiB.
    pub sockets_mib: f64,
    /// Sessions that are open.
    pub open: u64,
    /// What the story counts, a second.
    pub rate: f64,
}

#[derive(Default)]
struct Shared {
    pid: AtomicU32,
    open: AtomicU64,
    done: AtomicU64,
    ends: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// The one who looks. It ends with this.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(server: Option<Process>) -> Watch {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = std::thread::spawn(move || look(&watched));
        let watch = Watch { shared, thread: Some(thread) };
        watch.follow(server);
        watch
    }

    /// The server is this process from now on.
    pub fn follow(&self, server: Option<Process>) {
        self.shared.pid.store(server.map_or(0, |process| process.0), Ordering::Relaxed);
    }

    /// So many sessions are open now.
    pub fn open(&self, sessions: usize) {
        self.shared.open.store(sessions as u64, Ordering::Relaxed);
    }

    /// So much more was done of what the story counts.
    pub fn done(&self, more: u64) {
        self.shared.done.fetch_add(more, Ordering::Relaxed);
    }

    /// All looks so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn look(shared: &Shared) {
    let began = Instant::now();
    let mut last = (Instant::now(), 0, Duration::ZERO, Process::own().cpu(), 0);
    while !shared.ends.load(Ordering::Relaxed) {
        std::thread::park_timeout(EVERY);
        let pid = shared.pid.load(Ordering::Relaxed);
        let (server, own, done) = (Process(pid), Process::own().cpu(), shared.done.load(Ordering::Relaxed));
        let cpu = server.cpu();
        let seconds = last.0.elapsed().as_secs_f64().max(0.001);
        // Another process begins at 0.
        let spent = if pid == last.1 { cpu.saturating_sub(last.2) } else { cpu };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let sample = Sample {
            at_s: began.elapsed().as_secs_f64(),
            server_cores: spent.as_secs_f64() / seconds,
            tool_cores: own.saturating_sub(last.3).as_secs_f64() / seconds,
            server_mib: mib(server.resident()),
            tool_mib: mib(Process::own().resident()),
            sockets_mib: mib(kernel_sockets()),
            open: shared.open.load(Ordering::Relaxed),
            rate: (done - last.4) as f64 / seconds,
        };
        last = (Instant::now(), pid, cpu, own, done);
        shared.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}
