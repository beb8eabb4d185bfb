//! Responses whose body is produced while it is sent, at the speed of the client, so that a response may be larger than memory.
//!
//! A response that cannot be finished is aborted: the client sees a connection that closed early, never a short body that looks complete.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::watch;
use tracing::warn;

use super::error::ok_streamed;
use super::state::{HttpState, ServerPhase};

/// Why a response was aborted.
pub(super) type AbortReason = &'static str;

/// Produces a body, chunk by chunk.
pub(super) trait ChunkSource: Send + 'static {
    /// The next chunk; `None` after the last one.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, AbortReason>> + Send;
}

/// The connection that a streamed response is sent on.
pub(super) struct StreamConnection {
    phase: watch::Receiver<ServerPhase>,
}

impl FromRequestParts<HttpState> for StreamConnection {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &HttpState) -> Result<StreamConnection, Infallible> {
        Ok(StreamConnection { phase: state.phase.clone() })
    }
}

/// A response with the body that `source` produces.
pub(super) fn streamed_response(content_type: &'static str, connection: StreamConnection, source: impl ChunkSource) -> Response {
    let chunks = futures_util::stream::try_unfold((connection, source), async |(connection, mut source)| {
        match connection.next_chunk(&mut source).await {
            Ok(chunk) => Ok(chunk.map(|chunk| (chunk, (connection, source)))),
            Err(reason) => {
                warn!(reason, "response aborted");
                Err(std::io::Error::other(reason))
            }
        }
    });
    ok_streamed(content_type, Body::from_stream(chunks))
}

impl StreamConnection {
    async fn next_chunk(&self, source: &mut impl ChunkSource) -> Result<Option<Bytes>, AbortReason> {
        if *self.phase.borrow() == ServerPhase::Draining {
            return Err("the server is shutting down");
        }
        source.next().await
    }
}
