//! A dataset that the app wants: its replica, and how far the server's answer is.

use driftless_protocol::{ClientMessage, DatasetName};
use tokio::sync::oneshot;

use super::former::Former;
use crate::Replica;
use crate::replica::Page;

/// How far the server's answer to `open` is on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was asked, or will be with the next connection.
    Awaited,
    /// The server could not give it; it is asked again later.
    Held,
    /// Everything came; changes follow as they happen.
    Complete,
}

/// Whether this connection's server has said which history it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// It may be another one than that of the replica, which bases are versions of.
    Unknown,
    /// The replica follows it, or the server does not say.
    Known,
}

/// The state of one dataset.
pub(crate) struct Open {
    pub(crate) replica: Replica,
    pub(crate) answer: Answer,
    pub(crate) history: History,
    /// What was here before the history changed, until the answer is complete.
    pub(crate) former: Former,
    /// The server could not take an acknowledgement; it is repeated later.
    pub(crate) unacknowledged: bool,
    /// Who waits for the answer to be complete.
    pub(crate) waiting: Vec<oneshot::Sender<Option<u64>>>,
}

impl Open {
    /// Nothing came yet.
    pub(crate) fn new() -> Open {
        Open {
            replica: Replica::new(),
            answer: Answer::Awaited,
            history: History::Unknown,
            former: Former::default(),
            unacknowledged: false,
            waiting: Vec::new(),
        }
    }

    /// The connection is gone; the next one's server is asked again.
    pub(crate) fn disconnected(&mut self) {
        self.answer = Answer::Awaited;
        self.history = History::Unknown;
        self.unacknowledged = false;
    }

    /// Asks for what came after the replica's position.
    pub(crate) fn ask(&self, dataset: &DatasetName) -> ClientMessage {
        ClientMessage::Open { dataset: dataset.clone(), position: self.replica.position() }
    }

    /// Whether patches may go: their bases are versions of the replica's history, and must not reach another one as they are.
    pub(crate) fn may_write(&self) -> bool {
        self.history == History::Known || self.replica.epoch().is_none()
    }

    /// Whether this page begins another history than the replica's.
    pub(crate) fn is_restored_by(&self, page: &Page) -> bool {
        page.reset && self.replica.epoch().is_some_and(|epoch| *epoch != page.epoch)
    }
}
