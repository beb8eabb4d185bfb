//! One request with its whole body, and the connection that it came on.

use bytes::Bytes;
use driftless_protocol::Provider;
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};

use super::received_push::PushContent;
use super::response::HttpResponse;

/// No valid request has a longer body. The gateway stops reading behind it.
pub(crate) const MAX_BODY_BYTES: usize = 16 * 1024;

/// The listener that accepted a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Apple's production environment, Google and Web Push.
    Main,
    /// Apple's sandbox.
    Sandbox,
    /// Google's token endpoint.
    TokenEndpoint,
}

impl ListenerKind {
    /// Apple's environment on this listener.
    pub(crate) fn apns_provider(self) -> Provider {
        match self {
            ListenerKind::Main | ListenerKind::TokenEndpoint => Provider::Apns,
            ListenerKind::Sandbox => Provider::ApnsSandbox,
        }
    }
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) listener: ListenerKind,
    /// Counted from 1.
    pub(crate) number: u64,
    /// Whether the sender presented a certificate that the authority signed.
    pub(crate) has_certificate: bool,
}

pub(crate) struct GatewayRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) listener: ListenerKind,
    pub(crate) has_certificate: bool,
    pub(crate) connection: u64,
    /// 0 over HTTP/1.1.
    pub(crate) stream: u32,
}

impl GatewayRequest {
    pub(crate) fn new(parts: Parts, body: Bytes, connection: ConnectionInfo, stream: u32) -> GatewayRequest {
        let Parts { method, uri, version, headers, .. } = parts;
        let ConnectionInfo { listener, number: connection, has_certificate } = connection;
        GatewayRequest { method, uri, version, headers, body, listener, has_certificate, connection, stream }
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The text of a header, or `None` if it contains anything but visible ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A push that passed its check. The gateway accepts it unless a script says otherwise.
pub(crate) struct AcceptedPush {
    pub(crate) provider: Provider,
    /// The device's key in the registry.
    pub(crate) token: String,
    pub(crate) content: PushContent,
    /// The response to send when the push is accepted.
    pub(crate) response: HttpResponse,
}
