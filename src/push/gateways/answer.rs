//! What a gateway answered, read to its bounds; or why there is no answer.

use bytes::Bytes;
use http::HeaderMap;

use super::verdict::{Verdict, Whom};

/// The most of an answer's body that is read, in bytes. APNs' are 100, FCM's below 2 KiB, and a push service's is not needed.
pub(super) const BODY_BYTES: usize = 4096;

/// An answer. A body that is longer than [`BODY_BYTES`] is cut off there.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was surely not processed, and there is no way to the gateway now.
    NotSent(String),
    /// It may have been processed: it is not sent again at once.
    Unknown(String),
}

impl Lost {
    /// Without a way to the gateway all wait; a connection that broke concerns only what it carried.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Lost::NotSent(reason) => Verdict::later(reason, Whom::App),
            Lost::Unknown(reason) => Verdict::later(reason, Whom::Device),
        }
    }
}
