//! From a request to a socket: RFC 6455 §4.2, as far as it concerns a server.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use driftless_protocol::Codec;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::HttpState;
use super::error::{self, Error};
use super::server::{Guest, TlsSocket};
use crate::session::{OpenSession, Sessions};

/// `GET /v1/sync`.
pub(super) async fn upgrade(State(rooms): State<HttpState>, mut request: Request) -> Result<Response, Error> {
    let headers = request.headers();
    let accept = asked(headers)?;
    check_origin(headers, &rooms.origins)?;
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let codec = offered
        .flat_map(Codec::choose)
        .next()
        .ok_or(Error::NoSocket("name a subprotocol: Sec-WebSocket-Protocol: driftless.v1.msgpack or driftless.v1.json"))?;
    let (sessions, guest) = (rooms.sessions, request.extensions().get::<Guest>().cloned());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Boxed: all that a socket needs on its way in is gone when it sleeps.
        match Box::pin(open(&sessions, upgraded, codec)).await {
            Some(Opened::Plain(session)) => session.run().await,
            Some(Opened::Secure(session)) => session.run().await,
            None => {}
        }
        // Only now the connection no longer counts.
        drop(guest);
    });
    let named = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol())),
    ];
    Ok((error::switching(), named).into_response())
}

/// A session, with or without TLS.
enum Opened<'a> {
    Plain(OpenSession<'a, TcpStream>),
    Secure(OpenSession<'a, TlsSocket>),
}

/// The session of a socket, over the bare stream: nothing that the request needed stays beside a sleeping session.
async fn open(sessions: &Sessions, upgraded: OnUpgrade, codec: Codec) -> Option<Opened<'_>> {
    let socket = upgraded.await.inspect_err(|error| debug!(%error, "a socket was given up before it was one")).ok()?;
    match socket.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Some(Opened::Plain(sessions.open(bare(parts)?, codec).await?)),
        Err(socket) => {
            let parts = socket.downcast::<TokioIo<TlsSocket>>().ok()?;
            Some(Opened::Secure(sessions.open(bare(parts)?, codec).await?))
        }
    }
}

/// No peer sends before it has the answer (RFC 6455 §4.1): whatever was read ahead is not the start of a session.
fn bare<S>(parts: Parts<TokioIo<S>>) -> Option<S> {
    if !parts.read_buf.is_empty() {
        debug!("bytes before the upgrade");
        return None;
    }
    Some(parts.io.into_inner())
}

/// The answer's key, if a socket was asked for.
fn asked(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    if !lists(headers, header::CONNECTION, "upgrade") || !lists(headers, header::UPGRADE, "websocket") {
        return Err(Error::NoSocket("this is a WebSocket: ask with Connection: Upgrade and Upgrade: websocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Error::NoSocket("only version 13 of WebSocket is spoken here"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(Error::NoSocket("Sec-WebSocket-Key is missing"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| Error::NoSocket("Sec-WebSocket-Key is none"))
}

fn lists(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Error> {
    // Apps send none; browsers always do, and one only.
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if allowed.is_empty() || origins.all(|origin| allowed.iter().any(|one| origin == one.as_str())) {
        Ok(())
    } else {
        Err(Error::ForeignOrigin)
    }
}
