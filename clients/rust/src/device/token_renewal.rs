//! Gets a fresh token for a session whose token expires soon.
//!
//! The server sends `renew` both to ask for a token and to confirm one: the first `renew` after the device sent a token is its confirmation.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::TokenSource;

/// The least time between two renewals: a token source whose tokens are about to expire must not be asked in a loop.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The renewals of one session.
pub(crate) struct TokenRenewal {
    tokens: TokenSource,
    pending: Option<BoxFuture<'static, Result<String, String>>>,
    sent: bool,
    next: Option<Instant>,
}

impl TokenRenewal {
    pub(crate) fn new(tokens: TokenSource) -> TokenRenewal {
        TokenRenewal { tokens, pending: None, sent: false, next: None }
    }

    /// The server sent `renew`.
    pub(crate) fn renew_received(&mut self, now: Instant) {
        if std::mem::take(&mut self.sent) || self.pending.is_some() {
            return;
        }
        let (tokens, at) = (self.tokens.clone(), self.next.unwrap_or(now));
        self.next = Some(now.max(at) + MIN_INTERVAL);
        self.pending = Some(Box::pin(async move {
            sleep_until(at).await;
            tokens.get().await
        }));
    }

    /// The server refused the token that was sent, so its next `renew` is a request and no confirmation.
    pub(crate) fn token_refused(&mut self) {
        self.sent = false;
    }

    /// The token to send, once the token source has returned it; waits for ever if none was asked for. Cancel safe.
    pub(crate) async fn next_token(&mut self) -> Result<String, String> {
        let Some(pending) = &mut self.pending else { return std::future::pending().await };
        let token = pending.await;
        self.pending = None;
        self.sent = token.is_ok();
        token
    }
}
