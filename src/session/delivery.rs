//! Sends changes of the open datasets: a bounded number of changes from the ring, or a page from the store, per dataset and turn.

use driftless_protocol::{RefusalCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::{Backlog, SessionContext, SessionEnd};
use super::live::LiveSession;
use super::subscription::{NextSend, PageHeader};
use crate::hub::RING_CHANGES;
use crate::limits::HeldMemory;
use crate::store::{Cursor, ReadResult};

/// The state of a subscription after one turn.
pub(super) enum DeliveryProgress {
    UpToDate,
    /// A page waits until the identity is within its rate.
    Paused,
    MorePending,
    /// The store cannot read the dataset.
    ReadFailed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    /// Sends some of what each open dataset has for this session.
    pub(super) async fn deliver(&mut self) -> Result<(), SessionEnd> {
        // A change that is signalled from here on makes the backlog pending again.
        self.context.backlog = Backlog::Empty;
        let mut index = 0;
        while index < self.subscriptions.len() {
            match self.deliver_some(index).await? {
                DeliveryProgress::UpToDate | DeliveryProgress::Paused => index += 1,
                DeliveryProgress::MorePending => {
                    self.context.backlog = Backlog::Pending;
                    index += 1;
                }
                DeliveryProgress::ReadFailed => self.close_unreadable(index).await?,
            }
        }
        Ok(())
    }

    async fn deliver_some(&mut self, index: usize) -> Result<DeliveryProgress, SessionEnd> {
        let session = self.context.signals.session();
        let mut memory = None;
        for _ in 0..RING_CHANGES {
            match self.subscriptions[index].next(session) {
                NextSend::Nothing => return Ok(DeliveryProgress::UpToDate),
                // The end of the pause is an event of the backlog.
                NextSend::Page(_) if self.context.are_pages_paused() => return Ok(DeliveryProgress::Paused),
                NextSend::Page(cursor) => {
                    if let Some(ahead) = self.take_read_ahead(index, cursor) {
                        return self.send_read_result(index, ahead.read, ahead.memory).await;
                    }
                    match memory.take().or_else(|| self.context.try_take_answer_memory()) {
                        Some(memory) => return self.deliver_page(index, cursor, memory).await,
                        // What is sent meanwhile can move the cursor.
                        None => memory = Some(self.answer_memory().await?),
                    }
                }
                NextSend::Change(change) => {
                    // Every session that was subscribed finds its own codec, so this one has opened the dataset since.
                    let Some(frame) = change.frame(self.socket.codec()).cloned() else {
                        self.subscriptions[index].read_store();
                        continue;
                    };
                    self.context.services.metrics.page_sent("ring");
                    self.send_frame(frame).await?;
                    self.subscriptions[index].change_sent(&change);
                }
            }
        }
        Ok(DeliveryProgress::MorePending)
    }

    async fn deliver_page(&mut self, index: usize, cursor: Cursor, memory: HeldMemory) -> Result<DeliveryProgress, SessionEnd> {
        match self.context.services.sync.changes(&self.context.who, self.subscriptions[index].dataset(), cursor).await {
            Ok(result) => self.send_read_result(index, result, memory).await,
            Err(_) => Ok(DeliveryProgress::ReadFailed),
        }
    }

    pub(super) async fn send_read_result(
        &mut self,
        index: usize,
        result: ReadResult,
        memory: HeldMemory,
    ) -> Result<DeliveryProgress, SessionEnd> {
        let subscription = &mut self.subscriptions[index];
        let page = match result {
            ReadResult::Page(page) => page,
            ReadResult::Behind(start) => {
                subscription.restart_at(start);
                return Ok(DeliveryProgress::MorePending);
            }
        };
        if let Some(PageHeader { from, to, reset, more }) = subscription.page_read(&page) {
            let dataset = subscription.dataset().clone();
            self.context.services.metrics.page_sent("store");
            let epoch = self.context.services.sync.epoch().clone();
            let (shared, reset) = (reset.and_then(|reset| reset.shared), reset.is_some());
            // The session keeps the cursor itself, so a client of a socket does not have to send it back.
            let (fresh_until, records, cursor) = (None, page.records, page.cursor);
            let changes = ServerMessage::Changes { dataset: dataset.clone(), epoch, from, to, reset, shared, more, fresh_until, records };
            match more {
                true => self.send_page_and_read(changes, memory, dataset, cursor).await?,
                false => self.send_counted(changes, memory).await?,
            }
        }
        // Also after the last page, because a change may have been published while it was read.
        Ok(DeliveryProgress::MorePending)
    }

    /// Closes a dataset that cannot be read, and tells the device; the other datasets go on.
    async fn close_unreadable(&mut self, index: usize) -> Result<(), SessionEnd> {
        let subscription = self.subscriptions.swap_remove(index);
        self.forget_read_ahead(subscription.dataset());
        let SessionContext { services, who, signals, .. } = &self.context;
        services.hub.unsubscribe(who.identity.as_str(), subscription.topic(), signals);
        let message = "the dataset cannot be read now and was closed; open it again after a while".to_owned();
        self.refuse(None, Some(subscription.dataset().to_string()), RefusalCode::Unavailable, message).await
    }
}
