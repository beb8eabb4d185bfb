//! Serves HTTP/1.1, which some browsers' push services speak, and the token endpoint.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::request::{ConnectionInfo, GatewayRequest, ListenerKind, MAX_BODY_BYTES};
use super::respond::{RequestOutcome, respond_to_push, respond_to_token_request};
use super::state::GatewayState;

/// Makes hyper close the connection without a response.
#[derive(Debug)]
struct CloseWithoutResponse;

impl fmt::Display for CloseWithoutResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without a response")
    }
}

impl std::error::Error for CloseWithoutResponse {}

/// Serves requests until the connection ends.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<GatewayState>, connection: ConnectionInfo) {
    let service = service_fn(|request| respond(state.clone(), connection, request));
    // The result is ignored: however the connection ended, there is nothing left to do.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    state: Arc<GatewayState>,
    connection: ConnectionInfo,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, CloseWithoutResponse> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|_| CloseWithoutResponse)?.to_bytes();
    state.connections.wait_until_running().await;
    let request = GatewayRequest::new(parts, body, connection, 0);
    let outcome = match connection.listener {
        ListenerKind::TokenEndpoint => respond_to_token_request(&state, request).await,
        ListenerKind::Main | ListenerKind::Sandbox => {
            state.log.requests.fetch_add(1, Ordering::Relaxed);
            respond_to_push(&state, request).await
        }
    };
    match outcome {
        RequestOutcome::Respond(response) => Ok(response.map(Full::new)),
        RequestOutcome::ResetStream(_) | RequestOutcome::CloseConnection => Err(CloseWithoutResponse),
    }
}
