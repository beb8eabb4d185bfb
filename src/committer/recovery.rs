//! What the writer does after a failed commit.
//!
//! - Disk full: nothing of the group was applied. The writer rejects the group, and every later one until there is space; reads go on.
//! - Any other failure of the engine: the group may turn out to be durable or not, and reads may see rows that never become durable. So
//!   the gate rejects reads and the writer rejects jobs until the store is reopened. The reopened store is authoritative: sessions reread every
//!   dataset that the failed group wrote to.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::blocking::block_until;
use super::job::{SessionNotice, Submission};
use super::unavailable::Unavailable;
use super::writer::{FailedGroup, GroupWriter};
use crate::store::{Admission, StoreError};

/// How often the writer tries to reopen a store that failed.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log repeats that writes are rejected: devices resend them all the time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl GroupWriter {
    /// Returns when the store may accept writes again, or when the server stops.
    pub(super) fn recover_from(&mut self, failed: FailedGroup, jobs: &mut VecDeque<Submission>) -> ControlFlow<()> {
        let FailedGroup { error, written, notices, mut flow } = failed;
        if let StoreError::Full(_) = error {
            self.metrics.commit_failed("full");
            if self.may_log() {
                warn!(%error, "commit failed: disk full, the store is read-only");
            }
            self.gate.set_durable();
            return flow;
        }
        if !self.store.is_failed() {
            // A row that the group depends on is damaged. Nothing was written, and the engine works.
            self.metrics.commit_failed("damaged");
            if self.may_log() {
                error!(%error, "commit failed: damaged row, the group is rejected");
            }
            self.gate.set_durable();
            return flow;
        }
        error!(%error, "commit failed: the store is reopened as soon as possible, no acknowledged write is lost");
        self.metrics.commit_failed("failed");
        self.gate.set_failed();
        self.last_logged = None;
        while let Err(error) = self.store.recover() {
            if self.may_log() {
                error!(%error, "store cannot be reopened, retrying every second: repair the disk, or stop the server and restore a backup");
            }
            if flow.is_break() || self.reject_for(REOPEN_INTERVAL, jobs).is_break() {
                flow = ControlFlow::Break(());
                break;
            }
        }
        if flow.is_continue() {
            self.gate.set_durable();
            notices.into_iter().for_each(|notice| self.notify_recovered(notice));
            for (identity, dataset) in written {
                match self.store.version(&identity, &dataset) {
                    Ok(version) => self.hub.advance(identity.as_str(), &dataset, version),
                    Err(error) => warn!(%error, %identity, %dataset, "read failed after recovery"),
                }
            }
            info!("store recovered");
        }
        flow
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
    fn reject_for(&mut self, time: Duration, jobs: &mut VecDeque<Submission>) -> ControlFlow<()> {
        let deadline = Instant::now() + time;
        loop {
            for job in jobs.drain(..) {
                if matches!(job, Submission::Stop) {
                    return ControlFlow::Break(());
                }
                job.reject(Unavailable::ReadOnly);
            }
            match block_until(Some(deadline), self.queue.recv()) {
                Some(Some(job)) => jobs.push_back(job),
                Some(None) => return ControlFlow::Break(()),
                None => return ControlFlow::Continue(()),
            }
        }
    }
}
