//! The writer thread's loop: receive a batch, commit it, recover if that failed.

use std::collections::VecDeque;

use tracing::debug;

use super::writer::{GROUP_JOBS, GroupWriter};

/// Runs until a stop job, or until every [`Committer`](super::Committer) is dropped.
pub(super) fn run(mut writer: GroupWriter) {
    // Jobs that did not fit into a group stay in front for the next one.
    let mut jobs = VecDeque::with_capacity(GROUP_JOBS);
    let mut received = Vec::with_capacity(GROUP_JOBS);
    loop {
        if jobs.is_empty() {
            writer.receive_batch(&mut received);
            jobs.extend(received.drain(..));
        }
        let flow = match writer.commit_group(&mut jobs) {
            Ok(flow) => flow,
            Err(failed) => writer.recover_from(failed, &mut jobs),
        };
        if flow.is_break() {
            return debug!("committer stopped");
        }
    }
}
