//! A connection over HTTP/2: all of its streams in one task.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::Reply;
use super::call::{Call, Line, MAX_BODY_BYTES};
use super::control::Control;
use super::service::{self, Outcome};
use super::shared::Shared;

/// How much a client may send before anything is read: many pushes of a few hundred bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How a stream ended.
#[derive(PartialEq, Eq)]
enum End {
    /// It is done.
    Done,
    /// The connection ends with it.
    Cut,
}

/// Answers until the connection ends. Streams come in, streams are done; whichever happens first.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>, line: Line, control: Arc<Control>) {
    // The limit of streams is the gateway's own: its first frame says it, and it may change.
    let builder = h2::server::Builder::new().initial_connection_window_size(CONNECTION_WINDOW_BYTES).handshake(stream);
    let Ok(mut connection) = builder.await else { return };
    let mut streams = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(end) = streams.next(), if !streams.is_empty() => match end {
                End::Done => {}
                End::Cut => return,
            },
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                let id = respond.stream_id().as_u32();
                // A client may have taken back streams that have not been looked at since.
                while !control.allows(id, streams.len()) {
                    match streams.next().now_or_never() {
                        Some(Some(End::Done)) => {}
                        Some(Some(End::Cut)) => return,
                        Some(None) | None => break,
                    }
                }
                if control.allows(id, streams.len()) {
                    streams.push(answer(&shared, line, &control, request, respond));
                } else {
                    shared.ledger.complain(format!("stream {id} was opened above the limit of streams"));
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
            }
        }
    }
}

/// Answers one stream, unless its client takes it back.
async fn answer(shared: &Shared, line: Line, control: &Control, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> End {
    let id = respond.stream_id().as_u32();
    let outcome = tokio::select! {
        outcome = process(shared, line, control, request, id) => outcome,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return End::Done,
    };
    match outcome {
        Outcome::Reply(reply) => send(&mut respond, reply),
        Outcome::Reset(reason) => respond.send_reset(reason),
        Outcome::Cut => return End::Cut,
    }
    End::Done
}

async fn process(shared: &Shared, line: Line, control: &Control, request: Request<RecvStream>, id: u32) -> Outcome {
    let (parts, body) = request.into_parts();
    let Some(body) = read(body).await else { return Outcome::Reset(Reason::CANCEL) };
    shared.ledger.requests.fetch_add(1, Ordering::Relaxed);
    shared.lines.running().await;
    match control.begin(id) {
        true => service::answer(shared, Call::new(parts, body, line, id)).await,
        // The client was told that nobody looks at it.
        false => pending().await,
    }
}

/// A request's body, up to what no provider takes.
async fn read(mut stream: RecvStream) -> Option<Bytes> {
    let mut body = Bytes::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.ok()?;
        stream.flow_control().release_capacity(chunk.len()).ok()?;
        body = match body.is_empty() {
            true => chunk,
            false => {
                let mut longer = BytesMut::from(&*body);
                longer.extend_from_slice(&chunk);
                longer.freeze()
            }
        };
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Some(body)
}

/// A client that is gone needs no answer.
fn send(respond: &mut SendResponse<Bytes>, reply: Reply) {
    let (parts, body) = reply.into_parts();
    let ends = body.is_empty();
    if let Ok(mut stream) = respond.send_response(Response::from_parts(parts, ()), ends)
        && !ends
    {
        let _ = stream.send_data(body, true);
    }
}
