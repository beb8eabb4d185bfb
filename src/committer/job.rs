//! What callers submit to the writer thread, and how it replies.

use std::sync::Arc;

use driftless_protocol::{DatasetName, DeviceId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::unavailable::Unavailable;
use crate::hub::Signal;
use crate::store::{Admission, DatasetRules, Decision, Group, Identity, Patch};

/// The result of a submitted job, once the job is durable.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Unavailable>>;
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, Unavailable>>;

/// A login on a device that is not known yet, and the identity that the login gets.
#[derive(Clone, Debug)]
pub struct SignInRequest {
    pub pool: Arc<str>,
    pub issuer: Arc<str>,
    pub subject: String,
    /// When the login's token was issued, in seconds since 1970 (UTC), if it says so.
    pub issued_s: Option<u64>,
    /// The identity that a new login gets.
    pub new_identity: Identity,
    /// The identity that a new login gets if `new_identity` is taken.
    pub fallback_identity: Identity,
    pub device: DeviceId,
    /// How many devices an identity may have.
    pub max_devices: usize,
}

/// The key of an acknowledgement. Of several versions for the same key only the highest counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckKey {
    pub identity: Identity,
    /// The device that acknowledges.
    pub device: DeviceId,
    pub dataset: DatasetName,
}

/// A notice to live sessions about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionNotice {
    /// The dataset has this version now; its changes are in the store only.
    Advanced(Identity, DatasetName, u64),
    /// All sessions of the identity end.
    Ended(Identity, Signal),
    /// The session of the device ends: the device was revoked.
    Revoked(Identity, DeviceId),
    /// The sessions of the identity look at its logins again: one was linked, or tokens of some are refused.
    LoginsChanged(Identity),
}

pub(super) enum CommitterJob {
    Write { patch: Patch, rules: DatasetRules, writer: u64, reply: ReplySender<Decision>, _permit: OwnedSemaphorePermit },
    Ack { key: AckKey, version: u64, reply: Option<ReplySender<()>> },
    SignIn { request: SignInRequest, reply: ReplySender<(Identity, Admission)> },
    FlushAcks { reply: ReplySender<()> },
    Transaction(Transaction),
    Stop,
}

/// Decides within a group, at a time in Unix milliseconds. Returns `None` on failure, after it has sent the error to the caller.
pub(super) type Transaction = Box<dyn FnOnce(&mut Group<'_>, u64) -> Option<DecidedTransaction> + Send>;

/// The notices and the reply of a decided transaction. They are sent once it is durable. If its commit fails the
/// reply is an error, and recovery signals again what may have become durable.
pub(super) struct DecidedTransaction {
    pub(super) notices: Vec<SessionNotice>,
    pub(super) reply: Box<dyn FnOnce(Result<(), Unavailable>) + Send>,
}

impl CommitterJob {
    /// Replies to a job that the writer does not take.
    pub(super) fn reject(self, why: Unavailable) {
        match self {
            CommitterJob::Write { reply, .. } => send_reply(reply, Err(why)),
            CommitterJob::Ack { reply: Some(reply), .. } | CommitterJob::FlushAcks { reply } => send_reply(reply, Err(why)),
            CommitterJob::SignIn { reply, .. } => send_reply(reply, Err(why)),
            // The caller of a transaction learns of it when the closure, and with it the sender, is dropped.
            CommitterJob::Ack { reply: None, .. } | CommitterJob::Transaction(_) | CommitterJob::Stop => {}
        }
    }
}

/// The caller may have dropped its receiver; the send error is ignored.
pub(super) fn send_reply<T>(reply: ReplySender<T>, result: Result<T, Unavailable>) {
    let _ = reply.send(result);
}
