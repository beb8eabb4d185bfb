//! The loop of one session: takes what comes, asks the pure parts, sends.
//!
//! Inputs, in their order of precedence:
//! 1. marks in the mailbox: replaced, drain, a deadline, a dataset that moved;
//! 2. the committer's answers to this session's patches, in the order of the patches;
//! 3. messages of the device, as long as it has room for another patch.
//!
//! After each of them, what can be sent is sent. While the peer does not take it, only marks are looked at.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driftless_protocol::{ClientMessage, CloseCode, DatasetName, DecodeError, RefusalCode, ServerMessage, limits};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use super::door::Renewal;
use super::following::{Following, Step};
use super::handshake::{self, Turned};
use super::machine::{Check, Machine};
use super::socket::{Gone, Incoming, Socket};
use super::{Denied, Inner, name, random};
use crate::committer::{Answer, Unavailable};
use crate::hub::{Mailbox, Mark, Marks};
use crate::store::Decision;
use crate::sync::Principal;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a session stays awake, with its buffers, after the last message, in milliseconds.
const DROWSY_MS: u64 = 2_000;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
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

impl From<Unavailable> for End {
    fn from(_: Unavailable) -> End {
        End::Close(CloseCode::ServerError)
    }
}

/// Serves a socket to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(inner: &Inner, mut socket: Socket<S>, session: u64) {
    // Boxed: the hello's state is large and short-lived, the session's task is neither.
    let entry = match Box::pin(handshake::hello(inner, &mut socket)).await {
        Ok(entry) => entry,
        Err(Turned::Gone) => return inner.metrics.handshake("gone"),
        Err(Turned::Away(code)) => {
            inner.metrics.handshake(code.reason());
            return Box::pin(goodbye(&mut socket, code, None)).await;
        }
    };
    let now = inner.now();
    let machine = Machine::new(now, entry.expires_s);
    let welcome = handshake::welcome(&entry, session, machine.expires_in_s(now));
    let mailbox = Arc::new(Mailbox::new(session));
    let identity = entry.principal.identity.clone();
    inner.hub.enter(identity.as_str(), &entry.principal.device, &mailbox);
    inner.metrics.session_opened();
    let alarms = Alarms::default();
    let desk = Desk { inner, who: entry.principal, mailbox, machine, alarms, draining: false, recheck: false };
    let mut driver = Driver { socket, desk, followings: Vec::new(), patches: VecDeque::new() };
    let end = driver.run(welcome).await;
    let Driver { mut socket, desk, .. } = driver;
    inner.hub.leave(identity.as_str(), &desk.mailbox);
    match end {
        End::Gone => inner.metrics.session_closed("gone"),
        End::Close(code) => {
            inner.metrics.session_closed(code.reason());
            info!(session = %name(session), %identity, device = %desk.who.device, reason = code.reason(), "a session ends");
            let after = (code == CloseCode::Restarting).then(|| random() % inner.reconnect_spread_ms.max(1));
            Box::pin(goodbye(&mut socket, code, after)).await;
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
struct Pending {
    id: u64,
    dataset: DatasetName,
    answer: Answer<Decision>,
}

struct Driver<'a, S> {
    socket: Socket<S>,
    desk: Desk<'a>,
    followings: Vec<Following>,
    patches: VecDeque<Pending>,
}

/// All of a session but its socket and what it sends.
struct Desk<'a> {
    inner: &'a Inner,
    who: Principal,
    mailbox: Arc<Mailbox>,
    machine: Machine,
    alarms: Alarms,
    draining: bool,
    recheck: bool,
}

/// The marks that this session has asked the wheel for and not got yet, by when, in milliseconds.
#[derive(Default)]
struct Alarms {
    nap_ms: Option<u64>,
    deadline_ms: Option<u64>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    async fn run(&mut self, welcome: ServerMessage) -> End {
        match self.steps(welcome).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn steps(&mut self, welcome: ServerMessage) -> Result<std::convert::Infallible, End> {
        self.say(&welcome).await?;
        self.look().await?;
        loop {
            let more = self.pump().await?;
            self.desk.guarded(self.socket.flush()).await??;
            self.desk.set_alarms(self.socket.is_awake());
            let listens = !self.desk.draining && self.patches.len() < limits::PATCH_WINDOW as usize;
            tokio::select! {
                biased;
                marks = self.desk.mailbox.marks() => self.marked(marks).await?,
                decision = answer(&mut self.patches), if !self.patches.is_empty() => self.decided(decision).await?,
                incoming = self.socket.next(), if listens => self.incoming(incoming).await?,
                () = std::future::ready(()), if more => {}
            }
            if self.desk.draining && self.patches.is_empty() {
                return Err(End::Close(CloseCode::Restarting));
            }
            if std::mem::take(&mut self.desk.recheck) {
                self.look().await?;
            }
        }
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
            Err(DecodeError::Broken(why)) => {
                debug!(%why, "a frame that is no message");
                return Err(End::Close(CloseCode::BadMessage));
            }
            Err(DecodeError::Refused { id, dataset, code, message }) => return self.refuse(id, dataset, code, message).await,
        };
        debug!(?message, "received");
        self.request(message).await
    }

