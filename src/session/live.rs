//! A session that is live: its socket, its subscriptions and its patches, and how a message is sent.

use std::collections::VecDeque;

use bytes::Bytes;
use driftless_protocol::{DatasetName, RefusalCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::{SessionContext, SessionEnd};
use super::socket::SessionSocket;
use super::subscription::DatasetSubscription;
use crate::committer::{PendingReply, Unavailable};
use crate::store::Decision;

pub(super) struct LiveSession<'a, S> {
    pub socket: SessionSocket<S>,
    pub context: SessionContext<'a>,
    pub subscriptions: Vec<DatasetSubscription>,
    /// Patches that were submitted, in the order in which they are answered.
    pub patches: VecDeque<PendingPatch>,
}

/// A patch that the committer has not answered yet.
pub(super) struct PendingPatch {
    pub id: u64,
    pub dataset: DatasetName,
    pub reply: PendingReply<Decision>,
    /// How much of the session's patch window it takes: its reply waits in memory until the peer reads it.
    pub load: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    pub(super) async fn send(&mut self, message: &ServerMessage) -> Result<(), SessionEnd> {
        let bytes = self.socket.codec().encode(message).into();
        self.send_encoded(bytes).await
    }

    pub(super) async fn send_encoded(&mut self, message: Bytes) -> Result<(), SessionEnd> {
        Ok(self.context.await_send(self.socket.feed(message)).await??)
    }

    /// Buffers a WebSocket ping.
    pub(super) async fn ping(&mut self) -> Result<(), SessionEnd> {
        Ok(self.context.await_send(self.socket.ping()).await??)
    }

    pub(super) async fn flush(&mut self) -> Result<(), SessionEnd> {
        Ok(self.context.await_send(self.socket.flush()).await??)
    }

    pub(super) async fn refuse(
        &mut self,
        id: Option<u64>,
        dataset: Option<String>,
        code: RefusalCode,
        message: String,
    ) -> Result<(), SessionEnd> {
        self.context.services.metrics.request_refused(code.as_str());
        self.send(&ServerMessage::Refused { id, dataset, code, message }).await
    }

    pub(super) async fn refuse_unavailable(
        &mut self,
        id: Option<u64>,
        dataset: Option<DatasetName>,
        why: Unavailable,
    ) -> Result<(), SessionEnd> {
        let (code, message) = match why {
            Unavailable::Now => {
                (RefusalCode::Unavailable, "the store is not available now; retry after a while, a patch with the same number")
            }
            Unavailable::ReadOnly => (
                RefusalCode::ReadOnly,
                "the store is read-only now, its disk is full or fails; retry after a while, with the same patch number",
            ),
        };
        self.refuse(id, dataset.map(|name| name.to_string()), code, message.to_owned()).await
    }
}
