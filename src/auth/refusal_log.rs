//! Says in the log why tokens were rejected, in a bounded number of lines.
//!
//! A line has the issuer and the audience that the token names, which nobody has verified: they are shortened, and control characters are
//! escaped. It has no other part of the token.

use std::sync::{Mutex, PoisonError};

use tracing::info;

use super::claims::Audience;
use super::config::AUDIENCE_CLAIM;
use super::refusal::TokenRefusal;
use super::token::CompactToken;

/// The lines in one interval. An operator who looks into a refusal tries a few tokens; anyone can send thousands of bad ones.
const LINES: u64 = 10;

/// The interval, in seconds.
const INTERVAL_S: u64 = 10;

/// The most characters of a name in a line.
const NAME_CHARS: usize = 128;

#[derive(Default)]
pub(super) struct RefusalLog(Mutex<IntervalCount>);

/// How many tokens were rejected in the interval with this number.
#[derive(Clone, Copy, Default)]
struct IntervalCount {
    interval: u64,
    refusals: u64,
}

impl RefusalLog {
    /// Logs the refusal, unless the interval has enough lines.
    pub(super) fn refused(&self, token: &str, refusal: TokenRefusal, now_s: u64) {
        let Some(not_logged) = self.count(now_s) else { return };
        let (issuer, audience) = names(token).unwrap_or_default();
        info!(?issuer, ?audience, reason = refusal.code(), explanation = %refusal, not_logged, "token rejected");
    }

    /// Counts a refusal. `None`: it is not logged; otherwise how many of the last interval were not.
    fn count(&self, now_s: u64) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = now_s / INTERVAL_S;
        let not_logged = if count.interval == interval { 0 } else { count.refusals.saturating_sub(LINES) };
        if count.interval != interval {
            *count = IntervalCount { interval, refusals: 0 };
        }
        count.refusals += 1;
        (count.refusals <= LINES).then_some(not_logged)
    }
}

/// The issuer and the audience that a token names, if it can be read.
fn names(token: &str) -> Option<(String, String)> {
    let token = CompactToken::split(token).ok()?;
    let claims = token.claims().ok()?;
    let audience = match claims.audience(AUDIENCE_CLAIM).ok()?.as_deref() {
        Some(Audience::One(name)) => shortened(name),
        Some(Audience::Several(names)) => shortened(&names.iter().map(|name| &*name.0).collect::<Vec<_>>().join(", ")),
        None => String::new(),
    };
    Some((shortened(&claims.issuer), audience))
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_bounded_number_of_lines_and_the_next_one_says_how_many_are_missing() {
        let log = RefusalLog::default();
        let lines = (0..100).filter(|_| log.count(1000).is_some()).count() as u64;
        assert_eq!(lines, LINES);
        assert_eq!(log.count(1000 + INTERVAL_S), Some(100 - LINES));
        assert_eq!(log.count(1000 + INTERVAL_S), Some(0));
        assert_eq!(log.count(1000), Some(0), "a clock that was set back begins another interval");
    }
}
