//! Answers that are made while they are sent, as fast as their reader takes them: they can be larger than memory.
//!
//! One that cannot be ended breaks off: its reader sees a connection that ended too early, never a short answer.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::watch;
use tracing::warn;

use super::HttpState;
use super::error::streamed;
use super::server::Guest;

/// Why an answer breaks off.
pub(super) type BrokenOff = &'static str;

/// Makes an answer part by part.
pub(super) trait Source: Send + 'static {
    /// The next part; `None` after the last one.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BrokenOff>> + Send;
}

/// What an answer goes out on.
pub(super) struct Line {
    guest: Option<Guest>,
    draining: watch::Receiver<bool>,
}

impl FromRequestParts<HttpState> for Line {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, rooms: &HttpState) -> Result<Line, Infallible> {
        Ok(Line { guest: parts.extensions.get().cloned(), draining: rooms.draining.clone() })
    }
}

/// The answer that a source makes.
pub(super) fn answer(kind: &'static str, line: Line, source: impl Source) -> Response {
    let parts = futures_util::stream::try_unfold((line, source), async |(line, mut source)| match line.part(&mut source).await {
        Ok(part) => Ok(part.map(|part| (part, (line, source)))),
        Err(why) => {
            warn!(why, "an answer broke off");
            Err(std::io::Error::other(why))
        }
    });
    streamed(kind, Body::from_stream(parts))
}

impl Line {
    async fn part(&self, source: &mut impl Source) -> Result<Option<Bytes>, BrokenOff> {
        if *self.draining.borrow() {
            return Err("the server stops");
        }
        if let Some(guest) = &self.guest {
            guest.takes_a_part();
        }
        source.next().await
    }
}
