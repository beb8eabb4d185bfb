//! What the gateway remembers: the newest pushes that it accepted, what senders did wrong, and how often what happened.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;
use tokio::sync::Notify;

use super::push::{Content, Push};
use super::refusal::Refusal;

/// How many accepted pushes are kept, unless a test says otherwise: about 50 MB. The oldest are dropped.
pub(super) const KEPT_PUSHES: usize = 100_000;

/// How many complaints are kept: one is a failed test already.
const KEPT_COMPLAINTS: usize = 1000;

/// How often what happened since the gateway was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections whose TLS handshake succeeded.
    pub connections: u64,
    /// Those that are open now.
    pub open: u64,
    /// Requests, but those to the token endpoint.
    pub requests: u64,
    /// Pushes that were accepted.
    pub accepted: u64,
    /// Pushes that were refused, by the reason in the provider's words; what a script said, as `scripted 503`.
    pub refused: BTreeMap<String, u64>,
    /// Provider tokens of Apple's that were taken: with each the signature was checked once.
    pub provider_tokens: u64,
    /// The same of VAPID.
    pub vapid_tokens: u64,
    /// Requests to the token endpoint.
    pub token_calls: u64,
}

pub(super) struct Ledger {
    kept: Mutex<Kept>,
    pub(super) connections: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) token_calls: AtomicU64,
    /// Told after each push that was accepted.
    pub(super) news: Notify,
}

struct Kept {
    pushes: VecDeque<Entry>,
    bound: usize,
    complaints: VecDeque<String>,
    refused: BTreeMap<String, u64>,
}

/// A push that was accepted, as it came.
pub(super) struct Entry {
    pub(super) provider: Provider,
    pub(super) token: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
    pub(super) at_ms: u64,
    pub(super) connection: u64,
    pub(super) stream: u32,
    pub(super) attempt: u64,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let kept = Kept { pushes: VecDeque::new(), bound: KEPT_PUSHES, complaints: VecDeque::new(), refused: BTreeMap::new() };
        let [connections, open, requests, accepted, token_calls] = Default::default();
        Ledger { kept: Mutex::new(kept), connections, open, requests, accepted, token_calls, news: Notify::new() }
    }
}

impl Ledger {
    /// Whether pushes are kept, or only counted.
    pub(super) fn keeps(&self) -> bool {
        self.lock().bound > 0
    }

    pub(super) fn keep(&self, bound: usize) {
        let mut kept = self.lock();
        kept.bound = bound;
        let surplus = kept.pushes.len().saturating_sub(bound);
        kept.pushes.drain(..surplus);
    }

    pub(super) fn accept(&self, entry: Entry) {
        let mut kept = self.lock();
        if kept.pushes.len() >= kept.bound {
            kept.pushes.pop_front();
        }
        if kept.bound > 0 {
            kept.pushes.push_back(entry);
        }
    }

    pub(super) fn refuse(&self, provider: &str, refusal: &Refusal) {
        self.count_refused(refusal.reason);
        if let Some(complaint) = &refusal.complaint {
            self.complain(format!("{provider}: {}: {complaint}", refusal.reason));
        }
    }

    pub(super) fn count_refused(&self, reason: &str) {
        let mut kept = self.lock();
        match kept.refused.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(kept.refused.insert(reason.to_owned(), 1)),
        }
    }

    pub(super) fn complain(&self, complaint: String) {
        let mut kept = self.lock();
        if kept.complaints.len() >= KEPT_COMPLAINTS {
            kept.complaints.pop_front();
        }
        kept.complaints.push_back(complaint);
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        self.lock().complaints.iter().cloned().collect()
    }

    /// The pushes that are still kept, the oldest first.
    pub(super) fn pushes(&self, wanted: impl Fn(&str) -> bool) -> Vec<Push> {
        self.lock().pushes.iter().filter(|entry| wanted(&entry.token)).map(Entry::push).collect()
    }

    /// What is counted here; the signatures are counted where they are checked.
    pub(super) fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            connections: of(&self.connections),
            open: of(&self.open),
            requests: of(&self.requests),
            accepted: of(&self.accepted),
            refused: self.lock().refused.clone(),
            provider_tokens: 0,
            vapid_tokens: 0,
            token_calls: of(&self.token_calls),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn push(&self) -> Push {
        let (payload, sealed) = self.content.read();
        Push {
            provider: self.provider,
            token: self.token.clone(),
            headers: self.headers.clone(),
            payload,
            sealed,
            at_ms: self.at_ms,
            connection: self.connection,
            stream: self.stream,
            attempt: self.attempt,
        }
    }
}
