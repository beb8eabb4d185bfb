//! One request, read in full, and where it came in.

use bytes::Bytes;
use driftless_protocol::Provider;
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};

use super::answer::Reply;
use super::push::Content;

/// No request that is in order is longer than this; what comes after is not read.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024;

/// Which port it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Apple's production, Google's and a browser's.
    Main,
    /// Apple's sandbox.
    Sandbox,
    /// Google's token endpoint.
    Tokens,
}

impl Door {
    /// Which of Apple's environments stands behind it.
    pub(super) fn apple(self) -> Provider {
        match self {
            Door::Main | Door::Tokens => Provider::Apns,
            Door::Sandbox => Provider::ApnsSandbox,
        }
    }
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) door: Door,
    /// Counted from 1.
    pub(super) connection: u64,
    /// Whether the sender showed a certificate that the authority signed.
    pub(super) certificate: bool,
}

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) door: Door,
    pub(super) certificate: bool,
    pub(super) connection: u64,
    /// 0 over HTTP/1.1.
    pub(super) stream: u32,
}

impl Call {
    pub(super) fn new(parts: Parts, body: Bytes, line: Line, stream: u32) -> Call {
        let Parts { method, uri, version, headers, .. } = parts;
        let Line { door, connection, certificate } = line;
        Call { method, uri, version, headers, body, door, certificate, connection, stream }
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// A header's text; what is no visible ASCII is none.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A push that is in order: it is accepted, unless a script says otherwise.
pub(super) struct Accepted {
    pub(super) provider: Provider,
    /// What names its device in the directory.
    pub(super) token: String,
    pub(super) content: Content,
    /// What is answered once it is accepted.
    pub(super) reply: Reply,
}
