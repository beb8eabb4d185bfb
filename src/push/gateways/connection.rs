//! One HTTP/2 connection to a gateway (RFC 9113). One task drives it from its opening to its end: its [`ConnectionDriver`].
//!
//! - A new connection is used after its first pong: by then the gateway's settings have arrived, because the gateway sends them first.
//! - A request that the gateway did not process, according to GOAWAY or `REFUSED_STREAM`, may be sent again at once (section 8.7). Every other
//!   request may have been processed, and is not sent again.
//! - When a caller gives up a request before its response, the driver pings the connection.

use std::future::{Future, poll_fn};
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

use super::connect::Duplex;
use super::connection_limits::ConnectionLimits;
use super::failure::FailureCause;
use super::keep_alive::{KeepAliveAction, Liveness};
use super::response::{BODY_BYTES, GatewayResponse};
use super::transport_fault::TransportFault;

/// The largest header block that a gateway may send, in bytes. APNs' and FCM's have about 300.
const HEADERS_BYTES: u32 = 16 * 1024;

/// The senders' handle to a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct GatewayConnection {
    sender: SendRequest<Bytes>,
    state: Arc<ConnectionState>,
}

struct ConnectionState {
    in_flight: AtomicUsize,
    draining: AtomicBool,
    answered: AtomicBool,
    liveness: Mutex<Liveness>,
    driver_wakeup: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    Answered,
    /// The gateway said that it did not process the request.
    NotProcessed,
    Unanswered,
}

/// Why a request has no response.
#[derive(Debug)]
pub(super) enum RequestError {
    NotProcessed,
    /// The gateway may have processed the request; what happened to it.
    Unknown(&'static str),
}

impl GatewayConnection {
    /// Opens a connection over this stream. The caller bounds the time.
    pub(super) async fn open(
        io: Box<dyn Duplex>,
        limits: ConnectionLimits,
    ) -> Result<(GatewayConnection, ConnectionDriver), TransportFault> {
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(HEADERS_BYTES);
        let (sender, mut http2) = builder.handshake(io).await.map_err(|error| TransportFault::of_http2(&error))?;
        let lost = || TransportFault::new(FailureCause::ConnectionLost);
        let mut pings = http2.ping_pong().ok_or_else(lost)?;
        tokio::select! {
            // The connection's own end says more than that of the ping.
            biased;
            ended = &mut http2 => return Err(ended.err().map_or_else(lost, |error| TransportFault::of_http2(&error))),
            pong = pings.ping(Ping::opaque()) => { pong.map_err(|error| TransportFault::of_http2(&error))?; }
        }
        let state = ConnectionState {
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            liveness: Mutex::new(Liveness::new(Instant::now())),
            driver_wakeup: Notify::new(),
        };
        let connection = GatewayConnection { sender, state: Arc::new(state) };
        Ok((connection.clone(), ConnectionDriver { connection, http2, pings, limits, drain_reported: false }))
    }

    pub(super) fn is_same(&self, other: &GatewayConnection) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Whether a request may be sent now: the connection is not draining, and the gateway's current stream limit is not reached.
    pub(super) fn has_capacity(&self, limits: &ConnectionLimits) -> bool {
        let limit = self.sender.current_max_send_streams().min(limits.streams);
        !self.is_draining() && self.state.in_flight.load(Ordering::Acquire) < limit
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::Acquire)
    }

    /// Whether any request was ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.state.answered.load(Ordering::Acquire)
    }

    /// From now on no new request is sent on the connection; the requests in flight may end.
    pub(super) fn drain(&self) {
        self.state.draining.store(true, Ordering::Release);
        self.state.driver_wakeup.notify_one();
    }

    pub(super) fn acquire_stream(&self) {
        self.state.in_flight.fetch_add(1, Ordering::AcqRel);
        self.liveness().used = Instant::now();
    }

    pub(super) fn release_stream(&self, end: RequestEnd) {
        self.state.in_flight.fetch_sub(1, Ordering::AcqRel);
        match end {
            RequestEnd::Answered => {
                self.state.answered.store(true, Ordering::Release);
                self.liveness().received = Instant::now();
            }
            RequestEnd::NotProcessed => {}
            RequestEnd::Unanswered => self.liveness().in_doubt = true,
        }
        if end == RequestEnd::Unanswered || self.is_draining() {
            self.state.driver_wakeup.notify_one();
        }
    }

    /// Whether no request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.state.in_flight.load(Ordering::Acquire) == 0
    }

    /// Sends a request and reads its response. A connection that accepts no request at all is drained.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<GatewayResponse, RequestError> {
        let (parts, body) = request.into_parts();
        let not_accepted = |_error| {
            self.drain();
            RequestError::NotProcessed
        };
        // A failure before the stream exists means that nothing was sent.
        let mut sender = self.sender.clone().ready().await.map_err(not_accepted)?;
        let (response, mut stream) = sender.send_request(Request::from_parts(parts, ()), false).map_err(not_accepted)?;
        // If the stream has ended already, `response` has the reason.
        let _ = stream.send_data(body, true);
        let (parts, body) = response.await.map_err(|error| self.request_error(&error))?.into_parts();
        let body = read_body(body).await.map_err(|error| self.request_error(&error))?;
        Ok(GatewayResponse { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// h2 reports the gateway's GOAWAY as a stream's error only if the stream is above the last one that was, or may have been, processed.
    fn request_error(&self, error: &h2::Error) -> RequestError {
        match error.reason() {
            Some(_) if error.is_go_away() && error.is_remote() => {
                self.drain();
                RequestError::NotProcessed
            }
            Some(Reason::REFUSED_STREAM) if error.is_reset() && error.is_remote() => RequestError::NotProcessed,
            Some(_) if error.is_reset() => RequestError::Unknown("the gateway reset the stream"),
            _ => RequestError::Unknown("before the answer"),
        }
    }

    fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.state.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a body up to [`BODY_BYTES`]; the rest is not waited for.
async fn read_body(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut read = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        // Without this the gateway's flow-control window is never replenished.
        let _ = body.flow_control().release_capacity(chunk.len());
        read.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES - read.len())]);
        if read.len() == BODY_BYTES {
            break;
        }
    }
    Ok(read.freeze())
}

