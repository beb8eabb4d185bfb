//! Counters and times for operators, named `driftless_<part>_<what>_total|_seconds`. Counted at the edges, from values that
//! decisions returned.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A counter's one label: what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    outcome: &'static str,
}

/// Everything that is counted; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    sessions: Gauge,
    handshakes: Family<Outcome, Counter>,
    closes: Family<Outcome, Counter>,
    writes: Family<Outcome, Counter>,
    requests: Family<Outcome, Counter>,
    pages: Family<Outcome, Counter>,
    groups: Counter,
    commit_time: Histogram,
    group_writes: Histogram,
    disk_bytes: Gauge<u64, AtomicU64>,
}

impl Default for Inner {
    fn default() -> Inner {
        let mut registry = Registry::with_prefix("driftless");
        let sessions = Gauge::default();
        registry.register("session_open", "sessions that are open", sessions.clone());
        let family = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Outcome, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let handshakes = family(&mut registry, "session_handshakes", "hellos, by how they ended");
        let closes = family(&mut registry, "session_closes", "sessions that ended, by reason");
        let writes = family(&mut registry, "sync_writes", "patches, by what became of them");
        let requests = family(&mut registry, "session_refusals", "requests refused on sockets, by code");
        let pages = family(&mut registry, "session_pages", "pages of changes sent, by where they came from");
        let groups = Counter::default();
        registry.register("committer_groups", "groups of writes made durable", groups.clone());
        let commit_time = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        registry.register_with_unit("committer_commit", "time to decide and make durable a group", Unit::Seconds, commit_time.clone());
        let group_writes = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        registry.register("committer_group_writes", "writes in a group", group_writes.clone());
        let disk_bytes = Gauge::default();
        registry.register_with_unit("store_disk", "bytes that the store takes on disk", Unit::Bytes, disk_bytes.clone());
        Inner { registry, sessions, handshakes, closes, writes, requests, pages, groups, commit_time, group_writes, disk_bytes }
    }
}

fn count(family: &Family<Outcome, Counter>, outcome: &'static str) {
    family.get_or_create(&Outcome { outcome }).inc();
}

impl Metrics {
    /// A session opened.
    pub fn session_opened(&self) {
        self.inner.sessions.inc();
    }

    /// A session ended, and why.
    pub fn session_closed(&self, reason: &'static str) {
        self.inner.sessions.dec();
        count(&self.inner.closes, reason);
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> i64 {
        self.inner.sessions.get()
    }

    /// A hello was answered.
    pub fn handshake(&self, outcome: &'static str) {
        count(&self.inner.handshakes, outcome);
    }

    /// A patch was decided.
    pub fn write(&self, outcome: &'static str) {
        count(&self.inner.writes, outcome);
    }

    /// A request on a socket was refused.
    pub fn refused(&self, code: &'static str) {
        count(&self.inner.requests, code);
    }

    /// A page of changes went out, from the ring or from the store.
    pub fn page(&self, from: &'static str) {
        count(&self.inner.pages, from);
    }

    /// A group of writes was made durable.
    pub fn committed(&self, writes: usize, seconds: f64) {
        self.inner.groups.inc();
        self.inner.group_writes.observe(writes as f64);
        self.inner.commit_time.observe(seconds);
    }

    /// What the store takes on disk now.
    pub fn disk(&self, bytes: u64) {
        self.inner.disk_bytes.set(bytes);
    }

    /// All of it in OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.inner.registry);
        text
    }
}
