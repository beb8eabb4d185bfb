//! The writer thread's loop: receive jobs, commit a group of them, recover if that failed.

use tracing::debug;

use super::writer::GroupWriter;

/// Runs until it was told to stop and all jobs that were submitted before are done, or until every [`Committer`](super::Committer) is dropped.
pub(super) fn run(mut writer: GroupWriter) {
    loop {
        writer.receive();
        match writer.commit_group() {
            Ok(()) => writer.store.after_answers(),
            Err(failed) => writer.recover_from(failed),
        }
        if writer.is_done() {
            return debug!("committer stopped");
        }
    }
}
