//! The open connections, and the settings that apply to all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::connection_control::ConnectionControl;

/// The initial limit of concurrent streams: the same as Apple's servers.
const DEFAULT_STREAM_LIMIT: u32 = 1000;

/// Whether requests are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessingMode {
    Running,
    /// Requests are read but not processed.
    Paused,
    /// Nothing is read or written.
    Frozen,
}

pub(crate) struct ConnectionRegistry {
    open: Mutex<HashMap<u64, Arc<ConnectionControl>>>,
    stream_limit: AtomicU32,
    mode: watch::Sender<ProcessingMode>,
}

impl Default for ConnectionRegistry {
    fn default() -> ConnectionRegistry {
        let mode = watch::Sender::new(ProcessingMode::Running);
        ConnectionRegistry { open: Mutex::default(), stream_limit: DEFAULT_STREAM_LIMIT.into(), mode }
    }
}

impl ConnectionRegistry {
    pub(crate) fn add(&self, connection: u64) -> Arc<ConnectionControl> {
        let mut open = self.lock();
        let is_frozen = *self.mode.borrow() == ProcessingMode::Frozen;
        let control = Arc::new(ConnectionControl::new(self.stream_limit.load(Ordering::Relaxed), is_frozen));
        open.insert(connection, control.clone());
        control
    }

    pub(crate) fn remove(&self, connection: u64) {
        self.lock().remove(&connection);
    }

    pub(crate) fn limit_streams(&self, streams: u32) {
        let open = self.lock();
        self.stream_limit.store(streams, Ordering::Relaxed);
        open.values().for_each(|control| control.limit_streams(streams));
    }

    pub(crate) fn set_mode(&self, mode: ProcessingMode) {
        let open = self.lock();
        self.mode.send_replace(mode);
        open.values().for_each(|control| control.set_frozen(mode == ProcessingMode::Frozen));
    }

    pub(crate) fn for_each(&self, act: impl Fn(&ConnectionControl)) {
        self.lock().values().for_each(|control| act(control));
    }

    pub(crate) async fn wait_until_running(&self) {
        self.wait_for_mode(|mode| mode == ProcessingMode::Running).await;
    }

    pub(crate) async fn wait_until_not_frozen(&self) {
        self.wait_for_mode(|mode| mode != ProcessingMode::Frozen).await;
    }

    async fn wait_for_mode(&self, is_wanted: impl Fn(ProcessingMode) -> bool) {
        if !is_wanted(*self.mode.borrow()) {
            // The wait cannot fail: the sender lives as long as `self`.
            let _ = self.mode.subscribe().wait_for(|mode| is_wanted(*mode)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<ConnectionControl>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
