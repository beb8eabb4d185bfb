//! The body of a request, which must keep coming: it fails with [`BodyTooSlow`] when its time is over and its bytes came below the floor.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::transfers::Transfers;
use crate::limits::ClientAddress;
use crate::session::{SlowTransfer, TransferDeadline};

/// How long a body may bring nothing, in milliseconds. At the floor of [`TransferDeadline`] it goes on: 2 MiB for 35 minutes at most.
pub(super) const BODY_MS: u64 = 20_000;

/// A body that did not arrive in time.
#[derive(Debug)]
pub(super) struct BodyTooSlow;

impl fmt::Display for BodyTooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body arrives too slowly")
    }
}

impl std::error::Error for BodyTooSlow {}

pub(super) struct TimedBody<B> {
    incoming: B,
    transfers: Transfers,
    /// Whose body it is.
    client: ClientAddress,
    received: u64,
    /// From the first time that somebody waited for the body.
    deadline: Option<TransferDeadline>,
    place: Option<SlowTransfer>,
    sleep: Pin<Box<Sleep>>,
}

impl<B> TimedBody<B> {
    pub(super) fn new(incoming: B, transfers: Transfers, client: ClientAddress) -> TimedBody<B> {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        TimedBody { incoming, transfers, client, received: 0, deadline: None, place: None, sleep }
    }

    /// Ready when the body has used up its time.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now_ms = self.transfers.clock.running_ms();
            let deadline = self.deadline.get_or_insert_with(|| TransferDeadline::new(now_ms, BODY_MS, 0));
            deadline.count(now_ms, self.received);
            if deadline.is_over(now_ms) || !self.transfers.slow.admit(&mut self.place, deadline.is_slow(now_ms)) {
                return Poll::Ready(());
            }
            let left = Duration::from_millis(deadline.at_ms() - now_ms);
            self.sleep.as_mut().reset(tokio::time::Instant::now() + left);
            if self.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for TimedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            self.received += bytes as u64;
            self.client.charge_bytes(self.transfers.clock.running_ms(), bytes as u64);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.poll_over(context).map(|()| Some(Err(BodyTooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::{Clock, RunningClock};

    /// How many seconds a body is waited for that brings `bytes_per_s` and never ends; 600 if it is not given up.
    async fn waited_for_s(bytes_per_s: usize) -> u64 {
        let elapsed_ms: &AtomicU64 = Box::leak(Box::default());
        let transfers = Transfers { clock: RunningClock::new(Clock::by_hand(elapsed_ms)), slow: Default::default() };
        let (chunks, mut arriving) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
        let stream = futures_util::stream::poll_fn(move |context| arriving.poll_recv(context));
        let mut body = TimedBody::new(StreamBody::new(stream), transfers.clone(), ClientAddress::without_limits([127, 0, 0, 1].into()));
        for second in 0..600 {
            chunks.send(Ok(Frame::data(vec![b' '; bytes_per_s].into()))).expect("is open");
            while let Some(frame) = body.frame().now_or_never() {
                match frame.expect("does not end") {
                    Ok(_) => {}
                    Err(error) if error.is::<BodyTooSlow>() => return second,
                    Err(error) => panic!("{error}"),
                }
            }
            elapsed_ms.fetch_add(1000, Ordering::Relaxed);
            transfers.clock.tick();
            // The runtime lets a task take only so much before it yields.
            tokio::task::yield_now().await;
        }
        600
    }

    #[tokio::test]
    async fn a_body_goes_on_as_long_as_it_keeps_coming_and_ends_when_it_trickles() {
        assert_eq!(waited_for_s(8_000).await, 600);
        assert_eq!(waited_for_s(1_100).await, 600);
        assert!((19..=21).contains(&waited_for_s(0).await));
        assert!(waited_for_s(100).await < 25);
    }
}
