//! Responses whose body is produced while it is sent, at the speed of the client, so that a response may be larger than memory.
//!
//! A response that cannot be finished is aborted: the client sees a connection that closed early, never a short body that looks complete.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use tracing::warn;

use super::error::ok_streamed;

/// Why a response was aborted.
pub(super) type AbortReason = &'static str;

/// Produces a body, chunk by chunk.
pub(super) trait ChunkSource: Send + 'static {
    /// The next chunk; `None` after the last one.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, AbortReason>> + Send;
}

/// A response with the body that `source` produces. It goes on while the server drains; then its connection is closed.
pub(super) fn streamed_response(content_type: &'static str, source: impl ChunkSource) -> Response {
    let chunks = futures_util::stream::try_unfold(source, async |mut source| match source.next().await {
        Ok(chunk) => Ok(chunk.map(|chunk| (chunk, source))),
        Err(reason) => {
            warn!(reason, "response aborted");
            Err(std::io::Error::other(reason))
        }
    });
    ok_streamed(content_type, Body::from_stream(chunks))
}
