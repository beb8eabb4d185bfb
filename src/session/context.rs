//! Everything of a session but its socket, subscriptions and pending patches: its principal, its timers, its signals, and the state that signals change.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use driftless_protocol::{CloseCode, limits};
use futures_util::FutureExt;
use tokio::time::Sleep;

use super::closing::Closing;
use super::framed::SocketCounter;
use super::progress::{SlowTransfer, TransferParty};
use super::received::ReceivedBytes;
use super::services::SessionServices;
use super::socket::PeerGone;
use super::timers::{ClockReading, SessionTimers, TimerAction};
use crate::hub::{SessionSignals, Signal, SignalSet};
use crate::limits::{CHARGE_BYTES, HeldMemory, MESSAGE_WORK_BYTES, MemoryUse};
use crate::store::Identity;
use crate::sync::{LoginToken, Principal};

/// How long a session keeps its socket's buffers after the last message, in milliseconds.
const IDLE_MS: u64 = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// The server closes it, and tells the device why.
    Close(Closing),
    /// The device disconnected.
    Disconnected,
}

impl From<CloseCode> for SessionEnd {
    fn from(code: CloseCode) -> SessionEnd {
        SessionEnd::Close(code.into())
    }
}

impl From<PeerGone> for SessionEnd {
    fn from(_: PeerGone) -> SessionEnd {
        SessionEnd::Disconnected
    }
}

/// Whether the session takes messages of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Listening,
    /// The last message was a heartbeat, so the device will probably send nothing more for a while. The session still listens.
    Idle,
    /// The server shuts down: patches that were submitted are answered, no further message is taken.
    Draining,
}

/// Whether the session may have something to send without waiting for another event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    Empty,
    Pending,
}

/// Whether a tick was raised since the timers were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tick {
    None,
    Raised,
}

/// Whether the identity's logins changed since the session looked at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginsNews {
    None,
    Changed,
}

pub(super) struct SessionContext<'a> {
    pub(super) services: &'a SessionServices,
    pub(super) who: Principal,
    pub(super) signals: Arc<SessionSignals>,
    pub(super) timers: SessionTimers,
    pub(super) intake: Intake,
    pub(super) backlog: Backlog,
    tick: Tick,
    /// The token with which the device signed in, or which it has renewed.
    pub(super) token: LoginToken,
    logins: LoginsNews,
    scheduled: ScheduledTicks,
    /// Counts what the socket carries.
    counter: SocketCounter,
    /// What of it is charged to the client and the pool.
    pub(super) received: ReceivedBytes,
    /// The place of the message or send that lasts longer than its time.
    slow_transfer: Option<SlowTransfer>,
    /// Waits for the memory of a message that arrives.
    message_memory: Option<MemoryWait>,
    /// Bytes that were received and sent, and are not charged to the identity yet.
    work_bytes: u64,
    /// Ends when the identity is within its rate again.
    page_pause: Option<Pin<Box<Sleep>>>,
    presence: Presence<'a>,
}

/// While this exists the hub knows the session, and it is counted as open. Dropping it undoes both, whatever ended the session.
struct Presence<'a> {
    services: &'a SessionServices,
    identity: Identity,
    signals: Arc<SessionSignals>,
    end: &'static str,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.services.hub.remove_session(self.identity.as_str(), &self.signals);
        self.services.metrics.session_closed(self.end);
    }
}

type MemoryWait = Pin<Box<dyn Future<Output = HeldMemory> + Send>>;

/// When the wheel will raise the ticks that this session has scheduled, in milliseconds of monotonic time.
#[derive(Default)]
struct ScheduledTicks {
    idle_ms: Option<u64>,
    deadline_ms: Option<u64>,
}

