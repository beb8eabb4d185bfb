//! The loop of one session: takes what comes, asks the pure parts, sends.
//!
//! Inputs, each of them the first to be looked at in turn, so that none starves:
//! - marks in the mailbox: replaced, drain, a deadline, a dataset that moved;
//! - the committer's answers to this session's patches, in the order of the patches;
//! - messages of the device, as long as it has room for another patch.
//!
//! After each of them some of what can be sent is sent, a page of each dataset at most. While the peer does not take it, only marks
//! are looked at.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use driftless_protocol::{ClientMessage, CloseCode, DatasetName, DecodeError, RefusalCode, ServerMessage, limits};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use super::desk::{End, SessionContext};
use super::following::{Cut, Following, Step};
use super::handshake::{self, Turned};
use super::machine::{Check, Machine};
use super::socket::{Incoming, Socket};
use super::{Inner, name, random};
use crate::committer::{Answer, Unavailable};
use crate::hub::{Mark, Marks, RING_CHANGES};
use crate::store::{Cursor, Decision, ReadResult};

/// Kinds of [`Event`].
const INPUTS: u8 = 4;

/// The welcome leaves before anything else is looked at.
const FIRST_TURN: u8 = 2;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// From the socket to a session that was welcomed.
pub(super) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(inner: &Inner, mut socket: Socket<S>, session: u64) -> Option<Driver<'_, S>> {
    let entry = match handshake::hello(inner, &mut socket).await {
        Ok(entered) => entered,
        Err(Turned::Gone) => {
            inner.metrics.handshake("gone");
            return None;
        }
        Err(Turned::Away(code)) => {
            inner.metrics.handshake(code.reason());
            goodbye(&mut socket, code, None).await;
            return None;
        }
    };
    let now = inner.now();
    let machine = Machine::new(now, entry.expires_s, inner.config.heartbeat_s);
    let expires_in_s = machine.expires_in_s(now);
    let desk = SessionContext::new(inner, entry.principal, session, machine, socket.progress());
    // Its first deadlines are looked at, and the welcome leaves, before the first event.
    let mut driver = Driver { socket, desk, followings: Vec::new(), patches: VecDeque::new(), more: true, turn: FIRST_TURN, quiet: false };
    match driver.welcome(session, expires_in_s).await {
        Ok(()) => Some(driver),
        Err(end) => {
            driver.finish(end).await;
            None
        }
    }
}

async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, code: CloseCode, reconnect_after_ms: Option<u64>) {
    let bye = ServerMessage::Bye { code: code.code(), reason: code.reason().to_owned(), reconnect_after_ms };
    let bye = socket.codec().encode(&bye).into();
    let _ = tokio::time::timeout(GOODBYE, async {
        socket.feed(bye).await?;
        socket.close(code).await
    })
    .await;
}

/// A patch on its way to disk.
pub(super) struct Pending {
    pub id: u64,
    pub dataset: DatasetName,
    pub answer: Answer<Decision>,
    /// How much of the session's room it takes: its answer waits in memory until the peer reads it.
    pub load: usize,
}

/// An open session.
pub(super) struct Driver<'a, S> {
    pub socket: Socket<S>,
    pub desk: SessionContext<'a>,
    pub followings: Vec<Following>,
    pub patches: VecDeque<Pending>,
    /// Something more can be sent without waiting for an event.
    more: bool,
    /// Which of its inputs is looked at first; it goes round.
    turn: u8,
    /// The last message was a heartbeat.
    quiet: bool,
}

/// How far a dataset was sent.
pub(super) enum Sent {
    /// To its end.
    All,
    /// There may be more.
    Some,
    /// The store cannot be read.
    Failed,
}

/// What a session waits for.
pub(super) enum Event {
    Marks(Marks),
    Decision(Result<Decision, Unavailable>),
    Incoming(Incoming),
    More,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    /// Greets the device. The hub knows the session by now: if its identity goes after this look, the session is told.
    async fn welcome(&mut self, session: u64, expires_in_s: u64) -> Result<(), End> {
        let SessionContext { inner, who, .. } = &self.desk;
        match inner.sync.arrive(who).await {
            Ok(Some(arrival)) => {
                let welcome = handshake::welcome(inner, who, session, arrival, expires_in_s);
                self.say(&welcome).await
            }
            // It was there a moment ago. Its login leads elsewhere by now.
            Ok(None) => Err(End::Close(CloseCode::Moved)),
            Err(_) => Err(End::Close(CloseCode::ServerError)),
        }
    }

