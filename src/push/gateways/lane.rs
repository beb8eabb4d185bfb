//! One HTTP/2 connection to a gateway (RFC 9113), from its opening to its end, which one task sees through: its [`Keeper`].
//!
//! - A new connection is used when its first pong is there: by then the gateway's settings are known, which it sends before anything else.
//! - What GOAWAY or `REFUSED_STREAM` says was not processed may be sent again at once (section 8.7). Everything else may have been processed, and
//!   is not.
//! - A request that is given up unanswered makes the keeper ask whether the connection lives.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::sync::Notify;

use super::answer::{Answer, BODY_BYTES};
use super::connect::Duplex;
use super::pace::{Act, Pace, Pulse};

/// The largest header block that a gateway may send, in bytes. Theirs have about 300.
const HEADERS_BYTES: u32 = 16 * 1024;

/// A connection, as those see it who send. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lane {
    sender: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    in_flight: AtomicUsize,
    leaving: AtomicBool,
    answered: AtomicBool,
    pulse: Mutex<Pulse>,
    doubt: Notify,
}

/// How a request ended, for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With an answer.
    Answered,
    /// With the gateway's word that it did not process it.
    NotProcessed,
    /// Without a word.
    Unanswered,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The gateway did not process it.
    NotProcessed,
    /// Nobody knows.
    Unknown(&'static str),
}

impl Lane {
    /// Opens a connection over these bytes. Whoever calls bounds the time.
    pub(super) async fn open(io: Box<dyn Duplex>, pace: Pace) -> io::Result<(Lane, Keeper)> {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(HEADERS_BYTES);
        let (sender, mut connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let mut pings = connection.ping_pong().ok_or_else(|| io::Error::other("no pings"))?;
        tokio::select! {
            pong = pings.ping(Ping::opaque()) => { pong.map_err(io::Error::other)?; }
            ended = &mut connection => return Err(ended.err().map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::other)),
        }
        let shared = Shared {
            in_flight: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            pulse: Mutex::new(Pulse::new(Instant::now())),
            doubt: Notify::new(),
        };
        let lane = Lane { sender, shared: Arc::new(shared) };
        Ok((lane.clone(), Keeper { lane, connection, pings, pace, told: false }))
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Lane) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether a request may go out on it now: it is not leaving, and the gateway's limit, as it stands, is not reached.
    pub(super) fn has_room(&self, pace: &Pace) -> bool {
        let limit = self.sender.current_max_send_streams().min(pace.streams);
        !self.is_leaving() && self.shared.in_flight.load(Ordering::Acquire) < limit
    }

    /// Whether nothing new goes out on it.
    pub(super) fn is_leaving(&self) -> bool {
        self.shared.leaving.load(Ordering::Acquire)
    }

    /// Whether it ever answered a request.
    pub(super) fn has_answered(&self) -> bool {
        self.shared.answered.load(Ordering::Acquire)
    }

    /// From now on nothing new goes out on it.
    pub(super) fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Release);
        self.shared.doubt.notify_one();
    }

    /// Takes a place on it.
    pub(super) fn enter(&self) {
        self.shared.in_flight.fetch_add(1, Ordering::AcqRel);
        self.pulse().used = Instant::now();
    }

    /// Gives the place back.
    pub(super) fn exit(&self, outcome: Outcome) {
        self.shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        match outcome {
            Outcome::Answered => {
                self.shared.answered.store(true, Ordering::Release);
                self.pulse().heard = Instant::now();
            }
            Outcome::NotProcessed => {}
            Outcome::Unanswered => self.pulse().doubted = true,
        }
        if outcome == Outcome::Unanswered || self.is_leaving() {
            self.shared.doubt.notify_one();
        }
    }

    /// Whether nothing is in flight on it.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.in_flight.load(Ordering::Acquire) == 0
    }

    /// Sends a request and reads its answer. A connection that refuses it as a whole is left.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Answer, Failed> {
        let (parts, body) = request.into_parts();
        let refused = |_error| {
            self.leave();
            Failed::NotProcessed
        };
        // What fails before the stream exists was not sent.
        let mut sender = self.sender.clone().ready().await.map_err(refused)?;
        let (response, mut stream) = sender.send_request(Request::from_parts(parts, ()), false).map_err(refused)?;
        // A stream that is over already says why in its response.
        let _ = stream.send_data(body, true);
        let (parts, body) = response.await.map_err(|error| self.failed(&error))?.into_parts();
        let body = read(body).await.map_err(|error| self.failed(&error))?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// h2 gives a stream the gateway's GOAWAY as its error only if it is above the last stream that was, or may have been, processed.
    fn failed(&self, error: &h2::Error) -> Failed {
        match error.reason() {
            Some(_) if error.is_go_away() && error.is_remote() => {
                self.leave();
                Failed::NotProcessed
            }
            Some(Reason::REFUSED_STREAM) if error.is_reset() && error.is_remote() => Failed::NotProcessed,
            Some(_) if error.is_reset() => Failed::Unknown("stream_reset"),
            _ => Failed::Unknown("connection_lost"),
        }
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.shared.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body to its bound; the rest is not waited for.
async fn read(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut read = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        // The gateway may only send more when this is said.
        let _ = body.flow_control().release_capacity(part.len());
        read.extend_from_slice(&part[..part.len().min(BODY_BYTES - read.len())]);
        if read.len() == BODY_BYTES {
            break;
        }
    }
    Ok(read.freeze())
}

