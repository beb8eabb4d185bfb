//! What a device tells its app.

use driftless_protocol::{Change, DatasetName, Provider, Record, RefusalCode};
use tokio::sync::mpsc;

use crate::{End, Welcome};

/// Events that wait for the app: at 64 KiB a page, 16 MiB at most.
const EVENTS: usize = 256;

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A session began.
    Connected(Welcome),
    /// A session, or an attempt to begin one, ended; the device tries again.
    Disconnected {
        /// Why.
        why: End,
        /// When it tries again, in milliseconds from now.
        retry_in_ms: u64,
    },
    /// A replica changed, by the server's changes or by an own patch that was written.
    Changed {
        /// Which dataset.
        dataset: DatasetName,
        /// The replica's version before.
        from: u64,
        /// Its version after; the same if more is needed to complete the next one.
        to: u64,
        /// Everything that was there before is forgotten.
        reset: bool,
        /// The records that changed, each as it is now.
        records: Vec<Record>,
    },
    /// A replica has everything that the server had when it was asked: after `open` and after each reconnect.
    Synced {
        /// Which dataset.
        dataset: DatasetName,
        /// The replica's version.
        version: u64,
    },
    /// The server's store was restored from a backup, and the replica follows it. What the app saw before may be gone, and a change
    /// that it has made from what it saw and not written yet is to be made again.
    Restored {
        /// Which dataset.
        dataset: DatasetName,
        /// The version up to which nothing was lost; absent if the two stores have nothing in common.
        shared: Option<u64>,
        /// How many records the device writes again because the restored store does not have them as they were seen here.
        offered: usize,
    },
    /// The identity was merged into another one, and this device with it: its replicas begin anew, its unanswered patches are kept.
    Moved {
        /// The identity before.
        from: String,
        /// The identity now.
        to: String,
    },
    /// What the device wrote again after [`Event::Restored`] or [`Event::Moved`] met a newer write. Nothing of `ours` is applied; the app
    /// resolves as after [`super::Outcome::Conflict`], or leaves it.
    OfferConflict {
        /// Which dataset.
        dataset: DatasetName,
        /// What this device had.
        ours: Vec<Change>,
        /// The server's current records; not of a key that the app has computed on since.
        records: Vec<Record>,
    },
    /// What the device wrote again cannot be granted. Nothing of `ours` is applied.
    OfferRefused {
        /// Which dataset.
        dataset: DatasetName,
        /// What this device had.
        ours: Vec<Change>,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
    /// The server refused something that was not a patch.
    Refused {
        /// The dataset that it was about, if any.
        dataset: Option<String>,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
    /// The device will be woken by pushes while it is away.
    Registered {
        /// Who wakes it.
        provider: Provider,
        /// For which app.
        app: String,
    },
    /// The device is not woken by pushes any more.
    Unregistered,
    /// The device gave up. Unanswered patches are kept; `go_online` tries again.
    Closed {
        /// Why; `why.code()` is the close code.
        why: End,
    },
    /// The app did not listen and this many events were dropped: look at the records instead.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The receiving end. An app that does not listen holds nothing up: when 256 events wait, further ones are dropped and counted,
/// and [`Event::Missed`] comes as soon as there is room. Dropping this is fine too.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; `None` when the device has ended. May be dropped and called again without loss.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event if one is there already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    /// The first event that is wanted, dropping those before it; `None` when the device has ended.
    pub async fn find(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Option<Event> {
        loop {
            let event = self.recv().await?;
            if wanted(&event) {
                return Some(event);
            }
        }
    }
}

/// The sending end. Never waits.
#[derive(Debug)]
pub(crate) struct Sink {
    events: mpsc::Sender<Event>,
    missed: u64,
}

pub(crate) fn channel() -> (Sink, Events) {
    let (events, receiver) = mpsc::channel(EVENTS);
    (Sink { events, missed: 0 }, Events(receiver))
}

impl Sink {
    /// Tells the app, or counts the event as missed. After a missed one everything is, until [`Sink::catch_up`].
    pub(crate) fn send(&mut self, event: Event) {
        if self.missed > 0 {
            self.missed += 1;
        } else if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.missed = 1;
        }
    }

    /// Waits for room and says how many events were missed; waits for ever if none was. May be dropped and called again.
    pub(crate) async fn catch_up(&mut self) {
        if self.missed == 0 {
            std::future::pending::<()>().await;
        }
        if let Ok(room) = self.events.reserve().await {
            room.send(Event::Missed { count: self.missed });
        }
        self.missed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::Missed { count: 0 }
    }

    #[tokio::test]
    async fn what_did_not_fit_is_counted_and_told() {
        let (mut sink, mut events) = channel();
        (0..EVENTS + 3).for_each(|_| sink.send(event()));
        for _ in 0..EVENTS {
            assert_eq!(events.recv().await, Some(event()));
            sink.send(event());
        }
        sink.catch_up().await;
        assert_eq!(events.recv().await, Some(Event::Missed { count: 3 + EVENTS as u64 }));
        sink.send(event());
        assert_eq!(events.recv().await, Some(event()));
    }
}
