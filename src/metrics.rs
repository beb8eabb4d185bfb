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

/// What became of a wake: who carried it, what happened, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Carried {
    provider: &'static str,
    outcome: &'static str,
    reason: &'static str,
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
    reaped: Family<Outcome, Counter>,
    reaper_steps: Counter,
    reaper_late: Gauge,
    store_failures: Family<Outcome, Counter>,
    pushes: Family<Carried, Counter>,
    push_time: Histogram,
    push_late: Gauge,
    push_stopped: Gauge,
    tasks: Gauge,
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
        let reaped =
            family(&mut registry, "reaper_reaped", "what went because nobody needs it: tombstones, versions of history, horizons moved");
        let reaper_steps = Counter::default();
        registry.register("reaper_steps", "steps of the reaper", reaper_steps.clone());
        let reaper_late = Gauge::default();
        registry.register_with_unit("reaper_late", "how long the dataset that waits longest is due", Unit::Seconds, reaper_late.clone());
        let store_failures = family(&mut registry, "store_failures", "groups that could not be made durable, by reason");
        let pushes = Family::<Carried, Counter>::default();
        registry.register("push_wakes", "wakes, and looks at a device that sent none, by provider, outcome and reason", pushes.clone());
        let push_time = Histogram::new(exponential_buckets(0.01, 2.0, 20));
        let help = "time from the oldest write that a device is owed to the gateway's acceptance of its wake";
        registry.register_with_unit("push_write_to_acceptance", help, Unit::Seconds, push_time.clone());
        let push_late = Gauge::default();
        registry.register_with_unit("push_late", "how long the identity that waits longest is due", Unit::Seconds, push_late.clone());
        let push_stopped = Gauge::default();
        registry.register("push_stopped_apps", "apps whose wakes are stopped because their gateway refuses them", push_stopped.clone());
        let tasks = Gauge::default();
        registry.register("server_tasks", "tasks that are alive: one for each connection, and those of the server's own", tasks.clone());
        Inner {
            registry,
            sessions,
            handshakes,
            closes,
            writes,
            requests,
            pages,
            groups,
            commit_time,
            group_writes,
            disk_bytes,
            reaped,
            reaper_steps,
            reaper_late,
            store_failures,
            pushes,
            push_time,
            push_late,
            push_stopped,
            tasks,
        }
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

    /// The reaper took a step: so many tombstones and versions went.
    pub fn reaped(&self, tombstones: u64, versions: u64, horizon: bool) {
        self.inner.reaper_steps.inc();
        let of = |outcome, count| self.inner.reaped.get_or_create(&Outcome { outcome }).inc_by(count);
        of("tombstones", tombstones);
        of("versions", versions);
        of("horizons", u64::from(horizon));
    }

    /// How far behind the reaper is, in seconds.
    pub fn reaper_late(&self, seconds: u64) {
        self.inner.reaper_late.set(seconds as i64);
    }

    /// A group could not be made durable.
    pub fn store_failed(&self, reason: &'static str) {
        count(&self.inner.store_failures, reason);
    }

    /// A device was woken, or looked at and not.
    pub fn push(&self, provider: &'static str, outcome: &'static str, reason: &'static str) {
        self.inner.pushes.get_or_create(&Carried { provider, outcome, reason }).inc();
    }

    /// A gateway took a wake, so long after the write.
    pub fn push_accepted(&self, seconds: f64) {
        self.inner.push_time.observe(seconds);
    }

    /// How far behind the courier is, in seconds.
    pub fn push_late(&self, seconds: u64) {
        self.inner.push_late.set(seconds as i64);
    }

    /// How many apps are stopped.
    pub fn push_stopped(&self, apps: usize) {
        self.inner.push_stopped.set(apps as i64);
    }

    /// All of it in OpenMetrics text.
    pub fn text(&self) -> String {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.inner.tasks.set(runtime.metrics().num_alive_tasks() as i64);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.inner.registry);
        text
    }
}
