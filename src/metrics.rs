//! Counters, gauges and times for operators, named `driftless_<part>_<what>_total|_seconds`.
//!
//! They are counted at the edges, from values that decisions returned; no logic depends on them. A label never holds anything that a
//! device, a user or a token's issuer chose.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The one label of most counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The labels of a wake.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WakeLabels {
    provider: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

/// Everything that is counted. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registered: Arc<RegisteredMetrics>,
}

#[derive(Debug)]
struct RegisteredMetrics {
    registry: Registry,
    open_sessions: Gauge,
    handshakes: Family<OutcomeLabel, Counter>,
    tokens: Family<OutcomeLabel, Counter>,
    closes: Family<OutcomeLabel, Counter>,
    writes: Family<OutcomeLabel, Counter>,
    refusals: Family<OutcomeLabel, Counter>,
    pages: Family<OutcomeLabel, Counter>,
    groups: Counter,
    committer_work: Counter,
    reader_bytes: Counter,
    commit_time: Histogram,
    group_writes: Histogram,
    disk_bytes: Gauge<u64, AtomicU64>,
    reaped: Family<OutcomeLabel, Counter>,
    reaper_steps: Counter,
    reaper_lag: Gauge,
    job_failures: Family<OutcomeLabel, Counter>,
    stale_jobs: Counter,
    store_failures: Family<OutcomeLabel, Counter>,
    wakes: Family<WakeLabels, Counter>,
    wake_time: Histogram,
    push_lag: Gauge,
    stopped_apps: Gauge,
    memory_received: Gauge,
    memory_answers: Gauge,
    limits: Family<OutcomeLabel, Counter>,
    cut_connections: Family<OutcomeLabel, Counter>,
    tasks: Gauge,
    log_dropped: Counter,
    log_suppressed: Counter,
    certificate_expires: Gauge,
}