    async fn request(&mut self, message: ClientMessage) -> Result<(), End> {
        match message {
            ClientMessage::Ping => self.say(&ServerMessage::Pong).await,
            ClientMessage::Hello { .. } => {
                self.refuse(None, None, RefusalCode::HelloAgain, "this session has had its hello".to_owned()).await
            }
            ClientMessage::Renew { token } => self.renew(&token).await,
            ClientMessage::List => {
                let datasets = self.desk.inner.sync.list(&self.desk.who).await?;
                self.say(&ServerMessage::Datasets { datasets }).await
            }
            ClientMessage::Open { dataset, position } => self.open(dataset, position).await,
            ClientMessage::Close { dataset } => self.close(dataset).await,
            ClientMessage::Ack { dataset, version } => self.ack(dataset, version).await,
            ClientMessage::Write { id, dataset, changes } => {
                let Desk { inner, who, mailbox, .. } = &self.desk;
                let answer = inner.sync.write(who, dataset.clone(), id, changes, mailbox.session()).await?;
                self.patches.push_back(Pending { id, dataset, answer });
                Ok(())
            }
        }
    }

    async fn renew(&mut self, token: &str) -> Result<(), End> {
        let why = match Box::pin(self.desk.inner.door.renew(token, &self.desk.who)).await {
            Ok(Renewal::Until(expires_s)) => {
                let now = self.desk.inner.now();
                self.desk.machine.renewed(now, expires_s);
                return self.say(&ServerMessage::Renew { expires_in_s: self.desk.machine.expires_in_s(now) }).await;
            }
            Ok(Renewal::OtherIdentity) => (RefusalCode::OtherIdentity, "the token leads to another identity".to_owned()),
            Err(Denied::Unavailable) => (RefusalCode::Unavailable, Denied::Unavailable.to_string()),
            Err(Denied::Token(refusal)) if refusal.is_temporary() => (RefusalCode::Unavailable, refusal.to_string()),
            Err(denied) => (RefusalCode::TokenRefused, denied.to_string()),
        };
        self.refuse(None, None, why.0, why.1).await
    }

