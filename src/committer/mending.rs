//! The store fails: what the committer does until it works again.
//!
//! - A full disk: nothing of the group was applied. It is refused, and so is whatever comes until there is room; reads go on.
//! - Anything else: the group may be found later or not, and what is read now may include rows that were never durable. So nothing is shown and
//!   nothing taken until the store was opened again. What is found then is what is true: sessions are told where it may differ from what they had.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::writer::{Broken, Next, Writer};
use super::{Job, Unavailable, waiting};
use crate::store::StoreError;

/// How often a store that failed is opened again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often the log says that writes are still refused: devices send them again all the time.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Writer {
    /// Returns when the store takes writes again, or when the server stops.
    pub(super) fn mend(&mut self, broken: Broken, jobs: &mut VecDeque<Job>) -> Next {
        let Broken { error, touched, ended, next } = broken;
        if let StoreError::Full(_) = error {
            self.metrics.store_failed("full");
            if self.may_say() {
                warn!(%error, "writes are refused");
            }
            self.keeper.durable();
            return next;
        }
        if !self.store.is_failed() {
            // A row that the group rests on is damaged: nothing was written, and the engine is well.
            self.metrics.store_failed("damaged");
            if self.may_say() {
                error!(%error, "a group of writes is refused");
            }
            self.keeper.durable();
            return next;
        }
        error!(%error, "the store failed; nothing acknowledged is lost; it is opened again as soon as that is possible");
        self.metrics.store_failed("failed");
        self.keeper.fails();
        self.said = None;
        let mut next = next;
        while let Err(error) = self.store.recover() {
            if self.may_say() {
                error!(%error, "the store cannot be opened; this is tried again every second: mend the disk, or stop driftless and restore a backup");
            }
            if next == Next::Stop || self.refuse_for(TRY_AGAIN, jobs) == Next::Stop {
                next = Next::Stop;
                break;
            }
        }
        if next == Next::Go {
            self.keeper.durable();
            for (identity, mark) in ended {
                // The act may be found to have happened.
                if !matches!(self.store.merged(&identity), Ok(Some(_))) {
                    self.hub.mark(identity.as_str(), mark);
                }
            }
            for (identity, dataset) in touched {
                match self.store.version(&identity, &dataset) {
                    Ok(version) => self.hub.jump(identity.as_str(), &dataset, version),
                    Err(error) => warn!(%error, %identity, %dataset, "a dataset cannot be read"),
                }
            }
            info!("the store works again");
        }
        next
    }

    /// Whether the log has not said for a while how it is.
    fn may_say(&mut self) -> bool {
        let may = self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
        if may {
            self.said = Some(Instant::now());
        }
        may
    }

    /// Refuses what comes, for a while.
    fn refuse_for(&mut self, time: Duration, jobs: &mut VecDeque<Job>) -> Next {
        let end = Instant::now() + time;
        loop {
            for job in jobs.drain(..) {
                if matches!(job, Job::Stop) {
                    return Next::Stop;
                }
                job.refuse(Unavailable::ReadOnly);
            }
            match waiting::until(Some(end), self.queue.recv()) {
                Some(Some(job)) => jobs.push_back(job),
                Some(None) => return Next::Stop,
                None => return Next::Go,
            }
        }
    }
}
