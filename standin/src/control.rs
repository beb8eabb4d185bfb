//! What the gateway does to one open connection, from outside of its task.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(super) struct Control {
    inner: Mutex<Inner>,
}

struct Inner {
    injections: VecDeque<Injection>,
    /// Nothing is read or written.
    frozen: bool,
    /// The connection ends.
    cut: bool,
    /// The highest stream that the gateway began with.
    begun: u32,
    /// Streams above it are not processed.
    last_stream: u32,
    /// What the client acknowledged.
    limit: Option<Limit>,
    /// The connection's task.
    waker: Option<Waker>,
}

impl Inner {
    /// A later GOAWAY never names a higher stream (RFC 9113 section 6.8).
    fn go_away_at(&mut self, last_stream: u32) {
        self.last_stream = last_stream.min(self.last_stream);
        self.injections.push_back(Injection::GoAway(self.last_stream));
    }
}

/// A frame that goes between those of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Injection {
    StreamLimit(u32),
    GoAway(u32),
}

/// How many streams a client may have open.
struct Limit {
    streams: u32,
    /// It holds for streams above this one, which was opened before the client knew.
    above: u32,
}

impl Control {
    /// Of a new connection, whose first frame says how many streams a client may have open.
    pub(super) fn new(streams: u32, frozen: bool) -> Control {
        let injections = VecDeque::from([Injection::StreamLimit(streams)]);
        let (last_stream, limit, waker) = (u32::MAX, None, None);
        Control { inner: Mutex::new(Inner { injections, frozen, cut: false, begun: 0, last_stream, limit, waker }) }
    }

    pub(super) fn limit_streams(&self, streams: u32) {
        self.change(|inner| inner.injections.push_back(Injection::StreamLimit(streams)));
    }

    /// Streams above this one are not processed from now on.
    pub(super) fn go_away_at(&self, last_stream: u32) {
        self.change(|inner| inner.go_away_at(last_stream));
    }

    /// The same, of what was not begun.
    pub(super) fn go_away(&self) {
        self.change(|inner| inner.go_away_at(inner.begun));
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.change(|inner| inner.frozen = frozen);
    }

    pub(super) fn cut(&self) {
        self.change(|inner| inner.cut = true);
    }

    /// Begins with a stream's request, unless the client was told that it is not processed.
    pub(super) fn begin(&self, stream: u32) -> bool {
        let mut inner = self.lock();
        let begins = stream <= inner.last_stream;
        if begins {
            inner.begun = inner.begun.max(stream);
        }
        begins
    }

    /// Whether a client that has so many streams open may open this one.
    pub(super) fn allows(&self, stream: u32, open: usize) -> bool {
        let inner = self.lock();
        inner.limit.as_ref().is_none_or(|limit| stream <= limit.above || u32::try_from(open).is_ok_and(|open| open < limit.streams))
    }

    /// The client knows the limit; it had opened streams up to this one.
    pub(super) fn acknowledged(&self, streams: u32, above: u32) {
        self.lock().limit = Some(Limit { streams, above });
    }

    /// Ready while the connection may be used.
    pub(super) fn poll_use(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        match &mut inner.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match (inner.cut, inner.frozen) {
            (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Poll::Pending,
            (false, false) => Poll::Ready(Ok(())),
        }
    }

    /// Whether a frame waits to go between those of the library.
    pub(super) fn has_injections(&self) -> bool {
        !self.lock().injections.is_empty()
    }

    pub(super) fn next_injection(&self) -> Option<Injection> {
        self.lock().injections.pop_front()
    }

    /// Changes something that the connection's task must see.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
