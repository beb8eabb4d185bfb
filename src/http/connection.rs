//! Serves one connection, and closes it when its deadlines say so.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use super::body::TimedBody;
use super::deadlines::ConnectionDeadlines;
use super::meter::{ConnectionMeter, MeteredStream, RequestInProgress};
use super::party::RequestParty;
use super::permit::ConnectionPermit;
use super::transfers::Transfers;
use crate::session::DrainWatch;

/// The maximum bytes of a request's head, which like a hello carries a token of up to 16 KiB.
const HEAD_BYTES: usize = driftless_protocol::limits::HELLO_BYTES;

/// Serves the requests of one connection until it ends or becomes a WebSocket. When its port drains it answers the request in progress, if
/// there is one, and is closed.
pub(super) async fn serve_connection<S>(stream: S, router: Router, permit: ConnectionPermit, transfers: Transfers, mut drain: DrainWatch)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (meter, party) = (ConnectionMeter::default(), RequestParty::default());
    let mut deadlines = ConnectionDeadlines::new(transfers.clock.running_ms());
    let service = {
        let (permit, transfers, meter, began_ms) = (permit.clone(), transfers.clone(), meter.clone(), deadlines.began_ms());
        let (party, drain) = (party.clone(), drain.clone());
        service_fn(move |request: Request<Incoming>| {
            let in_progress = meter.request_begun();
            party.request_begun();
            let clock = transfers.clock.clone();
            let client = permit.rules().request_client(permit.client(), request.headers(), clock.running_ms());
            let mut request = request.map(|body| Body::new(TimedBody::new(body, transfers.clone(), client.clone(), party.clone())));
            request.extensions_mut().insert(party.clone());
            request.extensions_mut().insert(drain.clone());
            request.extensions_mut().insert(permit.clone());
            request.extensions_mut().insert(client);
            let response = router.clone().call(request);
            async move {
                let response = response.await?;
                let is_last = ConnectionDeadlines::is_last_response(began_ms, clock.running_ms());
                Ok::<_, std::convert::Infallible>(finished_response(response, in_progress, is_last))
            }
        })
    };
    let mut http = http1::Builder::new();
    // Deadlines are those of `deadlines`: the library's own counts a whole head, and the time between two requests as a part of it.
    http.header_read_timeout(None).max_buf_size(HEAD_BYTES);
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(MeteredStream::new(stream, meter.clone())), service).with_upgrades());
    let (deadlines, meter, party) = (&mut deadlines, &meter, &party);
    let mut watched = WatchedConnection { deadlines, meter, party, permit: &permit, transfers: &transfers, is_draining: false };
    let result = tokio::select! {
        // What has arrived is read first: a whole request is answered, also if the drain has begun.
        biased;
        result = watched.run(connection.as_mut()) => result,
        () = permit.must_close() => return,
        () = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            watched.is_draining = true;
            tokio::select! {
                biased;
                result = watched.run(connection.as_mut()) => result,
                () = drain.over() => None,
            }
        }
    };
    let is_draining = watched.is_draining;
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!(%error, "connection failed"),
        None if is_draining => debug!("connection closed: the server drains"),
        // Over TLS, after its handshake.
        None if meter.activity().received == 0 => permit.rules().metrics().connection_cut("silent"),
        None => debug!("connection closed: its client sent or read too slowly"),
    }
}

/// A response that counts as in progress until its body was produced. The last one of a connection says so: a client that knows does not send
/// another request to a connection that is being closed.
fn finished_response(response: Response<Body>, in_progress: RequestInProgress, is_last: bool) -> Response<Body> {
    let mut response = response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &in_progress;
            frame
        }))
    });
    if is_last {
        response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    response
}

struct WatchedConnection<'a> {
    deadlines: &'a mut ConnectionDeadlines,
    meter: &'a ConnectionMeter,
    party: &'a RequestParty,
    permit: &'a ConnectionPermit,
    transfers: &'a Transfers,
    is_draining: bool,
}

impl WatchedConnection<'_> {
    /// Runs the connection, and returns its result; `None` if a deadline ended it. What arrived is read before a deadline is looked at.
    async fn run<F: Future>(&mut self, mut connection: Pin<&mut F>) -> Option<F::Output> {
        let mut sleep = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let (mut slow_transfer, mut armed_ms) = (None, 0);
        poll_fn(|context| {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            loop {
                let (now_ms, seen) = (self.transfers.clock.running_ms(), self.meter.activity());
                if self.is_draining && seen.is_between_requests() {
                    return Poll::Ready(None);
                }
                let Some(at_ms) = self.deadlines.check(now_ms, seen, self.permit.scarcity()) else {
                    return Poll::Ready(None);
                };
                if !self.transfers.slow.admit(&mut slow_transfer, self.deadlines.is_slow(now_ms), self.party.get()) {
                    return Poll::Ready(None);
                }
                if at_ms == u64::MAX {
                    return Poll::Pending;
                }
                if at_ms != armed_ms || sleep.is_elapsed() {
                    sleep.as_mut().reset(Instant::now() + Duration::from_millis(at_ms.saturating_sub(now_ms)));
                    armed_ms = at_ms;
                }
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
