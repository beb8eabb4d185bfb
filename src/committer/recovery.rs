//! What the writer does after a failed commit.
//!
//! - Disk full: nothing of the group was applied. The writer rejects the group, and every later one until there is space; reads go on.
//! - Any other failure of the engine: the group may turn out to be durable or not. The engine rejects reads and the writer rejects jobs until
//!   the store is reopened. The reopened store is authoritative: sessions reread every
//!   dataset that the failed group wrote to.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::blocking::block_until;
use super::job::{SessionNotice, Submission, send_reply};
use super::unavailable::Unavailable;
use super::writer::{FailedGroup, GroupWriter};
use crate::store::{Admission, StoreError};

/// How often the writer tries to reopen a store that failed.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log repeats that writes are rejected: devices resend them all the time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl GroupWriter {
    /// Returns when the store may accept writes again, or when the server stops.
    pub(super) fn recover_from(&mut self, failed: FailedGroup) {
        let FailedGroup { error, written, notices } = failed;
        if let StoreError::Full(_) = error {
            self.metrics.commit_failed("full");
            if self.may_log() {
                warn!(%error, "commit failed: disk full, the store is read-only");
            }
            return;
        }
        if !self.store.is_failed() {
            // A row that the group depends on is damaged. Nothing was written, and the engine works.
            self.metrics.commit_failed("damaged");
            if self.may_log() {
                error!(%error, "commit failed: damaged row, the group is rejected");
            }
            return;
        }
        error!(%error, "commit failed: the store is reopened as soon as possible, no acknowledged write is lost");
        self.metrics.commit_failed("failed");
        self.last_logged = None;
        while let Err(error) = self.store.recover() {
            if self.may_log() {
                error!(%error, "store cannot be reopened, retrying every second: repair the disk, or stop the server and restore a backup");
            }
            self.reject_waiting();
            if self.is_stopping || self.reject_for(REOPEN_INTERVAL).is_break() {
                self.is_stopping = true;
                return;
            }
        }
        notices.into_iter().for_each(|notice| self.notify_recovered(notice));
        for (identity, dataset) in written {
            match self.store.version(&identity, &dataset) {
                Ok(version) => self.hub.advance(identity.as_str(), &dataset, version),
                Err(error) => warn!(%error, %identity, %dataset, "read failed after recovery"),
            }
        }
        info!("store recovered");
    }

    /// Rejects all jobs that were received before.
    fn reject_waiting(&mut self) {
        self.jobs.drain().for_each(|waiting| waiting.job.reject(Unavailable::ReadOnly));
        self.flushes.drain(..).for_each(|(_, reply)| send_reply(reply, Err(Unavailable::ReadOnly)));
    }

    /// Sends a notice of a transaction whose outcome was unknown, if the reopened store has what the transaction did, or if it cannot say.
    fn notify_recovered(&self, notice: SessionNotice) {
        let holds = match &notice {
            // The datasets that were written to are looked at in any case.
            SessionNotice::Advanced(..) => false,
            SessionNotice::Ended(identity, _) => !matches!(self.store.merged(identity), Ok(Some(_))),
            SessionNotice::Revoked(identity, device) => {
                !matches!(self.store.device_admission(identity, device), Ok(Some(Admission::Admitted)))
            }
            SessionNotice::Forgotten(identity, device) => !matches!(self.store.device_admission(identity, device), Ok(Some(_))),
            // The sessions look at the store themselves.
            SessionNotice::LoginsChanged(_) => true,
        };
        if holds {
            self.notify(notice);
        }
    }

    /// Whether the log has not repeated for a while that writes are rejected.
    fn may_log(&mut self) -> bool {
        let may_log = self.last_logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if may_log {
            self.last_logged = Some(Instant::now());
        }
        may_log
    }

    /// Rejects all jobs that are received within `time`.
    fn reject_for(&mut self, time: Duration) -> ControlFlow<()> {
        let deadline = Instant::now() + time;
        loop {
            match block_until(Some(deadline), self.queue.recv()) {
                Some(Some(Submission::Stop) | None) => return ControlFlow::Break(()),
                Some(Some(submission)) => submission.reject(Unavailable::ReadOnly),
                None => return ControlFlow::Continue(()),
            }
        }
    }
}
