//! The signals of a server's process, and its end in time.
//!
//! Two threads of their own handle them, so that nothing else in the process can keep a signal from being seen: neither a thread of the runtime
//! that waits for a disk or a reader, nor a lock.

use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use driftless::logging;
use driftless::stop_times::StopTimes;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

/// The exit code of a process that a signal ended: 128 and the signal's number, as shells have it.
const ENDED_BY_SIGNAL: i32 = 128;

/// The exit code if the server did not stop in time.
const ENDED_BY_DEADLINE: i32 = 1;

/// What the signals tell a server.
pub(crate) struct ServerSignals {
    /// Whether SIGTERM or SIGINT came.
    pub(crate) stopped: watch::Receiver<bool>,
    /// Notified by each SIGHUP.
    pub(crate) hangup: Arc<Notify>,
    times: Arc<OnceLock<StopTimes>>,
}

impl ServerSignals {
    /// From now on no signal ends the process by itself.
    pub(crate) fn take() -> std::io::Result<ServerSignals> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (stop, stopped) = watch::channel(false);
        let hangup = Arc::new(Notify::new());
        let times = Arc::new(OnceLock::new());
        let (stops, next_stop) = channel();
        let (notify, shares) = (Arc::clone(&hangup), Arc::clone(&times));
        thread::Builder::new().name("signals".to_owned()).spawn(move || receive(signals, &notify, &stops))?;
        thread::Builder::new().name("stop".to_owned()).spawn(move || stop_in_time(&next_stop, &stop, &shares))?;
        Ok(ServerSignals { stopped, hangup, times })
    }

    /// Sets how long the process may take to end after a signal.
    pub(crate) fn set_times(&self, times: StopTimes) {
        // A process reads its configuration once before it serves.
        let _ = self.times.set(times);
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
fn stop_in_time(signals: &Receiver<i32>, stop: &watch::Sender<bool>, times: &OnceLock<StopTimes>) {
    let Ok(_) = signals.recv() else { return };
    stop.send_replace(true);
    let times = times.get().unwrap_or(&StopTimes::BEFORE_START);
    match signals.recv_timeout(times.whole() - times.last_lines()) {
        Ok(second) => {
            warn!(signal = second, "second signal: the server ends without draining");
            end(ENDED_BY_SIGNAL + second, times)
        }
        Err(RecvTimeoutError::Timeout) => {
            let limit_ms = times.whole().as_millis() as u64;
            error!(limit_ms, "the server did not stop in time and is ended; acknowledged writes are in the journal");
            end(ENDED_BY_DEADLINE, times)
        }
        Err(RecvTimeoutError::Disconnected) => {}
    }
}

fn end(code: i32, times: &StopTimes) -> ! {
    logging::flush(times.last_lines());
    process::exit(code)
}
