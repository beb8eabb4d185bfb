//! The newest accepted pushes, the senders' violations, and counters.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use driftless_protocol::Provider;
use tokio::sync::Notify;

use super::received_push::{PushContent, ReceivedPush};
use super::rejection::Rejection;

/// Accepted pushes that are kept unless a test sets another number: about 50 MB. The oldest are dropped.
pub(crate) const DEFAULT_KEPT_PUSHES: usize = 100_000;

/// Violations that are kept. One is enough to fail a test.
const MAX_KEPT_VIOLATIONS: usize = 1000;

/// Counters since the gateway was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayCounts {
    /// Connections whose TLS handshake succeeded.
    pub connections: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Requests, without those to the token endpoint.
    pub requests: u64,
    /// Accepted pushes.
    pub accepted: u64,
    /// Rejected pushes by the provider's reason; scripted responses as `scripted 503`.
    pub refused: BTreeMap<String, u64>,
    /// Distinct provider tokens accepted for Apple. The gateway verifies the signature once for each.
    pub provider_tokens: u64,
    /// Distinct VAPID headers accepted. The gateway verifies the signature once for each.
    pub vapid_tokens: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
}

pub(crate) struct PushLog {
    state: Mutex<PushLogState>,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) token_requests: AtomicU64,
    /// Notified after each accepted push.
    pub(crate) push_accepted: Notify,
}

struct PushLogState {
    pushes: VecDeque<LoggedPush>,
    capacity: usize,
    violations: VecDeque<String>,
    refused: BTreeMap<String, u64>,
}

/// An accepted push as it was received. Its content is decoded when a test reads it.
pub(crate) struct LoggedPush {
    pub(crate) provider: Provider,
    pub(crate) token: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: PushContent,
    pub(crate) at_ms: u64,
    pub(crate) connection: u64,
    pub(crate) stream: u32,
    pub(crate) attempt: u64,
}

impl Default for PushLog {
    fn default() -> PushLog {
        let (pushes, violations, refused) = Default::default();
        let state = Mutex::new(PushLogState { pushes, capacity: DEFAULT_KEPT_PUSHES, violations, refused });
        let [connections, open, requests, accepted, token_requests] = Default::default();
        PushLog { state, connections, open, requests, accepted, token_requests, push_accepted: Notify::new() }
    }
}

impl PushLog {
    /// Whether pushes are kept, or only counted.
    pub(crate) fn keeps_pushes(&self) -> bool {
        self.lock().capacity > 0
    }

    pub(crate) fn set_capacity(&self, capacity: usize) {
        let mut state = self.lock();
        state.capacity = capacity;
        let surplus = state.pushes.len().saturating_sub(capacity);
        state.pushes.drain(..surplus);
    }

    pub(crate) fn record_push(&self, push: LoggedPush) {
        let mut state = self.lock();
        if state.pushes.len() >= state.capacity {
            state.pushes.pop_front();
        }
        if state.capacity > 0 {
            state.pushes.push_back(push);
        }
    }

    pub(crate) fn record_rejection(&self, service: &str, rejection: &Rejection) {
        self.count_rejected(rejection.reason);
        if let Some(violation) = &rejection.violation {
            self.record_violation(format!("{service}: {}: {violation}", rejection.reason));
        }
    }

    pub(crate) fn count_rejected(&self, reason: &str) {
        let mut state = self.lock();
        match state.refused.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(state.refused.insert(reason.to_owned(), 1)),
        }
    }

    pub(crate) fn record_violation(&self, violation: String) {
        let mut state = self.lock();
        if state.violations.len() >= MAX_KEPT_VIOLATIONS {
            state.violations.pop_front();
        }
        state.violations.push_back(violation);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.iter().cloned().collect()
    }

    /// The pushes that are still kept and whose token matches, the oldest first.
    pub(crate) fn pushes(&self, matches: impl Fn(&str) -> bool) -> Vec<ReceivedPush> {
        self.lock().pushes.iter().filter(|push| matches(&push.token)).map(LoggedPush::decode).collect()
    }

    /// All counters but those of verified signatures, which the token checkers count.
    pub(crate) fn counts(&self) -> GatewayCounts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        GatewayCounts {
            connections: load(&self.connections),
            open: load(&self.open),
            requests: load(&self.requests),
            accepted: load(&self.accepted),
            refused: self.lock().refused.clone(),
            provider_tokens: 0,
            vapid_tokens: 0,
            token_requests: load(&self.token_requests),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PushLogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoggedPush {
    fn decode(&self) -> ReceivedPush {
        let (payload, ciphertext) = self.content.decode();
        ReceivedPush {
            provider: self.provider,
            token: self.token.clone(),
            headers: self.headers.clone(),
            payload,
            ciphertext,
            at_ms: self.at_ms,
            connection: self.connection,
            stream: self.stream,
            attempt: self.attempt,
        }
    }
}
