//! The loop of one session: takes one event, handles it, then sends what can be sent.
//!
//! The inputs are polled in turn, each of them first in every fourth round, so that none starves:
//! - signals: the session is to end or to drain, a tick, a dataset that changed;
//! - replies of the committer to this session's patches, in the order of the patches;
//! - messages of the device, as long as the session takes messages and its patch window has space;
//! - the backlog: changes that can be sent without waiting for another event.
//!
//! After each event some of the backlog is sent, a page of each dataset at most. While the peer does not read, only signals are handled.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use driftless_protocol::{CloseCode, ServerMessage, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::closing::Closing;
use super::context::{Backlog, Intake, LoginsNews, SessionEnd};
use super::live::LiveSession;
use super::services::session_name;
use super::socket::{Incoming, SessionSocket};
use super::timers::TimerAction;
use crate::committer::Unavailable;
use crate::hub::{Signal, SignalSet, encode_frame};
use crate::store::Decision;

/// How long the close of a session may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a session's patches that are not answered yet, beyond which it takes no further message: one large patch goes behind the other.
const SESSION_PATCH_BYTES: usize = 64 * 1024;

/// What the loop polls, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Signals,
    Replies,
    Messages,
    Backlog,
}

impl Input {
    const COUNT: usize = 4;

    fn next(self) -> Input {
        match self {
            Input::Signals => Input::Replies,
            Input::Replies => Input::Messages,
            Input::Messages => Input::Backlog,
            Input::Backlog => Input::Signals,
        }
    }
}

/// What an input yielded.
pub(super) enum SessionEvent {
    Signals(SignalSet),
    Reply(Result<Decision, Unavailable>),
    Message(Incoming),
    Backlog,
}

pub(super) struct SessionDriver<'a, S> {
    pub(super) session: LiveSession<'a, S>,
    /// The input that was polled first in the last round.
    polled_first: Input,
}

