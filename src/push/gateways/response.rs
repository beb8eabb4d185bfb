//! A gateway's response, read up to its bounds; or why there is none.

use bytes::Bytes;
use http::HeaderMap;

use super::transport_fault::TransportFault;
use super::verdict::{FaultScope, Verdict};

/// The most that is read of a response's body, in bytes. APNs' bodies have about 100, FCM's less than 2 KiB; a push service's is not needed.
pub(super) const BODY_BYTES: usize = 4096;

/// A response. A body that is longer than [`BODY_BYTES`] is cut off there.
#[derive(Clone, Debug)]
pub(super) struct GatewayResponse {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl GatewayResponse {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GatewaySendError {
    /// The request was certainly not processed, and the gateway cannot be reached now.
    NotSent(TransportFault),
    /// The request may have been processed: it must not be sent again at once.
    Unknown(TransportFault),
}

impl GatewaySendError {
    /// All devices of the app wait for a gateway that cannot be reached; a broken connection concerns only the wakes that were on it.
    pub(super) fn verdict(self) -> Verdict {
        let (fault, scope) = match self {
            GatewaySendError::NotSent(fault) => (fault, FaultScope::App),
            GatewaySendError::Unknown(fault) => (fault, FaultScope::Device),
        };
        Verdict::later(fault.to_string(), scope).because(fault.cause)
    }
}
