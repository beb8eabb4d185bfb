//! Messages to users: written into a folder.
//!
//! A message is queued and the caller goes on: no request waits for a mail server. The queue is bounded, and a message that does not fit is refused.
//! What a message says is never logged: it has codes in it.

mod config;
mod message;
mod outbox;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::warn;

pub use config::MailConfig;
pub use message::{Message, MessageWay};
pub use outbox::OUTBOX_FOLDER;

use outbox::OutboxFolder;

/// Messages that wait to be sent: what a server of some thousand sign-ups a minute queues while its mail server is asked for a second or two.
const QUEUED_MESSAGES: usize = 256;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// Nothing sends messages of this kind.
    NoWay(MessageWay),
    Full,
}

/// Queues messages. Clones share the queue.
#[derive(Clone)]
pub struct Mail {
    queue: mpsc::Sender<Message>,
    sends_sms: bool,
}

/// Sends what was queued: a future that `app` runs.
pub struct MailRunner {
    queued: mpsc::Receiver<Message>,
    outbox: Arc<OutboxFolder>,
}

impl Mail {
    /// Messages are written into a folder, where somebody who develops an app reads them. The folder has the newest ones only.
    pub fn to_outbox(folder: PathBuf) -> (Mail, MailRunner) {
        let (queue, queued) = mpsc::channel(QUEUED_MESSAGES);
        (Mail { queue, sends_sms: true }, MailRunner { queued, outbox: Arc::new(OutboxFolder::new(folder)) })
    }

    /// Whether messages of this kind can be sent at all.
    pub fn has_way(&self, way: MessageWay) -> bool {
        way == MessageWay::Email || self.sends_sms
    }

    /// Queues a message.
    pub fn send(&self, message: Message) -> Result<(), NotQueued> {
        if !self.has_way(message.way) {
            return Err(NotQueued::NoWay(message.way));
        }
        self.queue.try_send(message).map_err(|_| NotQueued::Full)
    }
}

impl MailRunner {
    /// Runs until the last [`Mail`] is dropped.
    pub async fn run(mut self) {
        while let Some(message) = self.queued.recv().await {
            let outbox = Arc::clone(&self.outbox);
            let written = tokio::task::spawn_blocking(move || outbox.write(&message)).await;
            if let Ok(Err(error)) = written {
                warn!(%error, "message not written to the outbox");
            }
        }
    }
}
