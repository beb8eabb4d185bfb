//! Why a request is not accepted.

use super::answer::Reply;

/// A request that is not in order, or that concerns a device that is gone.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What is answered.
    pub(super) reply: Box<Reply>,
    /// The gateway's name for it: what is counted.
    pub(super) reason: &'static str,
    /// What the sender did wrong, in words. A device that is gone is nobody's fault.
    pub(super) complaint: Option<String>,
}

impl Refusal {
    /// The sender's fault.
    pub(super) fn fault(reply: Reply, reason: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal { reply: reply.into(), reason, complaint: Some(detail.into()) }
    }

    /// Nobody's fault.
    pub(super) fn gone(reply: Reply, reason: &'static str) -> Refusal {
        Refusal { reply: reply.into(), reason, complaint: None }
    }
}
