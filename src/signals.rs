//! The signals of a server's process, and its end in time.
//!
//! Two threads of their own handle them, so that nothing else in the process can keep a signal from being seen: neither a thread of the runtime
//! that waits for a disk or a reader, nor a lock.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use driftless::logging;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

/// The exit code of a process that a signal ended: 128 and the signal's number, as shells have it.
const ENDED_BY_SIGNAL: i32 = 128;

/// The exit code if the server did not stop in time.
const ENDED_BY_DEADLINE: i32 = 1;

/// How long a server whose configuration is not read yet may take to end: it has nothing to drain.
const LIMIT_BEFORE_START: Duration = Duration::from_secs(1);

/// What the signals tell a server.
pub(crate) struct ServerSignals {
    /// Whether SIGTERM or SIGINT came.
    pub(crate) stopped: watch::Receiver<bool>,
    /// Notified by each SIGHUP.
    pub(crate) hangup: Arc<Notify>,
    limit_ms: Arc<AtomicU64>,
}

impl ServerSignals {
    /// From now on no signal ends the process by itself.
    pub(crate) fn take() -> std::io::Result<ServerSignals> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (stop, stopped) = watch::channel(false);
        let hangup = Arc::new(Notify::new());
        let limit_ms = Arc::new(AtomicU64::new(LIMIT_BEFORE_START.as_millis() as u64));
        let (stops, next_stop) = channel();
        let (notify, limit) = (Arc::clone(&hangup), Arc::clone(&limit_ms));
        thread::Builder::new().name("signals".to_owned()).spawn(move || receive(signals, &notify, &stops))?;
        thread::Builder::new().name("stop".to_owned()).spawn(move || stop_in_time(&next_stop, &stop, &limit))?;
        Ok(ServerSignals { stopped, hangup, limit_ms })
    }

    /// Sets how long the process may take to end after a signal.
    pub(crate) fn set_limit(&self, limit: Duration) {
        self.limit_ms.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

fn receive(mut signals: Signals, hangup: &Notify, stops: &Sender<i32>) {
    for signal in signals.forever() {
        match signal {
            SIGHUP => hangup.notify_one(),
            // The other thread lives as long as the process.
            other => drop(stops.send(other)),
        }
    }
}

/// The first signal stops the server and sets the process a deadline; the second one ends it at once.
fn stop_in_time(signals: &Receiver<i32>, stop: &watch::Sender<bool>, limit_ms: &AtomicU64) {
    let Ok(_) = signals.recv() else { return };
    stop.send_replace(true);
    let limit = Duration::from_millis(limit_ms.load(Ordering::Relaxed));
    match signals.recv_timeout(limit) {
        Ok(second) => {
            warn!(signal = second, "second signal: the server ends without draining");
            end(ENDED_BY_SIGNAL + second)
        }
        Err(RecvTimeoutError::Timeout) => {
            error!(
                limit_ms = limit.as_millis() as u64,
                "the server did not stop in time and is ended; acknowledged writes are in the journal"
            );
            end(ENDED_BY_DEADLINE)
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {}
    }
}

fn end(code: i32) -> ! {
    logging::flush();
    process::exit(code)
}
