//! Handles the device's messages, one at a time. A request that cannot be granted is refused by itself.

use driftless_protocol::{Change, ClientMessage, DatasetName, DecodeError, Op, Position, RefusalCode, Registration, ServerMessage, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::authenticator::RenewalOutcome;
use super::closing::Closing;
use super::context::{SessionContext, SessionEnd};
use super::live::{LiveSession, PendingPatch};
use super::socket::Incoming;
use super::subscription::DatasetSubscription;
use crate::committer::Unavailable;
use crate::sync::{RegisterError, WriteRequest};

/// A patch's share of the patch window if its reply can be large.
const LARGE_REPLY_LOAD: usize = 8;

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    pub(super) async fn handle_incoming(&mut self, incoming: Incoming) -> Result<(), SessionEnd> {
        let bytes = match incoming {
            Incoming::Message(bytes) => bytes,
            Incoming::Invalid(fault) => {
                return Err(SessionEnd::Close(Closing::of_frame(fault, self.socket.codec(), limits::MESSAGE_BYTES)));
            }
            Incoming::Closed => return Err(SessionEnd::Disconnected),
        };
        self.context.message_received();
        self.context.charge_work(bytes.len());
        let message = match self.socket.codec().decode_client(&bytes) {
            Ok(message) => message,
            // The decoder's error may quote the message, and the message may hold a value: only its size is logged (I9).
            Err(DecodeError::Broken(why)) => {
                debug!(bytes = bytes.len(), "message cannot be decoded");
                return Err(SessionEnd::Close(Closing::of_broken(self.socket.codec(), &why)));
            }
            Err(DecodeError::Refused { id, dataset, code, message }) => return self.refuse(id, dataset, code, message).await,
        };
        debug!(?message, "message received");
        self.context.update_intake(matches!(message, ClientMessage::Ping));
        self.handle_message(message).await
    }

    async fn handle_message(&mut self, message: ClientMessage) -> Result<(), SessionEnd> {
        match message {
            ClientMessage::Ping => self.send(&ServerMessage::Pong).await,
            // Boxed, like everything that few messages need: the future of each message is as large as the largest of its parts.
            ClientMessage::Register(registration) => Box::pin(self.register(registration)).await,
            ClientMessage::Unregister => match self.context.services.sync.unregister(&self.context.who).await {
                Ok(()) => self.send(&ServerMessage::Unregistered).await,
                Err(why) => self.refuse_unavailable(None, None, why).await,
            },
            ClientMessage::Hello { .. } => {
                self.refuse(None, None, RefusalCode::HelloAgain, "this session has received its hello".to_owned()).await
            }
            ClientMessage::Renew { token } => Box::pin(self.renew(&token)).await,
            ClientMessage::List => match self.context.services.sync.list(&self.context.who).await {
                Ok(datasets) => self.send(&ServerMessage::Datasets { datasets }).await,
                Err(why) => self.refuse_unavailable(None, None, why).await,
            },
            ClientMessage::Open { dataset, position } => Box::pin(self.open(dataset, position)).await,
            ClientMessage::Close { dataset } => self.close(dataset).await,
            ClientMessage::Ack { dataset, version } => self.acknowledge(dataset, version).await,
            ClientMessage::Write { id, dataset, changes, offer } => self.write(dataset, WriteRequest { id, changes, offer }).await,
        }
    }

    async fn write(&mut self, dataset: DatasetName, request: WriteRequest) -> Result<(), SessionEnd> {
        let (id, load) = (request.id, patch_load(&request.changes));
        let bytes = request.changes.iter().map(Change::memory_bytes).sum();
        let _memory = self.socket.take_decoded_memory();
        let reply_memory = if load == LARGE_REPLY_LOAD { Some(self.answer_memory().await?) } else { None };
        let SessionContext { services, who, signals, .. } = &self.context;
        match services.sync.write(who, dataset.clone(), request, signals.session()).await {
            Ok(reply) => {
                self.patches.push_back(PendingPatch { id, dataset, reply, load, bytes, _memory, reply_memory });
                Ok(())
            }
            Err(why) => self.refuse_unavailable(Some(id), Some(dataset), why).await,
        }
    }

    async fn register(&mut self, registration: Registration) -> Result<(), SessionEnd> {
        let (provider, app) = (registration.target.provider(), registration.app.clone());
        match self.context.services.sync.register(&self.context.who, registration).await {
            Ok(()) => self.send(&ServerMessage::Registered { provider, app }).await,
            Err(RegisterError::Rejected(why)) => {
                let (code, message) = why.refusal();
                self.refuse(None, None, code, message).await
            }
            Err(RegisterError::Unavailable(why)) => self.refuse_unavailable(None, None, why).await,
        }
    }

    async fn renew(&mut self, token: &str) -> Result<(), SessionEnd> {
        let (code, message) =
            match Box::pin(self.context.services.authenticator.renew(token, &self.context.who, self.context.received.client())).await {
                Ok(RenewalOutcome::Until { expires_s, token }) => {
                    self.context.token = token;
                    let now = self.context.services.now();
                    self.context.timers.token_mut().renewed(now.unix_ms, expires_s);
                    // A session that lasts for weeks must not make its device look abandoned. An error is ignored: the next renewal tries again.
                    let _ = self.context.services.sync.mark_seen(&self.context.who).await;
                    return self
                        .send(&ServerMessage::Renewed { expires_in_s: self.context.timers.token().expires_in_s(now.unix_ms) })
                        .await;
                }
                Ok(RenewalOutcome::OtherIdentity) => (RefusalCode::OtherIdentity, "the token leads to another identity".to_owned()),
                Err(error) => (error.refusal_code(), error.to_string()),
            };
        self.context.timers.token_mut().renewal_failed(self.context.services.now().unix_ms);
        self.refuse(None, None, code, message).await
    }

    async fn open(&mut self, dataset: DatasetName, position: Option<Position>) -> Result<(), SessionEnd> {
        let most = self.context.who.pool.limits.datasets;
        let known = self.subscriptions.iter().position(|subscription| *subscription.dataset() == dataset);
        if known.is_none() && self.subscriptions.len() >= most {
            let message = format!("a session has at most {most} datasets open");
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::TooManyDatasets, message).await;
        }
        // The dataset begins anew, and may not ask for that page again.
        self.forget_read_ahead(&dataset);
        let memory = self.answer_memory().await?;
        let SessionContext { services, who, signals, .. } = &self.context;
        // Subscribed before the read, so that no change can be published unnoticed in between.
        let topic = services.hub.subscribe(who.identity.text(), &dataset, signals);
        let Ok((start, first)) = services.sync.open(who, &dataset, position.map(Into::into)).await else {
            if known.is_none() {
                services.hub.unsubscribe(who.identity.as_str(), &topic, signals);
            }
            return self.refuse_unavailable(None, Some(dataset), Unavailable::Now).await;
        };
        let subscription = DatasetSubscription::new(topic, start);
        let index = match known {
            Some(index) => {
                self.subscriptions[index] = subscription;
                index
            }
            None => {
                // Most sessions have one dataset open, so the list gets no spare capacity.
                self.subscriptions.reserve_exact(1);
                self.subscriptions.push(subscription);
                self.subscriptions.len() - 1
            }
        };
        self.send_read_result(index, first, memory).await.map(drop)
    }

    async fn close(&mut self, dataset: DatasetName) -> Result<(), SessionEnd> {
        let Some(index) = self.subscriptions.iter().position(|subscription| *subscription.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        let subscription = self.subscriptions.swap_remove(index);
        self.forget_read_ahead(&dataset);
        self.context.services.hub.unsubscribe(self.context.who.identity.as_str(), subscription.topic(), &self.context.signals);
        Ok(())
    }

    async fn acknowledge(&mut self, dataset: DatasetName, version: u64) -> Result<(), SessionEnd> {
        let Some(subscription) = self.subscriptions.iter().find(|subscription| *subscription.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        if version > subscription.version() {
            let message = format!("version {version} was not sent yet, the newest sent is {}", subscription.version());
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::AheadOfServer, message).await;
        }
        match self.context.services.sync.submit_ack(&self.context.who, dataset.clone(), version) {
            Ok(()) => Ok(()),
            Err(why) => self.refuse_unavailable(None, Some(dataset), why).await,
        }
    }

    async fn refuse_not_open(&mut self, dataset: &DatasetName) -> Result<(), SessionEnd> {
        self.refuse(None, Some(dataset.to_string()), RefusalCode::NotOpen, format!("{dataset} is not open in this session")).await
    }
}

/// A patch's share of its session's window of 64 patches. The reply to a patch that can conflict or compute something can be large. Only a
/// few such patches are submitted at once, because a peer that does not read would otherwise make the server hold dozens of large replies.
fn patch_load(changes: &[Change]) -> usize {
    let has_small_reply = |change: &Change| matches!(change.op, Op::Put | Op::Remove) && change.base.is_none();
    if changes.iter().all(has_small_reply) { 1 } else { LARGE_REPLY_LOAD }
}