    /// Serves the session to its end.
    ///
    /// What lies in this future lies in memory as long as the session sleeps: what is large and short-lived is boxed.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = loop {
            let event = poll_fn(|context| self.poll_event(context)).await;
            if let Err(end) = Box::pin(self.step(event)).await {
                break end;
            }
        };
        Box::pin(self.finish(end)).await;
    }

    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        self.turn = (self.turn + 1) % INPUTS;
        for input in 0..INPUTS {
            let event = match (input + self.turn) % INPUTS {
                0 => self.desk.mailbox.poll_marks(context).map(Event::Marks),
                1 => self.poll_decision(context),
                2 if self.listens() => self.poll_incoming(context).map(Event::Incoming),
                3 if self.more => Poll::Ready(Event::More),
                _ => Poll::Pending,
            };
            if event.is_ready() {
                return event;
            }
        }
        Poll::Pending
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let naps = self.socket.is_awake() && !self.is_quiet();
        let mut incoming = self.socket.poll_next(context);
        if incoming.is_pending() && self.is_quiet() {
            // Now it is known that nothing else came with the heartbeat. A sleeping socket waits for its next bytes in another way.
            self.quiet = false;
            self.socket.sleep();
            incoming = self.socket.poll_next(context);
        }
        if incoming.is_pending() && self.socket.is_awake() && !naps {
            // Part of a message, or a ping of the WebSocket's own, has woken it: of that there is no event, and no step that would ask for a nap.
            self.desk.set_alarms(true);
        }
        incoming
    }

    /// The device has only said that it is there: it will say nothing more for long.
    fn is_quiet(&self) -> bool {
        self.quiet && self.patches.is_empty() && !self.more
    }

    fn listens(&self) -> bool {
        let load: usize = self.patches.iter().map(|pending| pending.load).sum();
        !self.desk.draining && load < limits::PATCH_WINDOW as usize
    }

    fn poll_decision(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let Some(first) = self.patches.front_mut() else { return Poll::Pending };
        Pin::new(&mut first.answer).poll(context).map(|answer| Event::Decision(answer.unwrap_or(Err(Unavailable::Now))))
    }

    pub(super) async fn step(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Marks(marks) => self.marked(marks).await?,
            Event::Decision(decision) => self.decided(decision).await?,
            Event::Incoming(incoming) => self.incoming(incoming).await?,
            Event::More => {}
        }
        if self.desk.draining && self.patches.is_empty() {
            return Err(End::Close(CloseCode::Restarting));
        }
        if std::mem::take(&mut self.desk.recheck) {
            self.look().await?;
        }
        self.desk.moved = false;
        self.more = self.pump().await?;
        self.desk.guarded(self.socket.flush()).await??;
        // Something may have moved while the peer was slow to take what came before it.
        self.more |= self.desk.moved;
        // Whoever is quiet sleeps at the next look at its socket.
        self.desk.set_alarms(self.socket.is_awake() && !self.is_quiet());
        Ok(())
    }

    /// The session is over.
    async fn finish(mut self, end: End) {
        let End::Close(code) = end else { return self.desk.leave("gone") };
        self.desk.leave(code.reason());
        let Driver { mut socket, desk, .. } = self;
        let session = name(desk.mailbox.session());
        info!(%session, identity = %desk.who.identity, device = %desk.who.device, reason = code.reason(), "a session ends");
        let after = (code == CloseCode::Restarting).then(|| random() % desk.inner.config.reconnect_spread_ms.max(1));
        // It has left before it says goodbye.
        drop(desk);
        goodbye(&mut socket, code, after).await;
    }

    async fn marked(&mut self, marks: Marks) -> Result<(), End> {
        self.desk.heed(marks)?;
        if marks.has(Mark::Tick) && self.desk.may_sleep() && self.patches.is_empty() {
            self.socket.sleep();
        }
        Ok(())
    }

    /// Does what is due.
    async fn look(&mut self) -> Result<(), End> {
        let now = self.desk.inner.now();
        match self.desk.machine.check(now) {
            Check::Fine => Ok(()),
            Check::AskRenewal(expires_in_s) => self.say(&ServerMessage::Renew { expires_in_s }).await,
            Check::End(code) => Err(End::Close(code)),
        }
    }

    async fn incoming(&mut self, incoming: Incoming) -> Result<(), End> {
        let bytes = match incoming {
            Incoming::Message(bytes) => bytes,
            Incoming::Unfit(code) => return Err(End::Close(code)),
            Incoming::End => return Err(End::Gone),
        };
        self.desk.machine.heard(self.desk.inner.now());
        let message = match self.socket.codec().decode_client(&bytes) {
            Ok(message) => message,
            // What is wrong with it may quote it, and it may hold a value: only its size is logged.
            Err(DecodeError::Broken(_)) => {
                debug!(bytes = bytes.len(), "a frame that is no message");
                return Err(End::Close(CloseCode::BadMessage));
            }
            Err(DecodeError::Refused { id, dataset, code, message }) => return self.refuse(id, dataset, code, message).await,
        };
        debug!(?message, "received");
        self.quiet = matches!(message, ClientMessage::Ping);
        self.request(message).await
    }

    /// Answers a patch, and those behind it that are decided already.
    async fn decided(&mut self, mut decision: Result<Decision, Unavailable>) -> Result<(), End> {
        while let Some(Pending { id, dataset, .. }) = self.patches.pop_front() {
            self.tell(id, dataset, decision).await?;
            match self.patches.front_mut().and_then(|next| (&mut next.answer).now_or_never()) {
                Some(next) => decision = next.unwrap_or(Err(Unavailable::Now)),
                None => break,
            }
        }
        Ok(())
    }

    async fn tell(&mut self, id: u64, dataset: DatasetName, decision: Result<Decision, Unavailable>) -> Result<(), End> {
        match decision {
            Ok(Decision::Written { version, results, .. } | Decision::Repeated { version, results }) => {
                self.say(&ServerMessage::Written { id, version, records: results }).await?;
                if let Some(following) = self.followings.iter_mut().find(|following| *following.dataset() == dataset) {
                    following.wrote(version);
                }
                Ok(())
            }
            Ok(Decision::Conflict(records)) => self.say(&ServerMessage::Conflict { id, dataset, records }).await,
            Ok(Decision::Refused(code, message)) => self.refuse(Some(id), Some(dataset.to_string()), code, message).await,
            // Its session is about to be told why.
            Ok(Decision::NoIdentity) => self.refuse_unavailable(Some(id), Some(dataset), Unavailable::Now).await,
            Err(why) => self.refuse_unavailable(Some(id), Some(dataset), why).await,
        }
    }

    /// Sends some of what each open dataset has for this session. True if there may be more.
    async fn pump(&mut self) -> Result<bool, End> {
        let mut more = false;
        let mut at = 0;
        while at < self.followings.len() {
            match self.send_some(at).await? {
                Sent::All => at += 1,
                Sent::Some => {
                    more = true;
                    at += 1;
                }
                Sent::Failed => self.give_up(at).await?,
            }
        }
        Ok(more)
    }

    /// A page of one dataset: changes from the ring, or a page from the store.
    async fn send_some(&mut self, at: usize) -> Result<Sent, End> {
        let session = self.desk.mailbox.session();
        for _ in 0..RING_CHANGES {
            match self.followings[at].next(session) {
                Step::Rest => return Ok(Sent::All),
                Step::Read(cursor) => return self.send_page(at, cursor).await,
                Step::Send(change) => {
                    self.desk.inner.metrics.page("ring");
                    let message = change.encoded(self.socket.codec());
                    self.send(message).await?;
                    self.followings[at].sent(&change);
                }
            }
        }
        Ok(Sent::Some)
    }

    async fn send_page(&mut self, at: usize, cursor: Cursor) -> Result<Sent, End> {
        match self.desk.inner.sync.changes(&self.desk.who, self.followings[at].dataset(), cursor).await {
            Ok(reading) => self.show(at, reading).await,
            Err(_) => Ok(Sent::Failed),
        }
    }

    /// Sends what was read of a dataset.
    pub(super) async fn show(&mut self, at: usize, reading: ReadResult) -> Result<Sent, End> {
        let following = &mut self.followings[at];
        let page = match reading {
            ReadResult::Page(page) => page,
            ReadResult::Behind(again) => {
                following.behind(again);
                return Ok(Sent::Some);
            }
        };
        if let Some(Cut { from, to, reset, more }) = following.read(&page) {
            let dataset = following.dataset().clone();
            self.desk.inner.metrics.page("store");
            let epoch = self.desk.inner.sync.epoch().clone();
            let (shared, reset) = (reset.and_then(|reset| reset.shared), reset.is_some());
            // The cursor stays here: nothing has to be passed back.
            let (fresh_until, records) = (None, page.records);
            self.say(&ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records }).await?;
        }
        // Also after the last page: something may have been published while it was read.
        Ok(Sent::Some)
    }

    /// A dataset that cannot be read is closed, and the device told; the others go on.
    async fn give_up(&mut self, at: usize) -> Result<(), End> {
        let following = self.followings.swap_remove(at);
        let SessionContext { inner, who, mailbox, .. } = &self.desk;
        inner.hub.unfollow(who.identity.as_str(), following.feed(), mailbox);
        let message = "the dataset cannot be read now and was closed; open it again after a while".to_owned();
        self.refuse(None, Some(following.dataset().to_string()), RefusalCode::Unavailable, message).await
    }

    pub(super) async fn say(&mut self, message: &ServerMessage) -> Result<(), End> {
        let bytes = self.socket.codec().encode(message).into();
        self.send(bytes).await
    }

    async fn send(&mut self, message: Bytes) -> Result<(), End> {
        Ok(self.desk.guarded(self.socket.feed(message)).await??)
    }
}
