//! The body of a request, which must keep coming: it fails with [`SlowBody`] when its time is over.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::party::RequestParty;
use super::transfers::Transfers;
use crate::limits::ClientAddress;
use crate::session::{SlowTransfer, TransferDeadline};

/// How long a body may bring nothing, in milliseconds. At the floor of [`TransferDeadline`] it goes on: 2 MiB for 35 minutes at most.
pub(super) const BODY_MS: u64 = 20_000;

/// Why a body is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlowBody {
    /// Nothing came, or less than the floor.
    TooSlow,
    /// It keeps coming, and the server carries as many slow transfers as it may.
    NoPlace,
}

impl fmt::Display for SlowBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SlowBody::TooSlow => "the body arrives too slowly",
            SlowBody::NoPlace => "the body arrives slowly, and too many others do",
        })
    }
}

impl std::error::Error for SlowBody {}

pub(super) struct TimedBody<B> {
    incoming: B,
    transfers: Transfers,
    /// Whose body it is.
    client: ClientAddress,
    party: RequestParty,
    received: u64,
    /// From the first time that somebody waited for the body.
    deadline: Option<TransferDeadline>,
    place: Option<SlowTransfer>,
    sleep: Pin<Box<Sleep>>,
}

impl<B> TimedBody<B> {
    pub(super) fn new(incoming: B, transfers: Transfers, client: ClientAddress, party: RequestParty) -> TimedBody<B> {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        TimedBody { incoming, transfers, client, party, received: 0, deadline: None, place: None, sleep }
    }

    /// Ready when the body has used up its time.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<SlowBody> {
        loop {
            let now_ms = self.transfers.clock.running_ms();
            let deadline = self.deadline.get_or_insert_with(|| TransferDeadline::new(now_ms, BODY_MS, 0));
            deadline.count(now_ms, self.received);
            if deadline.is_over(now_ms) {
                return Poll::Ready(SlowBody::TooSlow);
            }
            if !self.transfers.slow.admit(&mut self.place, deadline.is_slow(now_ms), self.party.get()) {
                return Poll::Ready(SlowBody::NoPlace);
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
        self.poll_over(context).map(|why| Some(Err(why.into())))
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
    use crate::session::{SlowTransfers, TransferParty};

    /// How many seconds a body of this party is waited for that brings `bytes_per_s` and never ends, and why no longer; 600 if it is not given up.
    async fn waited_for(bytes_per_s: usize, party: TransferParty, slow: SlowTransfers) -> (u64, Option<SlowBody>) {
        let elapsed_ms: &AtomicU64 = Box::leak(Box::default());
        let transfers = Transfers { clock: RunningClock::new(Clock::by_hand(elapsed_ms)), slow };
        let (chunks, mut arriving) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
        let stream = futures_util::stream::poll_fn(move |context| arriving.poll_recv(context));
        let (client, request) = (ClientAddress::without_limits([127, 0, 0, 1].into()), RequestParty::default());
        let mut body = TimedBody::new(StreamBody::new(stream), transfers.clone(), client, request.clone());
        let mut extensions = axum::http::Extensions::new();
        extensions.insert(request);
        RequestParty::authenticated(&extensions, party);
        for second in 0..600 {
            chunks.send(Ok(Frame::data(vec![b' '; bytes_per_s].into()))).expect("is open");
            while let Some(frame) = body.frame().now_or_never() {
                match frame.expect("does not end") {
                    Ok(_) => {}
                    Err(error) => return (second, Some(*error.downcast::<SlowBody>().expect("a slow body"))),
                }
            }
            elapsed_ms.fetch_add(1000, Ordering::Relaxed);
            transfers.clock.tick();
            // The runtime lets a task take only so much before it yields.
            tokio::task::yield_now().await;
        }
        (600, None)
    }

    #[tokio::test]
    async fn a_body_goes_on_as_long_as_it_keeps_coming_and_ends_when_it_trickles() {
        let of_device = async |bytes_per_s| waited_for(bytes_per_s, TransferParty::Device, SlowTransfers::default()).await;
        assert_eq!(of_device(8_000).await, (600, None));
        assert_eq!(of_device(1_100).await, (600, None));
        assert!(matches!(of_device(0).await, (19..=21, Some(SlowBody::TooSlow))));
        assert!(matches!(of_device(100).await, (0..25, Some(SlowBody::TooSlow))));
    }

    #[tokio::test]
    async fn a_slow_body_that_finds_no_place_says_so_and_an_unauthenticated_one_has_none() {
        let slow = SlowTransfers::default();
        let devices: Vec<_> = std::iter::from_fn(|| slow.enter(TransferParty::Device)).collect();
        let places = async |party| waited_for(2_000, party, slow.clone()).await;
        assert!(matches!(places(TransferParty::Device).await, (19..=21, Some(SlowBody::NoPlace))));
        assert_eq!(places(TransferParty::Operator).await, (600, None), "operators have their own");
        drop(devices);
        assert_eq!(places(TransferParty::Device).await, (600, None));
        assert!(matches!(places(TransferParty::Unauthenticated).await, (19..=21, Some(SlowBody::NoPlace))));
    }
}