impl Default for RegisteredMetrics {
    fn default() -> RegisteredMetrics {
        let mut registry = Registry::with_prefix("driftless");
        let open_sessions = Gauge::default();
        registry.register("session_open", "open sessions", open_sessions.clone());
        let family = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<OutcomeLabel, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let handshakes = family(&mut registry, "session_handshakes", "finished handshakes, by outcome");
        let tokens = family(&mut registry, "auth_tokens_rejected", "rejected tokens of hellos, renewals and HTTP requests, by reason");
        let closes = family(&mut registry, "session_closes", "closed sessions, by reason");
        let writes = family(&mut registry, "sync_writes", "decided patches, by decision");
        let refusals = family(&mut registry, "session_refusals", "refused requests on sockets, by code");
        let pages = family(&mut registry, "session_pages", "pages of changes sent, by source: the ring in memory or the store");
        let groups = Counter::default();
        registry.register("committer_groups", "committed groups of writes", groups.clone());
        let committer_work = Counter::default();
        let help = "work of the writer: bytes that its jobs read, wrote and computed on, and 256 for each row";
        registry.register_with_unit("committer_work", help, Unit::Bytes, committer_work.clone());
        let reader_bytes = Counter::default();
        let help = "work of the reading threads: bytes that reads returned, and 1024 for each read";
        registry.register_with_unit("reader", help, Unit::Bytes, reader_bytes.clone());
        let commit_time = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        registry.register_with_unit("committer_commit", "time to decide and commit a group", Unit::Seconds, commit_time.clone());
        let group_writes = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        registry.register("committer_group_writes", "writes per committed group", group_writes.clone());
        let disk_bytes = Gauge::default();
        registry.register_with_unit("store_disk", "size of the store on disk", Unit::Bytes, disk_bytes.clone());
        let help = "deleted tombstones, deleted versions of history, and moved tombstone horizons";
        let reaped = family(&mut registry, "reaper_reaped", help);
        let reaper_steps = Counter::default();
        registry.register("reaper_steps", "steps of the reaper", reaper_steps.clone());
        let reaper_lag = Gauge::default();
        registry.register_with_unit("reaper_lag", "time since the oldest due dataset became due", Unit::Seconds, reaper_lag.clone());
        let job_failures = family(&mut registry, "committer_jobs_failed", "jobs that could not be decided, by reason; the others went on");
        let stale_jobs = Counter::default();
        registry.register(
            "committer_jobs_stale",
            "jobs that are decided again because another writer changed their rows",
            stale_jobs.clone(),
        );
        let store_failures = family(&mut registry, "store_failures", "groups whose commit failed, by reason");
        let wakes = Family::<WakeLabels, Counter>::default();
        let help = "wakes, and devices that were due but not woken, by provider, outcome and reason";
        registry.register("push_wakes", help, wakes.clone());
        let wake_time = Histogram::new(exponential_buckets(0.01, 2.0, 20));
        let help = "time from the oldest write that is owed to a device until the gateway accepted its wake";
        registry.register_with_unit("push_write_to_acceptance", help, Unit::Seconds, wake_time.clone());
        let push_lag = Gauge::default();
        registry.register_with_unit("push_lag", "time since the oldest due identity became due", Unit::Seconds, push_lag.clone());
        let stopped_apps = Gauge::default();
        registry.register("push_stopped_apps", "apps without wakes because their gateway rejects them", stopped_apps.clone());
        let (memory_received, memory_answers) = (Gauge::default(), Gauge::default());
        let help = "memory of messages and bodies that arrive or wait, against limits.received_mib";
        registry.register_with_unit("memory_received", help, Unit::Bytes, memory_received.clone());
        let help = "memory of answers that were not read yet, against limits.answers_mib";
        registry.register_with_unit("memory_answers", help, Unit::Bytes, memory_answers.clone());
        let limits = family(&mut registry, "limit_exceeded", "connections, handshakes and requests over a limit, by limit");
        let help = "connections that were closed because their client said nothing, or made place for another one";
        let cut_connections = family(&mut registry, "server_connections_cut", help);
        let tasks = Gauge::default();
        registry.register("server_tasks", "live tasks: one per connection, and the server's own", tasks.clone());
        let log_dropped = Counter::default();
        registry.register("log_lines_dropped", "lines of the log that nobody read in time", log_dropped.clone());
        let log_suppressed = Counter::default();
        registry.register("log_lines_suppressed", "lines of the log over the rate of their kind", log_suppressed.clone());
        let certificate_expires = Gauge::default();
        let help = "time until the first certificate of the chain expires; negative: since then";
        registry.register_with_unit("tls_certificate_expires", help, Unit::Seconds, certificate_expires.clone());
        RegisteredMetrics {
            registry,
            open_sessions,
            handshakes,
            tokens,
            closes,
            writes,
            refusals,
            pages,
            groups,
            committer_work,
            reader_bytes,
            commit_time,
            group_writes,
            disk_bytes,
            reaped,
            reaper_steps,
            reaper_lag,
            job_failures,
            stale_jobs,
            store_failures,
            wakes,
            wake_time,
            push_lag,
            stopped_apps,
            memory_received,
            memory_answers,
            limits,
            cut_connections,
            tasks,
            log_dropped,
            log_suppressed,
            certificate_expires,
        }
    }
}

fn count(family: &Family<OutcomeLabel, Counter>, outcome: &'static str) {
    family.get_or_create(&OutcomeLabel { outcome }).inc();
}

impl Metrics {
    pub fn session_opened(&self) {
        self.registered.open_sessions.inc();
    }

    pub fn session_closed(&self, reason: &'static str) {
        self.registered.open_sessions.dec();
        count(&self.registered.closes, reason);
    }

    /// The number of open sessions.
    pub fn open_sessions(&self) -> i64 {
        self.registered.open_sessions.get()
    }

    pub fn handshake_finished(&self, outcome: &'static str) {
        count(&self.registered.handshakes, outcome);
    }

    pub fn token_rejected(&self, reason: &'static str) {
        count(&self.registered.tokens, reason);
    }

