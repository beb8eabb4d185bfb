//! Answers patches once the committer has decided them, in the order in which the device sent them.

use driftless_protocol::{DatasetName, ServerMessage};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::SessionEnd;
use super::live::{LiveSession, PendingPatch};
use crate::committer::Unavailable;
use crate::limits::HeldMemory;
use crate::store::Decision;

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    /// Answers the oldest patch, and the patches behind it that are decided already.
    pub(super) async fn answer_patches(&mut self, mut decision: Result<Decision, Unavailable>) -> Result<(), SessionEnd> {
        while let Some(PendingPatch { id, dataset, reply_memory, .. }) = self.patches.pop_front() {
            self.answer_patch(id, dataset, decision, reply_memory).await?;
            match self.patches.front_mut().and_then(|next| (&mut next.reply).now_or_never()) {
                Some(next) => decision = next.unwrap_or(Err(Unavailable::Now)),
                None => break,
            }
        }
        Ok(())
    }

    async fn answer_patch(
        &mut self,
        id: u64,
        dataset: DatasetName,
        decision: Result<Decision, Unavailable>,
        memory: Option<HeldMemory>,
    ) -> Result<(), SessionEnd> {
        match decision {
            Ok(Decision::Written { version, results, .. } | Decision::Repeated { version, results }) => {
                self.send_reply(ServerMessage::Written { id, version, records: results }, memory).await?;
                if let Some(subscription) = self.subscriptions.iter_mut().find(|subscription| *subscription.dataset() == dataset) {
                    subscription.written_sent(version);
                }
                Ok(())
            }
            Ok(Decision::Conflict(records)) => self.send_reply(ServerMessage::Conflict { id, dataset, records }, memory).await,
            Ok(Decision::Refused(code, message)) => self.refuse(Some(id), Some(dataset.to_string()), code, message).await,
            // The identity was erased or merged, or the device revoked; a signal is about to close this session for that reason.
            Ok(Decision::NoIdentity | Decision::DeviceRevoked | Decision::DeviceForgotten) => {
                self.refuse_unavailable(Some(id), Some(dataset), Unavailable::Now).await
            }
            Err(why) => self.refuse_unavailable(Some(id), Some(dataset), why).await,
        }
    }

    async fn send_reply(&mut self, reply: ServerMessage, memory: Option<HeldMemory>) -> Result<(), SessionEnd> {
        match memory {
            Some(memory) => self.send_counted(reply, memory).await,
            None => self.send(&reply).await,
        }
    }
}
