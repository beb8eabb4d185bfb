//! Reads the next page of a dataset while the device takes the last one, so that reader and session do not wait for each other.

use driftless_protocol::{Codec, DatasetName, ServerMessage};
use futures_util::future::join;
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::SessionEnd;
use super::live::{LiveSession, ReadAhead};
use crate::limits::HeldMemory;
use crate::store::Cursor;
use crate::sync::read_bytes;

/// How many times its size in memory a page can have as JSON: a control character takes six bytes there.
const JSON_GROWTH: usize = 8;

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    /// The page of a subscription after a cursor, if it was read ahead. One that was read for another cursor is of no use any more.
    pub(super) fn take_read_ahead(&mut self, index: usize, cursor: Cursor) -> Option<Box<ReadAhead>> {
        let dataset = self.subscriptions[index].dataset();
        let ahead = self.read_ahead.take_if(|ahead| ahead.dataset == *dataset)?;
        (ahead.cursor == cursor).then_some(ahead)
    }

    /// Gives back the memory of a page that was read ahead of this dataset.
    pub(super) fn forget_read_ahead(&mut self, dataset: &DatasetName) {
        self.read_ahead.take_if(|ahead| ahead.dataset == *dataset);
    }

    /// Sends a page, and meanwhile reads the one that begins at a cursor, if there is memory for it and no page of another dataset waits.
    pub(super) async fn send_page_and_read(
        &mut self,
        page: ServerMessage,
        memory: HeldMemory,
        dataset: DatasetName,
        cursor: Cursor,
    ) -> Result<(), SessionEnd> {
        let next_memory = if self.read_ahead.is_none() { self.context.try_take_answer_memory() } else { None };
        let Some(mut next_memory) = next_memory else { return self.send_counted(page, memory).await };
        let services = self.context.services;
        let reading = services.sync.changes(&self.context.who, &dataset, cursor);
        let (read, sent) = join(reading, self.send_counted(page, memory)).await;
        sent?;
        // A read that failed is tried again in its turn.
        if let Ok(read) = read {
            let growth = match self.socket.codec() {
                Codec::MsgPack => 1,
                Codec::Json => JSON_GROWTH,
            };
            next_memory.shrink_to(growth * read_bytes(&read));
            self.read_ahead = Some(Box::new(ReadAhead { dataset, cursor, read, memory: next_memory }));
        }
        Ok(())
    }
}
