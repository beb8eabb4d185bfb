//! Serves HTTP/2, with all streams of a connection in one task.

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

use super::connection_control::ConnectionControl;
use super::request::{ConnectionInfo, GatewayRequest, MAX_BODY_BYTES};
use super::respond::{RequestOutcome, respond_to_push};
use super::response::HttpResponse;
use super::state::GatewayState;

/// What a client may send before the gateway reads anything: many pushes of a few hundred bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What a finished stream means for its connection.
#[derive(PartialEq, Eq)]
enum StreamEnd {
    KeepConnection,
    CloseConnection,
}

/// Serves streams until the connection ends. The loop waits for a new stream or a finished one, whichever comes first.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    state: Arc<GatewayState>,
    connection_info: ConnectionInfo,
    control: Arc<ConnectionControl>,
) {
    // The library's own stream limit stays off: the gateway announces its limit in an injected frame, and may change it.
    let builder = h2::server::Builder::new().initial_connection_window_size(CONNECTION_WINDOW_BYTES).handshake(stream);
    let Ok(mut connection) = builder.await else { return };
    let mut streams = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(end) = streams.next(), if !streams.is_empty() => match end {
                StreamEnd::KeepConnection => {}
                StreamEnd::CloseConnection => return,
            },
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                let id = respond.stream_id().as_u32();
                // Some of the streams may be reset by the client already: polling them takes those out of the count.
                while !control.allows_stream(id, streams.len()) {
                    match streams.next().now_or_never() {
                        Some(Some(StreamEnd::KeepConnection)) => {}
                        Some(Some(StreamEnd::CloseConnection)) => return,
                        Some(None) | None => break,
                    }
                }
                if control.allows_stream(id, streams.len()) {
                    streams.push(serve_stream(&state, connection_info, &control, request, respond));
                } else {
                    state.log.record_violation(format!("stream {id} was opened above the stream limit"));
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
            }
        }
    }
}

/// Serves one stream, unless its client resets it.
async fn serve_stream(
    state: &GatewayState,
    connection: ConnectionInfo,
    control: &ConnectionControl,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> StreamEnd {
    let id = respond.stream_id().as_u32();
    let outcome = tokio::select! {
        outcome = process(state, connection, control, request, id) => outcome,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return StreamEnd::KeepConnection,
    };
    match outcome {
        RequestOutcome::Respond(response) => send(&mut respond, response),
        RequestOutcome::ResetStream(reason) => respond.send_reset(reason),
        RequestOutcome::CloseConnection => return StreamEnd::CloseConnection,
    }
    StreamEnd::KeepConnection
}

async fn process(
    state: &GatewayState,
    connection: ConnectionInfo,
    control: &ConnectionControl,
    request: Request<RecvStream>,
    id: u32,
) -> RequestOutcome {
    let (parts, body) = request.into_parts();
    let Some(body) = read_body(body).await else { return RequestOutcome::ResetStream(Reason::CANCEL) };
    state.log.requests.fetch_add(1, Ordering::Relaxed);
    state.connections.wait_until_running().await;
    match control.begin_stream(id) {
        true => respond_to_push(state, GatewayRequest::new(parts, body, connection, id)).await,
        // A GOAWAY told the client that this stream is not processed.
        false => pending().await,
    }
}

/// Reads a request's body. Stops behind [`MAX_BODY_BYTES`]: the checks reject such a body.
async fn read_body(mut stream: RecvStream) -> Option<Bytes> {
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

/// Sends a response. Errors are ignored: they mean that the client is gone.
fn send(respond: &mut SendResponse<Bytes>, response: HttpResponse) {
    let (parts, body) = response.into_parts();
    let ends = body.is_empty();
    if let Ok(mut stream) = respond.send_response(Response::from_parts(parts, ()), ends)
        && !ends
    {
        let _ = stream.send_data(body, true);
    }
}
