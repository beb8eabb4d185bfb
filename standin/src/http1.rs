//! A connection over HTTP/1.1: what some push services of browsers speak, and the token endpoint.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::{Call, Door, Line, MAX_BODY_BYTES};
use super::service::{self, Outcome, token_endpoint};
use super::shared::Shared;

/// The connection ends without an answer.
#[derive(Debug)]
struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl std::error::Error for NoAnswer {}

/// Answers until the connection ends.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>, line: Line) {
    let service = service_fn(|request| answer(shared.clone(), line, request));
    // How a connection ended is the client's matter.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, line: Line, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|_| NoAnswer)?.to_bytes();
    shared.lines.running().await;
    let call = Call::new(parts, body, line, 0);
    let outcome = match line.door {
        Door::Tokens => token_endpoint(&shared, call).await,
        Door::Main | Door::Sandbox => {
            shared.ledger.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            service::answer(&shared, call).await
        }
    };
    match outcome {
        Outcome::Reply(reply) => Ok(reply.map(Full::new)),
        Outcome::Reset(_) | Outcome::Cut => Err(NoAnswer),
    }
}
