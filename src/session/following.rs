//! A dataset that a session has open: a cursor, no queue. Pure.
//!
//! Invariants: what is sent follows what was sent before (I3); a change that this session wrote is not sent back to it as long as its
//! `written` moves the device on; after an open there is always an answer.

use std::sync::Arc;

use driftless_protocol::DatasetName;

use crate::hub::{Change, Feed, Taken};
use crate::store::{Cursor, ReadStart, RecordPage};

/// What a session sends next of a dataset.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing now.
    Rest,
    /// This change, which follows the last one.
    Send(Arc<Change>),
    /// A page from the store, after this cursor.
    Read(Cursor),
}

/// The head of a page on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub from: u64,
    pub to: u64,
    pub reset: Option<Reset>,
    pub more: bool,
}

/// The device forgets what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    /// Up to here the history of its position is the server's, after a restored backup.
    pub shared: Option<u64>,
}

/// One open dataset.
#[derive(Debug)]
pub(super) struct Following {
    feed: Arc<Feed>,
    cursor: Cursor,
    state: State,
    /// The newest version that this session wrote and was told of.
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Opened, nothing sent yet; `reset`: the device must forget first.
    Opened { reset: Option<Reset> },
    /// On the way through the store.
    Reading,
    /// From the ring.
    Live,
}

impl Following {
    pub(super) fn new(feed: Arc<Feed>, start: ReadStart) -> Following {
        let reset = match start {
            ReadStart::After(_) | ReadStart::Fresh(_) => None,
            ReadStart::Reset { shared, .. } => Some(Reset { shared }),
        };
        Following { feed, cursor: start.cursor(), state: State::Opened { reset }, written: 0 }
    }

    pub(super) fn dataset(&self) -> &DatasetName {
        self.feed.dataset()
    }

    pub(super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The device may have everything up to this version: it was sent, or written by this session.
    pub(super) fn version(&self) -> u64 {
        self.cursor.version.max(self.written)
    }

    /// What to send next. A change from the ring counts as taken.
    pub(super) fn next(&self, session: u64) -> Step {
        if self.state != State::Live {
            return Step::Read(self.cursor);
        }
        match self.feed.after(self.cursor.version, session) {
            Taken::Nothing => Step::Rest,
            // Its own, whose `written` is on the way and will move the cursor.
            Taken::Change(change) if change.writer() == session && change.version() > self.written => Step::Rest,
            Taken::Own if self.cursor.version + 1 > self.written => Step::Rest,
            Taken::Change(change) => Step::Send(change),
            Taken::Own | Taken::Behind => Step::Read(self.cursor),
        }
    }

    /// A change from the ring was sent.
    pub(super) fn sent(&mut self, change: &Change) {
        self.cursor = Cursor::at(change.version());
    }

    /// A page was read; `None` if there is nothing in it to send.
    pub(super) fn read(&mut self, page: &RecordPage) -> Option<Cut> {
        let (answers_open, reset) = match self.state {
            State::Opened { reset } => (true, reset),
            State::Reading | State::Live => (false, None),
        };
        let from = if reset.is_some() { 0 } else { self.cursor.version };
        let cut = Cut { from, to: page.cursor.version, reset, more: page.more };
        self.cursor = page.cursor;
        self.state = if page.more { State::Reading } else { State::Live };
        (answers_open || cut.to > cut.from || !page.records.is_empty()).then_some(cut)
    }

    /// Tombstones went that were not sent: the device begins again at this cursor.
    pub(super) fn behind(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        // Nothing was sent yet of an answer that said more.
        let shared = match self.state {
            State::Opened { reset } => reset.and_then(|reset| reset.shared),
            State::Reading | State::Live => None,
        };
        self.state = State::Opened { reset: Some(Reset { shared }) };
    }

    /// This session was told that it wrote a version.
    pub(super) fn wrote(&mut self, version: u64) {
        self.written = self.written.max(version);
        if self.state == State::Live && self.cursor.version + 1 == version {
            self.cursor = Cursor::at(version);
        }
    }
}
