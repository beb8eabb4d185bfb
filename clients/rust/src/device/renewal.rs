//! A fresh token for a session whose old one expires soon.
//!
//! The server says `renew` both to ask for a token and to confirm one: the first after a token was sent is its confirmation.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::Tokens;

/// Between two renewals, so that a source of tokens that are about to expire is not asked without end.
const GAP: Duration = Duration::from_secs(10);

/// The renewals of one session.
pub(crate) struct Renewal {
    tokens: Tokens,
    under_way: Option<BoxFuture<'static, Result<String, String>>>,
    sent: bool,
    next: Option<Instant>,
}

impl Renewal {
    pub(crate) fn new(tokens: Tokens) -> Renewal {
        Renewal { tokens, under_way: None, sent: false, next: None }
    }

    /// The server said `renew`.
    pub(crate) fn heard(&mut self, now: Instant) {
        if std::mem::take(&mut self.sent) || self.under_way.is_some() {
            return;
        }
        let (tokens, at) = (self.tokens.clone(), self.next.unwrap_or(now));
        self.next = Some(now.max(at) + GAP);
        self.under_way = Some(Box::pin(async move {
            sleep_until(at).await;
            tokens.get().await
        }));
    }

    /// The server refused the token that was sent: its next `renew` asks again.
    pub(crate) fn refused(&mut self) {
        self.sent = false;
    }

    /// The token to send, when the app has given it; waits for ever if none was asked for. May be dropped and called again.
    pub(crate) async fn token(&mut self) -> Result<String, String> {
        let Some(asked) = &mut self.under_way else { return std::future::pending().await };
        let token = asked.await;
        self.under_way = None;
        self.sent = token.is_ok();
        token
    }
}