impl<'a> SessionContext<'a> {
    /// Makes the session known to the hub.
    pub(super) fn new(
        services: &'a SessionServices,
        who: Principal,
        signals: SessionSignals,
        token: LoginToken,
        timers: SessionTimers,
        counter: SocketCounter,
        received: ReceivedBytes,
    ) -> SessionContext<'a> {
        let signals = Arc::new(signals);
        services.hub.add_session(who.identity.text(), &who.device, &signals);
        services.metrics.session_opened();
        let presence = Presence { services, identity: who.identity.clone(), signals: Arc::clone(&signals), end: "failed" };
        SessionContext {
            services,
            who,
            signals,
            timers,
            intake: Intake::Listening,
            // The timers are checked, and the welcome is flushed, before the first event.
            backlog: Backlog::Pending,
            tick: Tick::Raised,
            token,
            logins: LoginsNews::None,
            scheduled: ScheduledTicks::default(),
            counter,
            received,
            slow_transfer: None,
            message_memory: None,
            work_bytes: 0,
            page_pause: None,
            presence,
        }
    }

    /// Sets the reason that the session is counted under when it is dropped.
    pub(super) fn set_end_reason(&mut self, reason: &'static str) {
        self.presence.end = reason;
    }

    /// Charges what has arrived to the client and the pool. Over a limit the session reads nothing until a tick.
    pub(super) fn charge_received(&mut self) {
        let arrived = self.counter.arrived();
        if self.received.is_chargeable(arrived)
            && let Some(until_ms) = self.received.charge(arrived, &self.who.pool, self.services.now().elapsed_ms)
        {
            self.services.metrics.limit_exceeded("session_paused");
            self.schedule_tick(until_ms);
        }
    }

    /// Counts a message that was received or is sent as work for the identity. Over its rate the session reads no message of the device until a tick,
    /// and sends no page of the store until a time of its own: pages of a second's ticks at once would take the cores from all other sessions.
    pub(super) fn charge_work(&mut self, bytes: usize) {
        self.work_bytes += (MESSAGE_WORK_BYTES + bytes) as u64;
        if self.work_bytes < CHARGE_BYTES {
            return;
        }
        let (now_ms, work_bytes) = (self.services.now().elapsed_ms, std::mem::take(&mut self.work_bytes));
        if let Err(exceeded) = self.who.pool.used.charge_work(self.who.identity.text(), now_ms, work_bytes) {
            self.services.metrics.limit_exceeded(exceeded.what.code());
            let until_ms = self.received.pause(now_ms, exceeded);
            self.page_pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(until_ms - now_ms))));
            self.schedule_tick(until_ms);
        }
    }

    /// Whether pages wait, because the identity is over its rate.
    pub(super) fn are_pages_paused(&self) -> bool {
        self.page_pause.is_some()
    }

    /// Whether there is something to send without waiting for another event; ready also when pages have waited for long enough.
    pub(super) fn poll_backlog(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.page_pause
            && pause.as_mut().poll(context).is_ready()
        {
            self.page_pause = None;
            return Poll::Ready(());
        }
        match self.backlog {
            Backlog::Pending => Poll::Ready(()),
            Backlog::Empty => Poll::Pending,
        }
    }

    /// Takes the memory for a message that arrives.
    pub(super) fn poll_message_memory(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<HeldMemory> {
        let (memory, identity) = (&self.services.memory, self.who.identity.text());
        let wait = self.message_memory.get_or_insert_with(|| Box::pin(memory.take(identity, MemoryUse::Received, bytes)));
        let taken = std::task::ready!(wait.as_mut().poll(context));
        self.message_memory = None;
        Poll::Ready(taken)
    }

    /// Whether a message waits for its memory.
    pub(super) fn waits_for_memory(&self) -> bool {
        self.message_memory.is_some()
    }

    /// Memory for the largest answer, if there is some now.
    pub(super) fn try_take_answer_memory(&self) -> Option<HeldMemory> {
        self.services.memory.try_take(self.who.identity.text(), MemoryUse::Answers, limits::MESSAGE_BYTES)
    }

    /// The same, as soon as there is some. Handles signals meanwhile, and the session reads nothing.
    pub(super) async fn take_answer_memory(&mut self) -> Result<HeldMemory, SessionEnd> {
        let taking = self.services.memory.take(self.who.identity.text(), MemoryUse::Answers, limits::MESSAGE_BYTES);
        let mut taking = std::pin::pin!(taking);
        self.set_reading(false);
        loop {
            self.schedule_awake_ticks();
            tokio::select! {
                biased;
                taken = &mut taking => return Ok(taken),
                signals = self.signals.wait() => {
                    self.handle_signals(signals)?;
                    self.check_while_waiting()?;
                }
            }
        }
    }

    /// What ends a session that waits, for its peer or for memory.
    fn check_while_waiting(&mut self) -> Result<(), SessionEnd> {
        if self.intake == Intake::Draining {
            return Err(CloseCode::Restarting.into());
        }
        match self.check_timers() {
            TimerAction::Close(code) => Err(code.into()),
            TimerAction::Wait | TimerAction::RequestRenewal(_) | TimerAction::SendPing => Ok(()),
        }
    }

    /// Waits for a send, which ends when the peer reads, and handles signals meanwhile.
    pub(super) async fn await_send<T>(&mut self, sending: impl Future<Output = T>) -> Result<T, SessionEnd> {
        let mut sending = std::pin::pin!(sending);
        if let Some(done) = sending.as_mut().now_or_never() {
            return Ok(done);
        }
        self.timers.send_blocked(self.services.now(), self.counter.bytes());
        loop {
            self.schedule_awake_ticks();
            tokio::select! {
                biased;
                done = &mut sending => {
                    self.timers.send_done(self.services.now());
                    self.slow_transfer = None;
                    return Ok(done);
                }
                signals = self.signals.wait() => {
                    self.handle_signals(signals)?;
                    self.check_while_waiting()?;
                }
            }
        }
    }

    /// The device sent a whole message.
    pub(super) fn message_received(&mut self) {
        self.timers.message_received(self.services.now(), self.counter.bytes());
        self.slow_transfer = None;
    }

    /// Whether the session takes messages of its device now. Silence of one that is not read proves nothing.
    pub(super) fn set_reading(&mut self, is_reading: bool) {
        match (is_reading, self.timers.is_reading()) {
            (true, false) => self.timers.reading_resumed(self.services.now()),
            (false, true) => self.timers.reading_stopped(self.services.now()),
            (true, true) | (false, false) => {}
        }
    }

    pub(super) fn handle_signals(&mut self, signals: SignalSet) -> Result<(), SessionEnd> {
        if signals.contains(Signal::Replaced) {
            return Err(CloseCode::Replaced.into());
        }
        if signals.contains(Signal::Erased) {
            return Err(CloseCode::Erased.into());
        }
        if signals.contains(Signal::Moved) {
            return Err(CloseCode::Moved.into());
        }
        if signals.contains(Signal::Revoked) {
            return Err(CloseCode::Revoked.into());
        }
        if signals.contains(Signal::Drain) {
            self.intake = Intake::Draining;
        }
        if signals.contains(Signal::LoginsChanged) {
            self.logins = LoginsNews::Changed;
        }
        if signals.contains(Signal::Changed) {
            self.backlog = Backlog::Pending;
        }
        if signals.contains(Signal::Tick) {
            let now_ms = self.services.now().elapsed_ms;
            self.tick = Tick::Raised;
            self.scheduled.remove_raised(now_ms);
            self.received.resume(now_ms);
        }
        Ok(())
    }

    /// After a heartbeat the session is idle, after any other message it listens. A draining session stays draining.
    pub(super) fn update_intake(&mut self, is_heartbeat: bool) {
        self.intake = match (self.intake, is_heartbeat) {
            (Intake::Draining, _) => Intake::Draining,
            (Intake::Listening | Intake::Idle, true) => Intake::Idle,
            (Intake::Listening | Intake::Idle, false) => Intake::Listening,
        };
    }

    /// Whether the logins changed since the last call.
    pub(super) fn take_logins_news(&mut self) -> LoginsNews {
        std::mem::replace(&mut self.logins, LoginsNews::None)
    }

    /// The timers' next action, if a tick was raised since the last call.
    pub(super) fn check_deadlines(&mut self) -> TimerAction {
        match std::mem::replace(&mut self.tick, Tick::None) {
            Tick::None => TimerAction::Wait,
            Tick::Raised => self.check_timers(),
        }
    }

    fn check_timers(&mut self) -> TimerAction {
        let now = self.services.now();
        let action = self.timers.check(now, self.counter.bytes());
        if self.services.slow_transfers.admit(&mut self.slow_transfer, self.timers.is_slow(now), TransferParty::Device) {
            action
        } else {
            TimerAction::Close(CloseCode::Overloaded)
        }
    }

    /// Whether the last message is long enough ago for the socket to give its buffers back.
    pub(super) fn may_sleep(&self) -> bool {
        self.services.now().elapsed_ms >= self.timers.last_message_ms() + IDLE_MS
    }

    /// For a socket that holds buffers: ensures that the wheel raises a tick when the socket may sleep, and one at the next deadline.
    pub(super) fn schedule_awake_ticks(&mut self) {
        let now = self.services.now();
        if self.scheduled.idle_ms.is_none() {
            self.scheduled.idle_ms = Some(self.schedule_tick(now.elapsed_ms + IDLE_MS));
        }
        self.schedule_deadline_after(now);
    }

    /// Ensures that the wheel raises a tick at the next deadline.
    pub(super) fn schedule_deadline_tick(&mut self) {
        self.schedule_deadline_after(self.services.now());
    }

    fn schedule_deadline_after(&mut self, now: ClockReading) {
        let deadline_ms = self.timers.next_check_ms(now, self.counter.bytes());
        if self.scheduled.deadline_ms.is_none_or(|scheduled_ms| scheduled_ms > deadline_ms) {
            self.scheduled.deadline_ms = Some(self.schedule_tick(deadline_ms));
        }
    }

    fn schedule_tick(&self, at_ms: u64) -> u64 {
        self.services.wheel.schedule_tick(at_ms, &self.signals)
    }
}

impl ScheduledTicks {
    fn remove_raised(&mut self, now_ms: u64) {
        self.idle_ms = self.idle_ms.filter(|at_ms| *at_ms > now_ms);
        self.deadline_ms = self.deadline_ms.filter(|at_ms| *at_ms > now_ms);
    }
}