/// Drives one connection: its I/O, pings and time limits.
pub(super) struct ConnectionDriver {
    connection: GatewayConnection,
    http2: Connection<Box<dyn Duplex>, Bytes>,
    pings: PingPong,
    limits: ConnectionLimits,
    /// Whether [`ConnectionEvent::Draining`] was returned.
    drain_reported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEvent {
    /// The gateway changed the number of streams that it allows.
    StreamLimit,
    /// The gateway sent GOAWAY or accepts no request: nothing new may be sent.
    Draining,
    /// The connection was idle for its idle time. It may be closed if no request has taken a stream since.
    Idle,
    Closed,
}

impl ConnectionDriver {
    /// Runs until the next event. Call it again after each event except [`ConnectionEvent::Closed`].
    pub(super) async fn next_event(&mut self) -> ConnectionEvent {
        let limit = self.connection.sender.current_max_send_streams();
        loop {
            if self.connection.is_draining() && !self.drain_reported {
                self.drain_reported = true;
                return ConnectionEvent::Draining;
            }
            if self.drain_reported && self.connection.is_idle() {
                return ConnectionEvent::Closed;
            }
            let wait = match self.next_action() {
                KeepAliveAction::GiveUp => return ConnectionEvent::Closed,
                KeepAliveAction::Close => return ConnectionEvent::Idle,
                KeepAliveAction::Ping => {
                    if self.pings.send_ping(Ping::opaque()).is_err() {
                        return ConnectionEvent::Closed;
                    }
                    let mut liveness = self.connection.liveness();
                    (liveness.pinged, liveness.in_doubt) = (Some(Instant::now()), false);
                    continue;
                }
                KeepAliveAction::Wait(until) => until,
            };
            let ConnectionDriver { connection, http2, pings, drain_reported, .. } = self;
            tokio::select! {
                event = poll_fn(|cx| poll_http2(http2, connection, cx, limit, *drain_reported)) => match event {
                    Some(event) => return event,
                    None => connection.drain(),
                },
                pong = poll_fn(|cx| pings.poll_pong(cx)) => match pong {
                    Ok(_) => {
                        let mut liveness = connection.liveness();
                        (liveness.received, liveness.pinged) = (Instant::now(), None);
                    }
                    Err(_) => return ConnectionEvent::Closed,
                },
                () = tokio::time::sleep_until(wait.into()) => {}
                () = connection.state.driver_wakeup.notified() => {}
            }
        }
    }

    fn next_action(&self) -> KeepAliveAction {
        let liveness = Liveness { busy: !self.connection.is_idle(), ..*self.connection.liveness() };
        liveness.next_action(&self.limits, Instant::now())
    }
}

/// Polls the connection's I/O and checks what it changed. `None`: the gateway has sent GOAWAY, which was not reported yet.
fn poll_http2(
    http2: &mut Connection<Box<dyn Duplex>, Bytes>,
    connection: &GatewayConnection,
    cx: &mut Context<'_>,
    limit: usize,
    drain_reported: bool,
) -> Poll<Option<ConnectionEvent>> {
    if Pin::new(http2).poll(cx).is_ready() {
        return Poll::Ready(Some(ConnectionEvent::Closed));
    }
    if !drain_reported && let Poll::Ready(Err(_going_away)) = connection.sender.clone().poll_ready(cx) {
        return Poll::Ready(None);
    }
    match connection.sender.current_max_send_streams() == limit {
        true => Poll::Pending,
        false => Poll::Ready(Some(ConnectionEvent::StreamLimit)),
    }
}