/// Sends the reason and closes the socket. Errors are ignored: the peer may be gone, and the session is over in any case.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut SessionSocket<S>, why: Closing, reconnect_after_ms: Option<u64>) {
    let code = why.code;
    let bye = encode_frame(socket.codec(), &why.bye(reconnect_after_ms)).into();
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, async {
        socket.feed(bye).await?;
        socket.close(code).await
    })
    .await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<'_, S> {
    /// The backlog is polled first, so that the welcome is flushed before any other event.
    pub(super) fn new(session: LiveSession<'_, S>) -> SessionDriver<'_, S> {
        SessionDriver { session, polled_first: Input::Messages }
    }

    /// Runs the session until it is closed.
    ///
    /// This future lives as long as the session, asleep or not. Large short-lived futures are boxed, so that a sleeping session is small.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = loop {
            let event = poll_fn(|context| self.poll_event(context)).await;
            if let Err(end) = Box::pin(self.handle_event(event)).await {
                break end;
            }
        };
        Box::pin(self.finish(end)).await;
    }

    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<SessionEvent> {
        self.polled_first = self.polled_first.next();
        let mut input = self.polled_first;
        for _ in 0..Input::COUNT {
            let event = self.poll_input(input, context);
            if event.is_ready() {
                return event;
            }
            input = input.next();
        }
        Poll::Pending
    }

    fn poll_input(&mut self, input: Input, context: &mut Context<'_>) -> Poll<SessionEvent> {
        match input {
            Input::Signals => self.session.context.signals.poll_take(context).map(SessionEvent::Signals),
            Input::Replies => self.poll_reply(context),
            Input::Messages if self.takes_messages() => self.poll_message(context).map(SessionEvent::Message),
            Input::Messages => Poll::Pending,
            Input::Backlog => self.session.context.poll_backlog(context).map(|()| SessionEvent::Backlog),
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let idle_tick_is_scheduled = self.session.socket.is_awake() && !self.is_idle();
        let mut incoming = self.session.socket.poll_next(context);
        // After each poll and not for each message: pings and the parts of a long message cost as much.
        self.session.context.charge_received();
        if incoming.is_pending() && self.session.socket.must_sleep() {
            self.session.socket.sleep();
            incoming = self.session.socket.poll_next(context);
        }
        while incoming.is_pending()
            && let Some(bytes) = self.session.socket.wanted_bytes()
            && let Poll::Ready(memory) = self.session.context.poll_message_memory(bytes, context)
        {
            self.session.socket.admit_message(memory);
            incoming = self.session.socket.poll_next(context);
        }
        if incoming.is_pending() && self.is_idle() {
            // Only now it is known that nothing else arrived with the heartbeat. A sleeping socket registers for its next bytes in another
            // way, so it is polled again.
            self.session.context.intake = Intake::Listening;
            self.session.socket.sleep();
            incoming = self.session.socket.poll_next(context);
        }
        if incoming.is_pending() && self.session.socket.is_awake() && !idle_tick_is_scheduled {
            // A part of a message, or a WebSocket ping, woke the socket. Neither is an event after which an idle tick would be scheduled.
            self.session.context.schedule_awake_ticks();
        }
        incoming
    }

    /// Whether the socket may sleep because nothing is expected of the device for a while.
    fn is_idle(&self) -> bool {
        let context = &self.session.context;
        context.intake == Intake::Idle && self.session.patches.is_empty() && context.backlog == Backlog::Empty
    }

    fn takes_messages(&self) -> bool {
        if self.session.context.received.is_paused() {
            return false;
        }
        let load: usize = self.session.patches.iter().map(|patch| patch.load).sum();
        let bytes: usize = self.session.patches.iter().map(|patch| patch.bytes).sum();
        match self.session.context.intake {
            Intake::Listening | Intake::Idle => load < limits::PATCH_WINDOW as usize && bytes < SESSION_PATCH_BYTES,
            Intake::Draining => false,
        }
    }

    fn poll_reply(&mut self, context: &mut Context<'_>) -> Poll<SessionEvent> {
        let Some(first) = self.session.patches.front_mut() else { return Poll::Pending };
        Pin::new(&mut first.reply).poll(context).map(|reply| SessionEvent::Reply(reply.unwrap_or(Err(Unavailable::Now))))
    }

    pub(super) async fn handle_event(&mut self, event: SessionEvent) -> Result<(), SessionEnd> {
        match event {
            SessionEvent::Signals(signals) => self.handle_signals(signals)?,
            SessionEvent::Reply(decision) => self.session.answer_patches(decision).await?,
            SessionEvent::Message(incoming) => self.session.handle_incoming(incoming).await?,
            SessionEvent::Backlog => {}
        }
        if self.session.context.intake == Intake::Draining && self.session.patches.is_empty() {
            return Err(CloseCode::Restarting.into());
        }
        match self.session.context.check_deadlines() {
            TimerAction::Wait => {}
            TimerAction::RequestRenewal(expires_in_s) => self.session.send(&ServerMessage::Renew { expires_in_s }).await?,
            TimerAction::SendPing => self.session.ping().await?,
            TimerAction::Close(code) => return Err(code.into()),
        }
        match self.session.context.take_logins_news() {
            LoginsNews::None => {}
            LoginsNews::Changed => Box::pin(self.session.send_linked_logins()).await?,
        }
        self.session.deliver().await?;
        self.session.flush().await?;
        let is_reading = self.takes_messages() && !self.session.context.waits_for_memory();
        self.session.context.set_reading(is_reading);
        // An idle session's socket falls asleep when it is polled next, and needs no tick for that.
        if self.session.socket.is_awake() && !self.is_idle() {
            self.session.context.schedule_awake_ticks();
        } else {
            self.session.context.schedule_deadline_tick();
        }
        Ok(())
    }

    fn handle_signals(&mut self, signals: SignalSet) -> Result<(), SessionEnd> {
        self.session.context.handle_signals(signals)?;
        if signals.contains(Signal::Tick) && self.session.context.may_sleep() && self.session.patches.is_empty() {
            self.session.socket.sleep();
        }
        Ok(())
    }

    pub(super) async fn finish(self, end: SessionEnd) {
        let LiveSession { mut socket, mut context, .. } = self.session;
        let SessionEnd::Close(why) = end else { return context.set_end_reason("disconnected") };
        let code = why.code;
        context.set_end_reason(code.reason());
        let session = session_name(context.signals.session());
        info!(%session, identity = %context.who.identity, device = %context.who.device, reason = code.reason(), "session closed");
        let reconnect_after_ms = context.services.reconnect_after(code).or(why.retry_after_ms);
        // The hub forgets the session before the close, which may take seconds.
        drop(context);
        close(&mut socket, why, reconnect_after_ms).await;
    }
}
