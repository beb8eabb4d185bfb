//! Gets a fresh token for a session whose token expires soon.
//!
//! The server asks with `renew`, and answers the token that the device sends with `renewed` or `refused`. It asks again by itself if it needs
//! another token, so an answer has nothing to do here.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::TokenSource;

/// The least time between two calls of the token source: one that fails, or whose tokens are about to expire, must not be asked in a loop.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The renewals of one session.
pub(crate) struct TokenRenewal {
    tokens: TokenSource,
    pending: Option<BoxFuture<'static, Result<String, String>>>,
    /// Before this time the token source is not called again.
    next: Option<Instant>,
}

impl TokenRenewal {
    pub(crate) fn new(tokens: TokenSource) -> TokenRenewal {
        TokenRenewal { tokens, pending: None, next: None }
    }

    /// The session needs a fresh token. While one is on its way nothing changes.
    pub(crate) fn requested(&mut self, now: Instant) {
        if self.pending.is_some() {
            return;
        }
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + MIN_INTERVAL);
        let tokens = self.tokens.clone();
        self.pending = Some(Box::pin(async move {
            sleep_until(at).await;
            tokens.get().await
        }));
    }

    /// The token to send, once the token source has returned it; waits for ever if none was asked for. Cancel safe.
    pub(crate) async fn next_token(&mut self) -> Result<String, String> {
        let Some(pending) = &mut self.pending else { return std::future::pending().await };
        let token = pending.await;
        self.pending = None;
        token
    }
}
