//! What a device reports to its app.

use driftless_protocol::{Change, DatasetName, LinkedLogin, Provider, PushLossReason, Record, RefusalCode};
use tokio::sync::mpsc;

use crate::{DisconnectReason, Welcome};

/// Events that wait for the app: with pages of 64 KiB at most 16 MiB.
const EVENT_CAPACITY: usize = 256;

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A session began.
    Connected(Welcome),
    /// A session, or an attempt to begin one, ended; the device tries again.
    Disconnected {
        /// Why it ended.
        why: DisconnectReason,
        /// When the device tries again, in milliseconds from now.
        retry_in_ms: u64,
    },
    /// A replica changed, by the server's changes or by an own patch that was written.
    Changed {
        /// The dataset whose replica changed.
        dataset: DatasetName,
        /// The replica's version before.
        from: u64,
        /// The replica's version after; equal to `from` if further changes are needed to complete the next version.
        to: u64,
        /// Whether the replica forgot all of its records first.
        reset: bool,
        /// The records that changed, each in its current state.
        records: Vec<Record>,
    },
    /// A replica has everything that the server had when the device asked for it: after `open` and after each reconnect.
    Synced {
        /// The dataset whose replica is complete.
        dataset: DatasetName,
        /// The replica's version.
        version: u64,
    },
    /// The server's store was restored from a backup, and the replica follows it. Records that the app has seen before may be missing. The app
    /// must make each change again that it has computed from them and not written yet.
    StoreRestored {
        /// The dataset whose history changed.
        dataset: DatasetName,
        /// The last version that both histories have; absent if they have none in common.
        shared: Option<u64>,
        /// How many records the device writes again because the restored store does not have them as this device received them.
        reoffered: usize,
    },
    /// The device's identity was merged into another one. Its replicas start over; its unanswered patches are kept.
    IdentityMerged {
        /// The former identity, `region:uuid`.
        from: String,
        /// The identity from now on, `region:uuid`.
        to: String,
    },
    /// Changes that the device wrote again after [`Event::StoreRestored`] or [`Event::IdentityMerged`] conflict with a newer write. None of
    /// `ours` is applied; the app resolves the conflict as after [`super::WriteOutcome::Conflict`], or accepts the server's records.
    ReofferConflict {
        /// The dataset that the changes are of.
        dataset: DatasetName,
        /// The changes that this device had.
        ours: Vec<Change>,
        /// The server's current records. Lacks the record of a key that the app itself has modified since.
        records: Vec<Record>,
    },
    /// The server refused changes that the device wrote again. None of `ours` is applied.
    ReofferRefused {
        /// The dataset that the changes are of.
        dataset: DatasetName,
        /// The changes that this device had.
        ours: Vec<Change>,
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
    /// The server refused a request other than a patch.
    Refused {
        /// The dataset that the request named, if any.
        dataset: Option<String>,
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
    /// The server has this installation's registration on disk and wakes it by pushes from now on.
    Registered {
        /// The push provider.
        provider: Provider,
        /// The app that is registered.
        app: String,
    },
    /// The server no longer wakes this installation by pushes.
    Unregistered,
    /// A login was linked to the identity during this session; [`Welcome::linked`] of [`Event::Connected`] says so afterwards.
    Linked {
        /// All linked logins, the newest first.
        logins: Vec<LinkedLogin>,
    },
    /// No push wakes this installation any more, although it has registered. Follows [`Event::Connected`] of each session until the
    /// installation registers again or unregisters. An app gets a token from its push provider and calls [`super::Device::register`]; a
    /// device on which the app called it before registers again by itself.
    PushLost {
        /// What happened to the token.
        reason: PushLossReason,
        /// When it happened, in milliseconds since 1970 (UTC).
        at_ms: u64,
    },
    /// The device gave up and does not reconnect by itself. Unanswered patches are kept; [`super::Device::go_online`] tries again.
    Closed {
        /// Why it gave up; `why.code()` is the close code.
        why: DisconnectReason,
    },
    /// The app did not receive events fast enough, and the device dropped some: the app should read the records instead.
    Dropped {
        /// How many events were dropped.
        count: u64,
    },
}

/// The receiving end of a device's events. A slow app delays nothing: while 256 events wait, further ones are dropped and counted, and
/// [`Event::Dropped`] comes as soon as there is room. The app may drop the receiver.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; `None` when the device has ended. Cancel safe: dropping the future loses no event.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event if one is queued already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    /// The first event that `wanted` accepts, discarding those before it; `None` when the device has ended.
    pub async fn find(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Option<Event> {
        loop {
            let event = self.recv().await?;
            if wanted(&event) {
                return Some(event);
            }
        }
    }
}

/// The sending end. It never waits for the app.
#[derive(Debug)]
pub(crate) struct EventSender {
    events: mpsc::Sender<Event>,
    dropped: u64,
}

pub(crate) fn channel() -> (EventSender, Events) {
    let (events, receiver) = mpsc::channel(EVENT_CAPACITY);
    (EventSender { events, dropped: 0 }, Events(receiver))
}

impl EventSender {
    /// Queues an event, or drops and counts it. Once one is dropped all are, until [`EventSender::report_dropped`] has run.
    pub(crate) fn send(&mut self, event: Event) {
        if self.dropped > 0 {
            self.dropped += 1;
        } else if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.dropped = 1;
        }
    }

    /// Waits for room and reports how many events were dropped; waits for ever if none was. Cancel safe.
    pub(crate) async fn report_dropped(&mut self) {
        if self.dropped == 0 {
            std::future::pending::<()>().await;
        }
        if let Ok(permit) = self.events.reserve().await {
            permit.send(Event::Dropped { count: self.dropped });
        }
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::Dropped { count: 0 }
    }

    #[tokio::test]
    async fn events_that_do_not_fit_are_counted_and_reported() {
        let (mut sender, mut events) = channel();
        (0..EVENT_CAPACITY + 3).for_each(|_| sender.send(event()));
        for _ in 0..EVENT_CAPACITY {
            assert_eq!(events.recv().await, Some(event()));
            sender.send(event());
        }
        sender.report_dropped().await;
        assert_eq!(events.recv().await, Some(Event::Dropped { count: 3 + EVENT_CAPACITY as u64 }));
        sender.send(event());
        assert_eq!(events.recv().await, Some(event()));
    }
}
