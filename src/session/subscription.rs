//! A dataset that a session has open: a cursor, never a queue. Pure.
//!
//! Invariants: each message continues where the one before it ended (I3); a change that this session wrote is not sent back to it while its `written`
//! reply moves the device's position; an open is always answered, even if there is nothing to send.

use std::sync::Arc;

use driftless_protocol::DatasetName;

use crate::hub::{EncodedChange, NextChange, Topic};
use crate::store::{Cursor, ReadStart, RecordPage};

/// What a session sends next of a dataset.
#[derive(Debug)]
pub(super) enum NextSend {
    Nothing,
    /// A change of the ring, of the version after the cursor.
    Change(Arc<EncodedChange>),
    /// A page of the store, after this cursor.
    Page(Cursor),
}

/// The fields of a `changes` message that a page needs beside its records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub from: u64,
    pub to: u64,
    pub reset: Option<PositionReset>,
    pub more: bool,
}

/// The device must discard what it has of the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PositionReset {
    /// The newest version that the device's history and the server's have in common, after a restored backup.
    pub shared: Option<u64>,
}

#[derive(Debug)]
pub(super) struct DatasetSubscription {
    topic: Arc<Topic>,
    cursor: Cursor,
    state: SubscriptionState,
    /// The newest version that this session wrote and whose `written` reply was sent.
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscriptionState {
    /// Opened, and not answered yet.
    Opened { reset: Option<PositionReset> },
    /// Pages of the store are being sent.
    CatchingUp,
    /// Changes come from the ring.
    Live,
}

impl DatasetSubscription {
    pub(super) fn new(topic: Arc<Topic>, start: ReadStart) -> DatasetSubscription {
        let reset = match start {
            ReadStart::After(_) | ReadStart::Fresh(_) => None,
            ReadStart::Reset { shared, .. } => Some(PositionReset { shared }),
        };
        DatasetSubscription { topic, cursor: start.cursor(), state: SubscriptionState::Opened { reset }, written: 0 }
    }

    pub(super) fn dataset(&self) -> &DatasetName {
        self.topic.dataset()
    }

    pub(super) fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// The newest version that the device can acknowledge: it was sent, or written by this session.
    pub(super) fn version(&self) -> u64 {
        self.cursor.version.max(self.written)
    }

    /// What to send next. A change of the ring counts as taken by this session once it is returned.
    pub(super) fn next(&self, session: u64) -> NextSend {
        if self.state != SubscriptionState::Live {
            return NextSend::Page(self.cursor);
        }
        match self.topic.next_after(self.cursor.version, session) {
            NextChange::UpToDate => NextSend::Nothing,
            // The session's own write: its `written` reply is still to be sent, and moves the cursor.
            NextChange::Change(change) if change.writer() == session && change.version() > self.written => NextSend::Nothing,
            NextChange::OwnWrites if self.cursor.version + 1 > self.written => NextSend::Nothing,
            NextChange::Change(change) => NextSend::Change(change),
            NextChange::OwnWrites | NextChange::Lagged => NextSend::Page(self.cursor),
        }
    }

    pub(super) fn change_sent(&mut self, change: &EncodedChange) {
        self.cursor = Cursor::at(change.version());
    }

    /// The ring has the next change in another codec only: it is read from the store.
    pub(super) fn read_store(&mut self) {
        if self.state == SubscriptionState::Live {
            self.state = SubscriptionState::CatchingUp;
        }
    }

    /// Moves the cursor past a page. Returns the page's header, or `None` if the page has nothing to send.
    pub(super) fn page_read(&mut self, page: &RecordPage) -> Option<PageHeader> {
        let (answers_open, reset) = match self.state {
            SubscriptionState::Opened { reset } => (true, reset),
            SubscriptionState::CatchingUp | SubscriptionState::Live => (false, None),
        };
        let from = if reset.is_some() { 0 } else { self.cursor.version };
        let header = PageHeader { from, to: page.cursor.version, reset, more: page.more };
        self.cursor = page.cursor;
        self.state = if page.more { SubscriptionState::CatchingUp } else { SubscriptionState::Live };
        (answers_open || header.to > header.from || !page.records.is_empty()).then_some(header)
    }

    /// Starts again at this cursor with a reset, because tombstones were reaped before the device was sent them.
    pub(super) fn restart_at(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        // A reset that was not sent yet may name a shared version; that stays true.
        let shared = match self.state {
            SubscriptionState::Opened { reset } => reset.and_then(|reset| reset.shared),
            SubscriptionState::CatchingUp | SubscriptionState::Live => None,
        };
        self.state = SubscriptionState::Opened { reset: Some(PositionReset { shared }) };
    }

    /// The device was sent the `written` reply for a version of this session.
    pub(super) fn written_sent(&mut self, version: u64) {
        self.written = self.written.max(version);
        if self.state == SubscriptionState::Live && self.cursor.version + 1 == version {
            self.cursor = Cursor::at(version);
        }
    }
}
