//! The verdict: what a gateway's response, or its absence, means for a wake. A value on which the caller acts; nothing here sends, waits or
//! counts.
//!
//! A failure has a [`FailureCause`] for programs and a reason for people: the gateway's own code where it has one, for example
//! `Unregistered`, else the cause in words, with the server of a gateway that the configuration names. A reason never holds a token, or the
//! address of a subscription, so it may be logged.

use super::failure::FailureCause;

/// What became of one wake at its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway accepted the wake. Whether it will reach the device is not known.
    Accepted {
        /// The gateway's id for the wake: `apns-id`, or FCM's message name.
        id: Option<String>,
    },
    /// The token or subscription is no longer valid, or never was.
    Dead {
        failure: FailureCause,
        reason: String,
        /// The token is dead only if it was not registered again after this date, in Unix milliseconds; `None`: the gateway gave no date.
        since_ms: Option<u64>,
    },
    /// The token does not belong to this environment (APNs' `BadDeviceToken`). The caller tries the other environment once before it gives up
    /// the token.
    OtherEnvironment { reason: String },
    /// The wake was not accepted now, and may be sent again later.
    Later {
        failure: FailureCause,
        reason: String,
        /// The wait that the gateway asks for, in milliseconds; `None`: the caller's back-off.
        after_ms: Option<u64>,
        scope: FaultScope,
    },
    /// The gateway rejects the wake; the same wake would be rejected again.
    Refused { failure: FailureCause, reason: String, cause: RefusalCause },
}

/// Which devices have to wait after [`Verdict::Later`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultScope {
    /// This device alone; wakes to other devices of the app go on.
    Device,
    /// All devices of the app: the gateway is unhealthy or unreachable.
    App,
}

/// What a gateway objects to in [`Verdict::Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// This one message. No token is dropped, and wakes to other devices go on.
    Payload,
    /// The app's credential or configuration: its wakes stop and the operator is alerted. No token is dropped.
    App,
    /// The credential does not fit this token or subscription: it is another sender's, topic's or key's (FCM's `SENDER_ID_MISMATCH`, APNs'
    /// `DeviceTokenNotForTopic`). Either can be the wrong one, and any device can register a token of another app: the token is kept, wakes to
    /// other devices go on, and the operator is alerted when many tokens in a row do not fit.
    Mismatch,
}

impl Verdict {
    pub(in crate::push) fn dead(reason: impl Into<String>) -> Verdict {
        Verdict::Dead { failure: FailureCause::TokenDead, reason: reason.into(), since_ms: None }
    }

    /// The gateway fails; other causes with [`Verdict::because`].
    pub(in crate::push) fn later(reason: impl Into<String>, scope: FaultScope) -> Verdict {
        Verdict::later_after(reason, None, scope)
    }

    pub(in crate::push) fn later_after(reason: impl Into<String>, after_ms: Option<u64>, scope: FaultScope) -> Verdict {
        Verdict::Later { failure: FailureCause::GatewayFailed, reason: reason.into(), after_ms, scope }
    }

    /// The gateway refuses the message or the credential; other causes with [`Verdict::because`].
    pub(in crate::push) fn refused(reason: impl Into<String>, cause: RefusalCause) -> Verdict {
        let failure = match cause {
            RefusalCause::Payload => FailureCause::MessageRefused,
            RefusalCause::App | RefusalCause::Mismatch => FailureCause::CredentialRefused,
        };
        Verdict::Refused { failure, reason: reason.into(), cause }
    }

    /// The same verdict with another cause.
    pub(super) fn because(self, failure: FailureCause) -> Verdict {
        match self {
            Verdict::Dead { reason, since_ms, .. } => Verdict::Dead { failure, reason, since_ms },
            Verdict::Later { reason, after_ms, scope, .. } => Verdict::Later { failure, reason, after_ms, scope },
            Verdict::Refused { reason, cause, .. } => Verdict::Refused { failure, reason, cause },
            Verdict::Accepted { .. } | Verdict::OtherEnvironment { .. } => self,
        }
    }

    /// What became of the wake, in one word.
    pub fn outcome(&self) -> &'static str {
        match self {
            Verdict::Accepted { .. } => "accepted",
            Verdict::Dead { .. } | Verdict::OtherEnvironment { .. } => "dead",
            Verdict::Later { .. } => "later",
            Verdict::Refused { .. } => "refused",
        }
    }

    /// Why the wake failed, for programs and for people; `None`: it was accepted.
    pub fn failure(&self) -> Option<(FailureCause, &str)> {
        match self {
            Verdict::Accepted { .. } => None,
            Verdict::OtherEnvironment { reason } => Some((FailureCause::TokenDead, reason)),
            Verdict::Dead { failure, reason, .. } | Verdict::Later { failure, reason, .. } | Verdict::Refused { failure, reason, .. } => {
                Some((*failure, reason))
            }
        }
    }
}

/// The longest reason that a gateway may give, in bytes. The longest known is `THIRD_PARTY_AUTH_ERROR`.
const REASON_BYTES: usize = 64;

/// A gateway's reason code, if it looks like one: other text from outside is not put into logs.
pub(super) fn reason_code(text: &str) -> Option<&str> {
    let fits = (1..=REASON_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fits.then_some(text)
}

/// The reason for a response without a code of its own.
pub(super) fn status_reason(status: u16) -> String {
    format!("status_{status}")
}
