//! A session at its desk: who it is, its deadlines, its mailbox. All of it but the socket and what it sends.

use std::future::Future;
use std::sync::Arc;

use driftless_protocol::CloseCode;
use futures_util::FutureExt;

use super::Inner;
use super::machine::{Check, Machine};
use super::socket::Gone;
use super::tap::Progress;
use crate::hub::{Mailbox, Mark, Marks};
use crate::store::Identity;
use crate::sync::Principal;

/// How long a session stays awake, with its buffers, after the last message, in milliseconds.
const DROWSY_MS: u64 = 2_000;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this code, which the device is told.
    Close(CloseCode),
    /// The device went.
    Gone,
}

impl From<Gone> for End {
    fn from(_: Gone) -> End {
        End::Gone
    }
}

/// All of a session but its socket and what it sends.
pub(super) struct SessionContext<'a> {
    pub(super) inner: &'a Inner,
    pub(super) who: Principal,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) machine: Machine,
    alarms: Alarms,
    pub(super) draining: bool,
    /// A deadline may have passed.
    pub(super) recheck: bool,
    /// A dataset may have moved since it was looked at.
    pub(super) moved: bool,
    /// Counts what the peer took.
    progress: Progress,
    /// While this is here the session is known to the hub, and counted.
    presence: Presence<'a>,
}

/// A session that is known; at the latest when it is dropped it no longer is, whatever ended it.
struct Presence<'a> {
    inner: &'a Inner,
    identity: Identity,
    mailbox: Arc<Mailbox>,
    end: &'static str,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.inner.hub.leave(self.identity.as_str(), &self.mailbox);
        self.inner.metrics.session_closed(self.end);
    }
}

/// The marks that this session has asked the wheel for and not got yet, by when, in milliseconds.
#[derive(Default)]
struct Alarms {
    nap_ms: Option<u64>,
    deadline_ms: Option<u64>,
}

impl<'a> SessionContext<'a> {
    /// A session comes in: the hub knows it from now on.
    pub(super) fn new(inner: &'a Inner, who: Principal, session: u64, machine: Machine, progress: Progress) -> SessionContext<'a> {
        let mailbox = Arc::new(Mailbox::new(session));
        inner.hub.enter(who.identity.text(), &who.device, &mailbox);
        inner.metrics.session_opened();
        let presence = Presence { inner, identity: who.identity.clone(), mailbox: Arc::clone(&mailbox), end: "failed" };
        let alarms = Alarms::default();
        SessionContext { inner, who, mailbox, machine, alarms, draining: false, recheck: true, moved: false, progress, presence }
    }

    /// A session goes, for this reason.
    pub(super) fn leave(&mut self, reason: &'static str) {
        self.presence.end = reason;
    }

    /// Waits for the peer to take something, with an eye on the mailbox.
    pub(super) async fn guarded<T>(&mut self, sending: impl Future<Output = T>) -> Result<T, End> {
        let mut sending = std::pin::pin!(sending);
        if let Some(done) = sending.as_mut().now_or_never() {
            return Ok(done);
        }
        let mut taken = self.progress.count();
        self.machine.stalled(self.inner.now());
        loop {
            self.set_alarms(true);
            tokio::select! {
                biased;
                done = &mut sending => {
                    self.machine.flowing();
                    return Ok(done);
                }
                marks = self.mailbox.marks() => {
                    self.heed(marks)?;
                    if self.draining {
                        return Err(End::Close(CloseCode::Restarting));
                    }
                    // A slow peer is no stuck one.
                    if std::mem::replace(&mut taken, self.progress.count()) != taken {
                        self.machine.flowing();
                        self.machine.stalled(self.inner.now());
                    }
                    if let Check::End(code) = self.machine.check(self.inner.now()) {
                        return Err(End::Close(code));
                    }
                }
            }
        }
    }

    pub(super) fn heed(&mut self, marks: Marks) -> Result<(), End> {
        if marks.has(Mark::Replaced) {
            return Err(End::Close(CloseCode::Replaced));
        }
        if marks.has(Mark::Erased) {
            return Err(End::Close(CloseCode::Erased));
        }
        if marks.has(Mark::Merged) {
            return Err(End::Close(CloseCode::Moved));
        }
        if marks.has(Mark::Revoked) {
            return Err(End::Close(CloseCode::Revoked));
        }
        self.draining |= marks.has(Mark::Drain);
        self.moved |= marks.has(Mark::Moved);
        if marks.has(Mark::Tick) {
            self.recheck = true;
            self.alarms.rang(self.inner.now().elapsed_ms);
        }
        Ok(())
    }

    pub(super) fn may_sleep(&self) -> bool {
        self.inner.now().elapsed_ms >= self.machine.heard_ms() + DROWSY_MS
    }

    /// Sees to it that the wheel wakes this session when it has something to look at.
    pub(super) fn set_alarms(&mut self, awake: bool) {
        let now = self.inner.now();
        if awake && self.alarms.nap_ms.is_none() {
            self.alarms.nap_ms = Some(self.ring(now.elapsed_ms + DROWSY_MS));
        }
        let deadline_ms = self.machine.deadline_ms(now);
        if self.alarms.deadline_ms.is_none_or(|set_ms| set_ms > deadline_ms) {
            self.alarms.deadline_ms = Some(self.ring(deadline_ms));
        }
    }

    fn ring(&self, at_ms: u64) -> u64 {
        self.inner.wheel.add(at_ms, &self.mailbox)
    }
}

impl Alarms {
    fn rang(&mut self, now_ms: u64) {
        self.nap_ms = self.nap_ms.filter(|at_ms| *at_ms > now_ms);
        self.deadline_ms = self.deadline_ms.filter(|at_ms| *at_ms > now_ms);
    }
}
