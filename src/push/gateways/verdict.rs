//! What a gateway's answer means for us: a value, on which the caller acts. Nothing here sends, waits or counts.
//!
//! A reason is a gateway's own word where it has one, such as `Unregistered`, else one of ours in the same spirit. It never holds a token or an
//! address, so it may be logged and counted.

/// What became of one wake at its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway took it. Whether it reaches the device is not known to anybody.
    Accepted {
        /// What the gateway calls it: `apns-id`, FCM's message name, Web Push's location.
        id: Option<String>,
    },
    /// The token leads nowhere any more.
    Dead {
        /// Why.
        reason: String,
        /// It is dead only if it was not registered again after this date, in Unix milliseconds; `None`: the gateway gave no date.
        since_ms: Option<u64>,
    },
    /// The token is not of this environment (APNs' `BadDeviceToken`): the other one is tried once before the token is given up.
    OtherEnvironment {
        /// Why.
        reason: String,
    },
    /// Not now.
    Later {
        /// Why.
        reason: String,
        /// The gateway's own wish, in milliseconds from now; `None`: the caller's back-off.
        after_ms: Option<u64>,
        /// Who has to wait.
        whom: Whom,
    },
    /// Not at all.
    Refused {
        /// Why.
        reason: String,
        /// Whose fault it is.
        fault: Fault,
    },
}

/// Who has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// This device; the others of its app go on.
    Device,
    /// All devices of its app: the gateway, or our way to it, is not well.
    App,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ours, in this one message: it touches no token, and the queue goes on.
    Payload,
    /// The app's credentials or its configuration: its queue stops and an operator is told. No token is dropped.
    App,
    /// The token belongs to another sender (FCM's `SENDER_ID_MISMATCH`): it is disabled, and an operator is told when it happens to many.
    Sender,
}

impl Verdict {
    pub(super) fn dead(reason: impl Into<String>) -> Verdict {
        Verdict::Dead { reason: reason.into(), since_ms: None }
    }

    pub(super) fn later(reason: impl Into<String>, whom: Whom) -> Verdict {
        Verdict::Later { reason: reason.into(), after_ms: None, whom }
    }

    pub(super) fn refused(reason: impl Into<String>, fault: Fault) -> Verdict {
        Verdict::Refused { reason: reason.into(), fault }
    }
}

/// The longest reason that a gateway may give, in bytes. The longest known is `THIRD_PARTY_AUTH_ERROR`.
const REASON_BYTES: usize = 64;

/// A gateway's word, if it looks like one: what a stranger sends is not put into logs as it is.
pub(super) fn word(text: &str) -> Option<&str> {
    let fits = (1..=REASON_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fits.then_some(text)
}

/// For an answer without a word of its own.
pub(super) fn status_reason(status: u16) -> String {
    format!("status_{status}")
}