/// Keeps one connection going until it ends.
pub(super) struct Keeper {
    lane: Lane,
    connection: Connection<Box<dyn Duplex>, Bytes>,
    pings: PingPong,
    pace: Pace,
    /// Whether [`News::Leaving`] was told.
    told: bool,
}

/// What a keeper has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The gateway changed how much may be in flight.
    Limit,
    /// It said GOAWAY, or refuses requests: nothing new goes out on it.
    Leaving,
    /// There was nothing to do for it for long. If nobody has entered it in the meantime, it may be dropped.
    Idle,
    /// It is over.
    Over,
}

impl Keeper {
    /// Runs until there is news. To be called again after each but [`News::Over`].
    pub(super) async fn news(&mut self) -> News {
        let limit = self.lane.sender.current_max_send_streams();
        loop {
            if self.lane.is_leaving() && !self.told {
                self.told = true;
                return News::Leaving;
            }
            if self.told && self.lane.is_idle() {
                return News::Over;
            }
            let wait = match self.act() {
                Act::GiveUp => return News::Over,
                Act::Close => return News::Idle,
                Act::Ping => {
                    if self.pings.send_ping(Ping::opaque()).is_err() {
                        return News::Over;
                    }
                    let mut pulse = self.lane.pulse();
                    (pulse.pinged, pulse.doubted) = (Some(Instant::now()), false);
                    continue;
                }
                Act::Wait(until) => until,
            };
            let Keeper { lane, connection, pings, told, .. } = self;
            tokio::select! {
                news = poll_fn(|cx| poll_connection(connection, lane, cx, limit, *told)) => match news {
                    Some(news) => return news,
                    None => lane.leave(),
                },
                pong = poll_fn(|cx| pings.poll_pong(cx)) => match pong {
                    Ok(_) => {
                        let mut pulse = lane.pulse();
                        (pulse.heard, pulse.pinged) = (Instant::now(), None);
                    }
                    Err(_) => return News::Over,
                },
                () = tokio::time::sleep_until(wait.into()) => {}
                () = lane.shared.doubt.notified() => {}
            }
        }
    }

    fn act(&self) -> Act {
        let pulse = Pulse { busy: !self.lane.is_idle(), ..*self.lane.pulse() };
        pulse.act(&self.pace, Instant::now())
    }
}

/// Lets the connection work, and looks at what that changed. `None`: it says GOAWAY, which was not told yet.
fn poll_connection(
    connection: &mut Connection<Box<dyn Duplex>, Bytes>,
    lane: &Lane,
    cx: &mut Context<'_>,
    limit: usize,
    told: bool,
) -> Poll<Option<News>> {
    if Pin::new(connection).poll(cx).is_ready() {
        return Poll::Ready(Some(News::Over));
    }
    if !told && let Poll::Ready(Err(_going)) = lane.sender.clone().poll_ready(cx) {
        return Poll::Ready(None);
    }
    match lane.sender.current_max_send_streams() == limit {
        true => Poll::Pending,
        false => Poll::Ready(Some(News::Limit)),
    }
}
