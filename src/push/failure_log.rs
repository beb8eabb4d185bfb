//! Logs why wakes fail: for each app and cause a line at the first failure, then at most one a minute with the number of those that it stands
//! for. A gateway that fails for a hundred thousand devices fills no disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::breakers::AppKey;
use super::{FailureCause, RefusalCause, Verdict};

/// The time between two lines about the same cause, in milliseconds.
const LINE_PAUSE_MS: u64 = 60_000;

/// Cheap to clone. Bounded by the number of apps in the configuration, times that of causes.
#[derive(Clone, Default)]
pub struct FailureLog {
    lines: Arc<Mutex<BTreeMap<(AppKey, FailureCause), LastLine>>>,
}

struct LastLine {
    /// On the clock that never goes back.
    at_ms: u64,
    /// Failures since then.
    omitted: u64,
}

impl FailureLog {
    /// Logs a failed wake. A refused credential is not logged here: it stops the app, which is logged when it happens. `elapsed_ms` is a time
    /// that never goes back.
    pub(super) fn log(&self, app: &AppKey, verdict: &Verdict, elapsed_ms: u64) {
        let Some((cause, reason)) = verdict.failure() else { return };
        if matches!(verdict, Verdict::Refused { cause: RefusalCause::App, .. }) {
            return;
        }
        let Some(omitted) = self.due(app, cause, elapsed_ms) else { return };
        let (AppKey { pool, provider, app }, cause) = (app, cause.label());
        match verdict {
            Verdict::Dead { .. } | Verdict::OtherEnvironment { .. } => {
                info!(pool, %provider, app, cause, reason, omitted, "push token dead");
            }
            Verdict::Later { .. } => warn!(pool, %provider, app, cause, reason, omitted, "wake failed, it is sent again later"),
            Verdict::Refused { .. } => warn!(pool, %provider, app, cause, reason, omitted, "wake refused"),
            Verdict::Accepted { .. } => {}
        }
    }

    /// How many failures the line stands for that is due now, beside this one; `None`: no line is due.
    fn due(&self, app: &AppKey, cause: FailureCause, elapsed_ms: u64) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.entry((app.clone(), cause)) {
            Entry::Vacant(place) => {
                place.insert(LastLine { at_ms: elapsed_ms, omitted: 0 });
                Some(0)
            }
            Entry::Occupied(mut last) if elapsed_ms >= last.get().at_ms.saturating_add(LINE_PAUSE_MS) => {
                Some(last.insert(LastLine { at_ms: elapsed_ms, omitted: 0 }).omitted)
            }
            Entry::Occupied(mut last) => {
                last.get_mut().omitted += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::Provider;

    use super::*;

    #[test]
    fn a_cause_gets_a_line_at_once_and_then_one_a_minute_with_a_count() {
        let log = FailureLog::default();
        let app = |name: &str| AppKey { pool: "demo".to_owned(), provider: Provider::Webpush, app: name.to_owned() };
        assert_eq!(log.due(&app("one"), FailureCause::NameNotFound, 5), Some(0));
        assert!((0..1000).all(|ms| log.due(&app("one"), FailureCause::NameNotFound, ms).is_none()));
        assert_eq!(log.due(&app("one"), FailureCause::Timeout, 6), Some(0), "another cause");
        assert_eq!(log.due(&app("two"), FailureCause::NameNotFound, 6), Some(0), "another app");
        assert_eq!(log.due(&app("one"), FailureCause::NameNotFound, 5 + LINE_PAUSE_MS), Some(1000));
        assert_eq!(log.due(&app("one"), FailureCause::NameNotFound, 6 + LINE_PAUSE_MS), None);
    }
}