    async fn open(&mut self, dataset: DatasetName, position: Option<driftless_protocol::Position>) -> Result<(), End> {
        let Desk { inner, who, mailbox, .. } = &self.desk;
        let known = self.followings.iter().position(|following| *following.dataset() == dataset);
        if known.is_none() && self.followings.len() >= who.pool.limits.datasets {
            let message = format!("a session has at most {} datasets open", who.pool.limits.datasets);
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::TooManyDatasets, message).await;
        }
        // Followed first, read then: nothing can be published in between unseen.
        let feed = inner.hub.follow(who.identity.as_str(), &dataset, mailbox);
        let start = inner.sync.start(who, &dataset, position).await?;
        let following = Following::new(feed, start);
        match known {
            Some(at) => self.followings[at] = following,
            None => self.followings.push(following),
        }
        Ok(())
    }

    async fn close(&mut self, dataset: DatasetName) -> Result<(), End> {
        let Some(at) = self.followings.iter().position(|following| *following.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        let following = self.followings.swap_remove(at);
        self.desk.inner.hub.unfollow(self.desk.who.identity.as_str(), following.feed(), &self.desk.mailbox);
        Ok(())
    }

    async fn ack(&mut self, dataset: DatasetName, version: u64) -> Result<(), End> {
        let Some(following) = self.followings.iter().find(|following| *following.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        if version > following.version() {
            let message = format!("version {version} was not sent yet, {} was", following.version());
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::AheadOfServer, message).await;
        }
        Ok(self.desk.inner.sync.note_ack(&self.desk.who, dataset, version).await?)
    }

    /// Answers a patch, and those behind it that are decided already.
    async fn decided(&mut self, mut decision: Result<Decision, Unavailable>) -> Result<(), End> {
        while let Some(Pending { id, dataset, .. }) = self.patches.pop_front() {
            self.tell(id, dataset, decision).await?;
            match self.patches.front_mut().and_then(|next| (&mut next.answer).now_or_never()) {
                Some(next) => decision = next.unwrap_or(Err(Unavailable)),
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
            Err(Unavailable) => {
                let message = "the store cannot take it now; send it again with the same number".to_owned();
                self.refuse(Some(id), Some(dataset.to_string()), RefusalCode::Unavailable, message).await
            }
        }
    }

    /// Sends what the open datasets have for this session: all that the rings hold, and one page of each that reads from the store.
    /// True if there are more pages.
    async fn pump(&mut self) -> Result<bool, End> {
        let session = self.desk.mailbox.session();
        let mut more = false;
        for at in 0..self.followings.len() {
            loop {
                match self.followings[at].next(session) {
                    Step::Rest => break,
                    Step::Send(change) => {
                        self.desk.inner.metrics.page("ring");
                        let message = change.encoded(self.socket.codec());
                        self.send(message).await?;
                        self.followings[at].sent(&change);
                    }
                    Step::Read(cursor) => {
                        let dataset = self.followings[at].dataset().clone();
                        let page = self.desk.inner.sync.changes(&self.desk.who, &dataset, cursor).await?;
                        if let Some(cut) = self.followings[at].read(&page) {
                            self.desk.inner.metrics.page("store");
                            let epoch = self.desk.inner.sync.epoch().clone();
                            let (from, to, reset, more) = (cut.from, cut.to, cut.reset, cut.more);
                            self.say(&ServerMessage::Changes { dataset, epoch, from, to, reset, more, records: page.records }).await?;
                        }
                        if page.more {
                            more = true;
                            break;
                        }
                    }
                }
            }
        }
        Ok(more)
    }

    async fn refuse_not_open(&mut self, dataset: &DatasetName) -> Result<(), End> {
        self.refuse(None, Some(dataset.to_string()), RefusalCode::NotOpen, format!("{dataset} is not open in this session")).await
    }

    async fn refuse(&mut self, id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String) -> Result<(), End> {
        self.desk.inner.metrics.refused(code.as_str());
        self.say(&ServerMessage::Refused { id, dataset, code, message }).await
    }

    async fn say(&mut self, message: &ServerMessage) -> Result<(), End> {
        let bytes = self.socket.codec().encode(message).into();
        self.send(bytes).await
    }

    async fn send(&mut self, message: Bytes) -> Result<(), End> {
        Ok(self.desk.guarded(self.socket.feed(message)).await??)
    }
}

impl Desk<'_> {
    /// Waits for the peer to take something, with an eye on the mailbox.
    async fn guarded<T>(&mut self, sending: impl Future<Output = T>) -> Result<T, End> {
        let mut sending = std::pin::pin!(sending);
        if let Some(done) = sending.as_mut().now_or_never() {
            return Ok(done);
        }
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
                    if let Check::End(code) = self.machine.check(self.inner.now()) {
                        return Err(End::Close(code));
                    }
                }
            }
        }
    }

    fn heed(&mut self, marks: Marks) -> Result<(), End> {
        if marks.has(Mark::Replaced) {
            return Err(End::Close(CloseCode::Replaced));
        }
        self.draining |= marks.has(Mark::Drain);
        if marks.has(Mark::Tick) {
            self.recheck = true;
            self.alarms.rang(self.inner.now().elapsed_ms);
        }
        Ok(())
    }

    fn may_sleep(&self) -> bool {
        self.inner.now().elapsed_ms >= self.machine.heard_ms() + DROWSY_MS
    }

    /// Sees to it that the wheel wakes this session when it has something to look at.
    fn set_alarms(&mut self, awake: bool) {
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
        self.inner.wheel.add(at_ms, &self.mailbox);
        at_ms
    }
}

impl Alarms {
    fn rang(&mut self, now_ms: u64) {
        self.nap_ms = self.nap_ms.filter(|at_ms| *at_ms > now_ms);
        self.deadline_ms = self.deadline_ms.filter(|at_ms| *at_ms > now_ms);
    }
}

async fn answer(patches: &mut VecDeque<Pending>) -> Result<Decision, Unavailable> {
    match patches.front_mut() {
        Some(first) => (&mut first.answer).await.unwrap_or(Err(Unavailable)),
        None => std::future::pending().await,
    }
}
