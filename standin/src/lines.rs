//! The open connections, and what holds for all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::control::Control;

/// How many streams a client may have open, unless a test says otherwise: as many as Apple's servers allow.
const STREAMS: u32 = 1000;

/// Whether requests are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    /// Requests are read, and held.
    Paused,
    /// Nothing is read or written.
    Frozen,
}

pub(super) struct Lines {
    open: Mutex<HashMap<u64, Arc<Control>>>,
    streams: AtomicU32,
    mode: watch::Sender<Mode>,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { open: Mutex::default(), streams: STREAMS.into(), mode: watch::Sender::new(Mode::Running) }
    }
}

impl Lines {
    pub(super) fn open(&self, connection: u64) -> Arc<Control> {
        let mut open = self.lock();
        let control = Arc::new(Control::new(self.streams.load(Ordering::Relaxed), *self.mode.borrow() == Mode::Frozen));
        open.insert(connection, control.clone());
        control
    }

    pub(super) fn close(&self, connection: u64) {
        self.lock().remove(&connection);
    }

    pub(super) fn limit_streams(&self, streams: u32) {
        let open = self.lock();
        self.streams.store(streams, Ordering::Relaxed);
        open.values().for_each(|control| control.limit_streams(streams));
    }

    pub(super) fn set(&self, mode: Mode) {
        let open = self.lock();
        self.mode.send_replace(mode);
        open.values().for_each(|control| control.freeze(mode == Mode::Frozen));
    }

    pub(super) fn each(&self, act: impl Fn(&Control)) {
        self.lock().values().for_each(|control| act(control));
    }

    /// Waits while requests are held.
    pub(super) async fn running(&self) {
        self.wait(|mode| mode == Mode::Running).await;
    }

    /// Waits while nothing is read or written.
    pub(super) async fn thawed(&self) {
        self.wait(|mode| mode != Mode::Frozen).await;
    }

    async fn wait(&self, for_mode: impl Fn(Mode) -> bool) {
        if !for_mode(*self.mode.borrow()) {
            // The sender lives as long as this.
            let _ = self.mode.subscribe().wait_for(|mode| for_mode(*mode)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Control>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