    pub fn patch_decided(&self, decision: &'static str) {
        count(&self.registered.writes, decision);
    }

    pub fn request_refused(&self, code: &'static str) {
        count(&self.registered.refusals, code);
    }

    /// Counts what a limit did not permit.
    pub fn limit_exceeded(&self, limit: &'static str) {
        count(&self.registered.limits, limit);
    }

    /// Counts a connection that the server closed before its client had proved who it is.
    pub fn connection_cut(&self, reason: &'static str) {
        count(&self.registered.cut_connections, reason);
    }

    /// Counts a page of changes that was sent; `source` is `ring` or `store`.
    pub fn page_sent(&self, source: &'static str) {
        count(&self.registered.pages, source);
    }

    /// Counts a committed group of writes; `seconds` is the time from its first decision until it was durable.
    pub fn group_committed(&self, writes: usize, seconds: f64) {
        self.registered.groups.inc();
        self.registered.group_writes.observe(writes as f64);
        self.registered.commit_time.observe(seconds);
    }

    /// Counts what the jobs of a group have read, written and computed on, whether or not the group was committed.
    pub fn count_committer_work(&self, bytes: usize) {
        self.registered.committer_work.inc_by(bytes as u64);
    }

    /// Counts a read: what it returned, and what every read costs.
    pub fn read(&self, bytes: usize) {
        self.registered.reader_bytes.inc_by(bytes as u64);
    }

    /// Sets the size of the store on disk.
    pub fn disk(&self, bytes: u64) {
        self.registered.disk_bytes.set(bytes);
    }

    /// Counts a step of the reaper, and what it deleted.
    pub fn reaped(&self, tombstones: u64, versions: u64, horizon_moved: bool) {
        self.registered.reaper_steps.inc();
        let add = |outcome, count| self.registered.reaped.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
        add("tombstones", tombstones);
        add("versions", versions);
        add("horizons", u64::from(horizon_moved));
    }

    /// Sets how far the reaper is behind.
    pub fn reaper_lag(&self, seconds: u64) {
        self.registered.reaper_lag.set(seconds as i64);
    }

    pub fn job_failed(&self, reason: &'static str) {
        count(&self.registered.job_failures, reason);
    }

    pub fn job_stale(&self) {
        self.registered.stale_jobs.inc();
    }

    pub fn commit_failed(&self, reason: &'static str) {
        count(&self.registered.store_failures, reason);
    }

    /// Counts a wake, or a due device that was not woken.
    pub fn wake(&self, provider: &'static str, outcome: &'static str, reason: &'static str) {
        self.registered.wakes.get_or_create(&WakeLabels { provider, outcome, reason }).inc();
    }

    /// Records how long after the oldest owed write a gateway accepted a wake.
    pub fn wake_accepted(&self, seconds: f64) {
        self.registered.wake_time.observe(seconds);
    }

    /// Sets how far the courier is behind.
    pub fn push_lag(&self, seconds: u64) {
        self.registered.push_lag.set(seconds as i64);
    }

    /// Sets the memory of messages on their way, in bytes.
    pub fn memory_held(&self, received: usize, answers: usize) {
        self.registered.memory_received.set(received as i64);
        self.registered.memory_answers.set(answers as i64);
    }

    /// Sets the number of apps without wakes.
    pub fn stopped_apps(&self, apps: usize) {
        self.registered.stopped_apps.set(apps as i64);
    }

    /// Counts lines that the log does not have.
    pub fn log_lines_lost(&self, dropped: u64, suppressed: u64) {
        self.registered.log_dropped.inc_by(dropped);
        self.registered.log_suppressed.inc_by(suppressed);
    }

    /// Sets the time until the certificate expires.
    pub fn certificate_expires(&self, seconds: i64) {
        self.registered.certificate_expires.set(seconds);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.registered.tasks.set(runtime.metrics().num_alive_tasks() as i64);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registered.registry);
        text
    }
}
