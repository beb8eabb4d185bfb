//! What a handler leaves unread of a request's body is read and dropped before the answer is sent, also before a refusal.
//!
//! A server that closes a connection with unread bytes resets it, and a client that is still sending then gets an error instead of the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use driftless_protocol::limits;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};

use super::body::BODY_MS;
use crate::session::DrainWatch;

/// How long the rest of a body is read and dropped: no longer than a stalled one is waited for.
const DROP_TIMEOUT: Duration = Duration::from_millis(BODY_MS);

/// How many bytes are read and dropped: twice the largest message. A client that sends more is reset.
const DROPPED_BYTES: usize = 2 * limits::MESSAGE_BYTES;

/// Marks an answer before which nothing more is read: its client has sent too many bytes already.
#[derive(Clone, Copy)]
pub(super) struct LeaveBodyUnread;

/// A body that comes back to its [`UnreadBody`] if it is dropped before its end.
struct LentBody {
    lent: Option<Body>,
    is_begun: bool,
    back: Arc<Mutex<Option<ReturnedBody>>>,
}

enum ReturnedBody {
    Unread {
        rest: Body,
        is_begun: bool,
    },
    /// It failed: it came too slowly, or broke.
    Failed,
}

/// Whether another request can follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// The body was read to its end, or is still being read.
    Reached,
    /// What follows is the rest of the body, which nobody reads.
    NotReached,
}

/// Gets back what was not read of a body.
pub(super) struct UnreadBody {
    back: Arc<Mutex<Option<ReturnedBody>>>,
    /// The client sends its body only when the server reads it (`Expect: 100-continue`).
    awaits_reader: bool,
}

impl Drop for LentBody {
    fn drop(&mut self) {
        if let Some(rest) = self.lent.take() {
            self.give_back(ReturnedBody::Unread { rest, is_begun: self.is_begun });
        }
    }
}

impl LentBody {
    fn give_back(&self, returned: ReturnedBody) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(returned);
    }
}

impl UnreadBody {
    /// Lends a body to the handlers of a request; `None` if there is no body.
    pub(super) fn lend(headers: &HeaderMap, body: Body) -> (Body, Option<UnreadBody>) {
        if body.is_end_stream() {
            return (body, None);
        }
        let back = Arc::default();
        let lent = LentBody { lent: Some(body), is_begun: false, back: Arc::clone(&back) };
        (Body::new(lent), Some(UnreadBody { back, awaits_reader: headers.contains_key(header::EXPECT) }))
    }

    /// Reads and drops the rest, once nobody holds the body any more. A drain does not wait for it.
    pub(super) async fn drop_rest(self, drain: Option<DrainWatch>) -> BodyEnd {
        let returned = self.back.lock().unwrap_or_else(PoisonError::into_inner).take();
        match returned {
            None => BodyEnd::Reached,
            Some(ReturnedBody::Failed) => BodyEnd::NotReached,
            Some(ReturnedBody::Unread { is_begun: false, .. }) if self.awaits_reader => BodyEnd::NotReached,
            Some(ReturnedBody::Unread { rest, .. }) => {
                let draining = async {
                    match drain {
                        Some(mut drain) => drain.begun().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // What has arrived is read first.
                    biased;
                    end = tokio::time::timeout(DROP_TIMEOUT, read_and_drop(rest)) => end.unwrap_or(BodyEnd::NotReached),
                    () = draining => BodyEnd::NotReached,
                }
            }
        }
    }
}

async fn read_and_drop(mut body: Body) -> BodyEnd {
    let mut dropped = 0;
    loop {
        match body.frame().await {
            None => return BodyEnd::Reached,
            Some(Err(_)) => return BodyEnd::NotReached,
            Some(Ok(frame)) => dropped += frame.data_ref().map_or(0, Bytes::len),
        }
        if dropped > DROPPED_BYTES {
            return BodyEnd::NotReached;
        }
    }
}

impl hyper::body::Body for LentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun = true;
        let Some(lent) = &mut self.lent else { return Poll::Ready(None) };
        let frame = Pin::new(lent).poll_frame(context);
        // After its end and after an error there is nothing to get back.
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.lent = None;
        }
        if let Poll::Ready(Some(Err(_))) = frame {
            self.give_back(ReturnedBody::Failed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.lent.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.lent.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::HeaderValue;
    use futures_util::stream;

    use super::*;
    use crate::session::DrainControl;

    /// A body of parts of 1 KiB that counts those that were taken.
    fn counted(parts: usize, taken: &Arc<AtomicUsize>) -> Body {
        let taken = Arc::clone(taken);
        let next = move |_| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1024]))
        };
        Body::from_stream(stream::iter((0..parts).map(next)))
    }

    async fn taken_of(parts: usize, headers: &HeaderMap, handler: impl AsyncFnOnce(Body)) -> (usize, BodyEnd) {
        let taken = Arc::default();
        let (body, unread) = UnreadBody::lend(headers, counted(parts, &taken));
        handler(body).await;
        let end = unread.expect("has a body").drop_rest(None).await;
        (taken.load(Ordering::Relaxed), end)
    }

    #[tokio::test]
    async fn what_a_handler_leaves_is_read_to_the_end_or_the_bound() {
        let plain = HeaderMap::new();
        let whole = (100, BodyEnd::Reached);
        assert_eq!(taken_of(100, &plain, async |body| drop(body)).await, whole, "nothing was read");
        assert_eq!(taken_of(100, &plain, async |mut body| drop(body.frame().await)).await, whole, "a part was read");
        assert_eq!(taken_of(100, &plain, async |body| drop(body.collect().await)).await, whole, "all was read");
        let bound = (DROPPED_BYTES / 1024 + 1, BodyEnd::NotReached);
        assert_eq!(taken_of(100_000, &plain, async |body| drop(body)).await, bound);
    }

    #[tokio::test]
    async fn a_client_that_waits_is_not_asked_for_a_body_that_nobody_reads() {
        let waits = HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static("100-continue"))]);
        assert_eq!(taken_of(100, &waits, async |body| drop(body)).await, (0, BodyEnd::NotReached));
        assert_eq!(taken_of(100, &waits, async |mut body| drop(body.frame().await)).await, (100, BodyEnd::Reached));
        assert!(UnreadBody::lend(&waits, Body::empty()).1.is_none());
    }

    #[tokio::test]
    async fn a_drain_does_not_wait_for_a_body_that_nobody_reads() {
        let drain = DrainControl::default();
        let (body, unread) = UnreadBody::lend(&HeaderMap::new(), Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        drop(body);
        drain.begin();
        assert_eq!(unread.expect("has a body").drop_rest(Some(drain.watch())).await, BodyEnd::NotReached);
    }

    #[tokio::test]
    async fn after_a_body_that_failed_no_request_can_follow() {
        let parts = stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("too slow"))]);
        let (body, unread) = UnreadBody::lend(&HeaderMap::new(), Body::from_stream(parts));
        assert!(body.collect().await.is_err());
        assert_eq!(unread.expect("has a body").drop_rest(None).await, BodyEnd::NotReached);
    }
}
