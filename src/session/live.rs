//! A session that is live: its socket, its subscriptions and its patches, and how a message is sent.

use std::collections::VecDeque;

use bytes::Bytes;
use driftless_protocol::{DatasetName, RefusalCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::{SessionContext, SessionEnd};
use super::socket::SessionSocket;
use super::subscription::DatasetSubscription;
use crate::committer::{PendingReply, Unavailable};
use crate::hub::encode_frame;
use crate::limits::HeldMemory;
use crate::store::{Cursor, Decision, ReadResult};

/// An answer that turned out so small counts as no memory: it is like the other small messages that wait for the peer to read.
const UNCOUNTED_ANSWER_BYTES: usize = 1024;

pub(super) struct LiveSession<'a, S> {
    pub socket: SessionSocket<S>,
    pub context: SessionContext<'a>,
    pub subscriptions: Vec<DatasetSubscription>,
    /// Patches that were submitted, in the order in which they are answered.
    pub patches: VecDeque<PendingPatch>,
    /// The page after the last one that was sent.
    pub read_ahead: Option<Box<ReadAhead>>,
}

/// A page that was read and not sent yet. A session that waits for memory gives this page's back, and reads it again later.
pub(super) struct ReadAhead {
    pub dataset: DatasetName,
    /// Where the page begins.
    pub cursor: Cursor,
    pub read: ReadResult,
    pub memory: HeldMemory,
}

/// A patch that the committer has not answered yet.
pub(super) struct PendingPatch {
    pub id: u64,
    pub dataset: DatasetName,
    pub reply: PendingReply<Decision>,
    /// How much of the session's patch window it takes: its reply waits in memory until the peer reads it.
    pub load: usize,
    /// What its changes take in memory.
    pub bytes: usize,
    /// What that counts as, if its message was large.
    pub _memory: Option<HeldMemory>,
    /// The memory for its reply, if that can be large.
    pub reply_memory: Option<HeldMemory>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    pub(super) async fn send(&mut self, message: &ServerMessage) -> Result<(), SessionEnd> {
        let frame = encode_frame(self.socket.codec(), message).into();
        self.send_frame(frame).await
    }

    /// Sends a message for which memory was taken before its content was read.
    pub(super) async fn send_counted(&mut self, message: ServerMessage, memory: HeldMemory) -> Result<(), SessionEnd> {
        let frame = encode_frame(self.socket.codec(), &message);
        // While the peer does not read there is only the encoded message.
        drop(message);
        let frame = if frame.len() <= UNCOUNTED_ANSWER_BYTES { frame.into() } else { memory.hold(frame) };
        self.send_frame(frame).await
    }

    /// Memory for an answer. A session that waits for some holds none, so it first sends what it has.
    pub(super) async fn answer_memory(&mut self) -> Result<HeldMemory, SessionEnd> {
        if let Some(memory) = self.context.try_take_answer_memory() {
            return Ok(memory);
        }
        self.read_ahead = None;
        while let Some(first) = self.patches.front_mut() {
            let decision = (&mut first.reply).await.unwrap_or(Err(Unavailable::Now));
            self.answer_patches(decision).await?;
        }
        self.flush().await?;
        self.context.take_answer_memory().await
    }

    pub(super) async fn send_frame(&mut self, frame: Bytes) -> Result<(), SessionEnd> {
        self.context.charge_work(frame.len());
        Ok(self.context.await_send(self.socket.feed(frame)).await??)
    }

    /// Sends a WebSocket ping.
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
