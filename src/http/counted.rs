//! The memory of requests with a token: a request has it before its body is read, and an answer until its client has taken it.
//!
//! A request that finds none waits for [`MEMORY_WAIT`], and nothing of it is read meanwhile; then it is refused with the time to come back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use driftless_protocol::limits;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tracing::info;

use super::body::BODY_MS;
use super::error::HttpError;
use super::state::HttpState;
use crate::committer::Unavailable;
use crate::limits::{HeldMemory, LimitExceeded, LimitedUse, MemoryUse};
use crate::session::AuthError;

/// How long a request waits for memory: as long as a body may bring nothing.
const MEMORY_WAIT: Duration = Duration::from_millis(BODY_MS);

/// What a request takes beside its body: the connection's buffers.
const REQUEST_BYTES: usize = 64 * 1024;

/// What a body needs for each of its bytes: it lies in memory as it came, and decoded beside it.
const COPIES: usize = 2;

/// How much of an answer the connection takes into its own buffers at a time.
const PART_BYTES: usize = 16 * 1024;

/// What a request takes in memory, from the length that its head says. A body without a length may become as large as any.
pub(super) fn request_bytes(body: &Body) -> usize {
    let most = limits::MESSAGE_BYTES;
    let body_bytes = body.size_hint().exact().map_or(most, |bytes| usize::try_from(bytes).unwrap_or(most).min(most));
    REQUEST_BYTES + COPIES * body_bytes
}

/// Takes the memory of a request.
pub(super) async fn take_for_request(state: &HttpState, identity: &Arc<str>, bytes: usize) -> Result<HeldMemory, HttpError> {
    take(state, identity, MemoryUse::Received, bytes).await
}

/// Runs a request whose memory was taken, and counts its answer.
pub(super) async fn run(
    state: &HttpState,
    identity: &Arc<str>,
    request: Request,
    next: Next,
    memory: HeldMemory,
) -> Result<Response, HttpError> {
    let mut answer_memory = take(state, identity, MemoryUse::Answers, limits::MESSAGE_BYTES).await?;
    let is_safe = request.method().is_safe();
    let running = async move {
        let response = next.run(request).await;
        drop(memory);
        response
    };
    // What changes something is run to its end, also if its client hangs up: its patch is in memory until then.
    let response = if is_safe { running.await } else { tokio::spawn(running).await.map_err(|_| Unavailable::Now)? };
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| Unavailable::Now)?.to_bytes();
    if !answer_memory.try_grow_to(bytes.len()) {
        return Err(refused(state, identity));
    }
    Ok(Response::from_parts(parts, counted_body(answer_memory, bytes)))
}

/// An answer's body, which counts until its client has taken it.
pub(super) fn counted_body(memory: HeldMemory, bytes: Bytes) -> Body {
    Body::new(SlicedBody { rest: memory.hold(bytes.into()) })
}

/// Takes more memory for an answer that turns out to be larger than one message, if there is some.
pub(super) fn take_more(state: &HttpState, identity: &Arc<str>, bytes: usize) -> Result<HeldMemory, HttpError> {
    state.sessions.memory().try_take(identity, MemoryUse::Answers, bytes).ok_or_else(|| refused(state, identity))
}

async fn take(state: &HttpState, identity: &Arc<str>, what: MemoryUse, bytes: usize) -> Result<HeldMemory, HttpError> {
    let taking = state.sessions.memory().take(identity, what, bytes);
    tokio::time::timeout(MEMORY_WAIT, taking).await.map_err(|_| refused(state, identity))
}

fn refused(state: &HttpState, identity: &str) -> HttpError {
    state.metrics.limit_exceeded(LimitedUse::IdentityMemory.code());
    info!(%identity, limit = LimitedUse::IdentityMemory.code(), "refused: over a limit");
    HttpError::Auth(AuthError::LimitExceeded(LimitExceeded::while_open(LimitedUse::IdentityMemory)))
}

/// A body that is handed over in parts, so that the rest counts until the client has read what was before it.
struct SlicedBody {
    rest: Bytes,
}

impl hyper::body::Body for SlicedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PART_BYTES);
        let part = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
