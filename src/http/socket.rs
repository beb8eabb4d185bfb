//! The WebSocket upgrade: the server's half of the opening handshake (RFC 6455 section 4.2).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use driftless_protocol::Codec;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::cors::request_origin;
use super::error::{self, HttpError};
use super::meter::MeteredStream;
use super::permit::{ConnectionCount, ConnectionPermit};
use super::request::request_source;
use super::server::TlsSocket;
use super::state::HttpState;
use crate::session::{AuthError, OpenSession, RequestSource, Sessions};

/// `GET /v1/sync`.
pub(super) async fn upgrade(State(state): State<HttpState>, mut request: Request) -> Result<Response, HttpError> {
    // The router passes HEAD to the handler of GET.
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(HttpError::BadHandshake(
            "a WebSocket is opened with GET and HTTP/1.1, also by a proxy in between; nginx needs proxy_http_version 1.1",
        ));
    }
    let headers = request.headers();
    let accept = accept_key(headers)?;
    // The pool, which may allow fewer origins, is known once the hello has arrived.
    if !state.pools.origins().allow(&request_origin(headers)) {
        return Err(HttpError::OriginNotAllowed);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let codec = offered.flat_map(Codec::choose).next().ok_or(HttpError::BadHandshake(
        "no supported subprotocol; send Sec-WebSocket-Protocol: driftless.v1.msgpack or driftless.v1.json",
    ))?;
    let connection = ConnectionPermit::of_request(request.extensions()).zip(request_source(headers, request.extensions()));
    let ((permit, _), from) = connection.ok_or(HttpError::BadHandshake("the request came over no connection of the server"))?;
    permit.upgraded(&from.client).map_err(|exceeded| {
        permit.rules().refused(&from.client, exceeded);
        HttpError::Auth(AuthError::LimitExceeded(exceeded))
    })?;
    // Boxed: the state of the handshake is freed before the session runs, which for most of its life is idle.
    let (sessions, handshake) = (state.sessions, Box::new((hyper::upgrade::on(&mut request), from, permit)));
    tokio::spawn(async move {
        let (upgraded, from, permit) = *handshake;
        let (opened, counted) = Box::pin(open_or_make_place(&sessions, upgraded, codec, from, permit)).await;
        match opened {
            Some(UpgradedSession::Plain(session)) => session.run().await,
            Some(UpgradedSession::Tls(session)) => session.run().await,
            None => {}
        }
        // The connection counts against the limit until here.
        drop(counted);
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol())),
    ];
    Ok((error::switching_protocols(), headers).into_response())
}

/// A session with or without TLS.
enum UpgradedSession<'a> {
    Plain(OpenSession<'a, TcpStream>),
    Tls(OpenSession<'a, TlsSocket>),
}

/// Opens the session, unless its connection has to make place for another one before its device has proved who it is.
async fn open_or_make_place(
    sessions: &Sessions,
    upgraded: OnUpgrade,
    codec: Codec,
    from: RequestSource,
    permit: ConnectionPermit,
) -> (Option<UpgradedSession<'_>>, Option<ConnectionCount>) {
    let opened = tokio::select! {
        opened = open_session(sessions, upgraded, codec, from) => opened,
        () = permit.must_close() => None,
    };
    (opened, permit.into_counted())
}

/// Opens the session on the bare stream, so that no buffer of the HTTP connection stays in memory with an idle session.
async fn open_session(sessions: &Sessions, upgraded: OnUpgrade, codec: Codec, from: RequestSource) -> Option<UpgradedSession<'_>> {
    let socket = upgraded.await.inspect_err(|error| debug!(%error, "connection closed before its upgrade")).ok()?;
    match socket.downcast::<TokioIo<MeteredStream<TcpStream>>>() {
        Ok(parts) => Some(UpgradedSession::Plain(sessions.open(into_stream(parts)?, codec, from).await?)),
        Err(socket) => {
            let parts = socket.downcast::<TokioIo<MeteredStream<TlsSocket>>>().ok()?;
            Some(UpgradedSession::Tls(sessions.open(into_stream(parts)?, codec, from).await?))
        }
    }
}

/// The stream of an upgraded connection. A client sends no frame before it has the response (RFC 6455 section 4.1), so bytes that were
/// already read are not the start of a session.
fn into_stream<S>(parts: Parts<TokioIo<MeteredStream<S>>>) -> Option<S> {
    if !parts.read_buf.is_empty() {
        debug!("client sent data before the upgrade");
        return None;
    }
    Some(parts.io.into_inner().into_inner())
}

/// The value of `Sec-WebSocket-Accept`, if the request is a WebSocket handshake.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, HttpError> {
    if !has_token(headers, header::CONNECTION, "upgrade") || !has_token(headers, header::UPGRADE, "websocket") {
        return Err(HttpError::UpgradeRequired);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(HttpError::WebSocketVersion);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(HttpError::BadHandshake("Sec-WebSocket-Key is missing"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| HttpError::BadHandshake("Sec-WebSocket-Key is invalid"))
}

/// Whether a header, which is a comma-separated list, contains a token.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}
