//! Controls one open connection from outside its task.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(crate) struct ConnectionControl {
    state: Mutex<ControlState>,
}

struct ControlState {
    frames_to_inject: VecDeque<InjectedFrame>,
    /// Nothing is read or written.
    is_frozen: bool,
    is_closed: bool,
    /// The highest stream whose request the gateway has begun to process.
    highest_begun: u32,
    /// Streams above it are not processed.
    last_stream: u32,
    /// `None` until the client has acknowledged a limit.
    limit: Option<AcknowledgedLimit>,
    /// Wakes the connection's task.
    waker: Option<Waker>,
}

impl ControlState {
    /// A later GOAWAY never names a higher stream (RFC 9113 section 6.8).
    fn go_away_at(&mut self, last_stream: u32) {
        self.last_stream = last_stream.min(self.last_stream);
        self.frames_to_inject.push_back(InjectedFrame::GoAway(self.last_stream));
    }
}

/// A frame that is inserted between those of the HTTP/2 library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectedFrame {
    StreamLimit(u32),
    GoAway(u32),
}

/// The number of streams that a client may have open.
struct AcknowledgedLimit {
    streams: u32,
    /// The limit applies to streams above this one: the client opened this one before it knew the limit.
    above: u32,
}

impl ConnectionControl {
    /// The control of a new connection, whose first frame announces the stream limit.
    pub(crate) fn new(stream_limit: u32, is_frozen: bool) -> ConnectionControl {
        let state = ControlState {
            frames_to_inject: VecDeque::from([InjectedFrame::StreamLimit(stream_limit)]),
            is_frozen,
            is_closed: false,
            highest_begun: 0,
            last_stream: u32::MAX,
            limit: None,
            waker: None,
        };
        ConnectionControl { state: Mutex::new(state) }
    }

    pub(crate) fn limit_streams(&self, streams: u32) {
        self.update(|state| state.frames_to_inject.push_back(InjectedFrame::StreamLimit(streams)));
    }

    /// Sends GOAWAY. Streams above `last_stream` are not processed from now on.
    pub(crate) fn go_away_at(&self, last_stream: u32) {
        self.update(|state| state.go_away_at(last_stream));
    }

    /// Sends GOAWAY with the highest stream that the gateway has begun.
    pub(crate) fn go_away(&self) {
        self.update(|state| state.go_away_at(state.highest_begun));
    }

    pub(crate) fn set_frozen(&self, is_frozen: bool) {
        self.update(|state| state.is_frozen = is_frozen);
    }

    pub(crate) fn close(&self) {
        self.update(|state| state.is_closed = true);
    }

    /// Begins to process a stream's request. Returns false if a GOAWAY told the client that this stream is not processed.
    pub(crate) fn begin_stream(&self, stream: u32) -> bool {
        let mut state = self.lock();
        let begins = stream <= state.last_stream;
        if begins {
            state.highest_begun = state.highest_begun.max(stream);
        }
        begins
    }

    /// Whether a client with `open` open streams may open this one.
    pub(crate) fn allows_stream(&self, stream: u32, open: usize) -> bool {
        let state = self.lock();
        state.limit.as_ref().is_none_or(|limit| stream <= limit.above || u32::try_from(open).is_ok_and(|open| open < limit.streams))
    }

    /// The client has acknowledged the limit, after it had opened streams up to `above`.
    pub(crate) fn limit_acknowledged(&self, streams: u32, above: u32) {
        self.lock().limit = Some(AcknowledgedLimit { streams, above });
    }

    /// Ready unless the connection is frozen; an error once it is closed.
    pub(crate) fn poll_usable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match (state.is_closed, state.is_frozen) {
            (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Poll::Pending,
            (false, false) => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn has_frames_to_inject(&self) -> bool {
        !self.lock().frames_to_inject.is_empty()
    }

    pub(crate) fn next_frame_to_inject(&self) -> Option<InjectedFrame> {
        self.lock().frames_to_inject.pop_front()
    }

    /// Changes the state and wakes the connection's task.
    fn update(&self, change: impl FnOnce(&mut ControlState)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
