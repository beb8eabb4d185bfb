//! How other parts of the server reach a session: a set of signals, never a queue.

use std::future::poll_fn;
use std::task::{Context, Poll};

use driftless_protocol::Codec;
use futures_util::task::AtomicWaker;

use super::primitives::{AtomicU8, Ordering};

/// One reason for a session to wake up. The values are bits of a [`SignalSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Signal {
    /// A dataset that the session subscribed to has a newer version.
    Changed = 1,
    /// A deadline of the session may have passed.
    Tick = 2,
    /// A newer session of the same device took over.
    Replaced = 4,
    /// The server shuts down.
    Drain = 8,
    /// The identity was erased.
    Erased = 16,
    /// The identity was merged into another one, or the device was forgotten: the device signs in again.
    Moved = 32,
    /// The device was revoked.
    Revoked = 64,
    /// A login was linked to the identity, or tokens of its logins are refused.
    LoginsChanged = 128,
}

/// The signals that a session took in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(u8);

impl SignalSet {
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal as u8 != 0
    }
}

/// The signals of one session. Only one task at a time may wait for them, because there is one waker.
#[derive(Debug)]
pub struct SessionSignals {
    session: u64,
    codec: Codec,
    pending: AtomicU8,
    waker: AtomicWaker,
}

impl SessionSignals {
    /// An empty set, for the session with this number, which uses MessagePack.
    pub fn new(session: u64) -> SessionSignals {
        SessionSignals::with_codec(session, Codec::MsgPack)
    }

    /// An empty set, for the session with this number.
    pub fn with_codec(session: u64, codec: Codec) -> SessionSignals {
        SessionSignals { session, codec, pending: AtomicU8::new(0), waker: AtomicWaker::new() }
    }

    /// What the session's messages are encoded in.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The session's number, unique in this process.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Adds a signal, and wakes the session unless the signal was pending already.
    pub fn raise(&self, signal: Signal) {
        if self.pending.fetch_or(signal as u8, Ordering::AcqRel) & signal as u8 == 0 {
            self.waker.wake();
        }
    }

    /// Waits until signals are pending, and takes them. Cancel safe: no signal is lost if the future is dropped.
    pub async fn wait(&self) -> SignalSet {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// Takes the pending signals. If there are none, the task is woken by the next one.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<SignalSet> {
        if let Some(signals) = self.take() {
            return Poll::Ready(signals);
        }
        self.waker.register(context.waker());
        // A signal may have been raised before the waker was registered.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn take(&self) -> Option<SignalSet> {
        let signals = self.pending.swap(0, Ordering::AcqRel);
        (signals != 0).then_some(SignalSet(signals))
    }
}
