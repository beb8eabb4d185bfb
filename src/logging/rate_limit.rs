//! Drops the lines of a kind that exceeds its rate, before they are formatted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::line_rate::{AUDIT, LinePurpose, LineRate};

/// The rates of all kinds: one for each place in the code that has logged, so the code bounds their number.
#[derive(Clone)]
pub(super) struct RateLimit {
    lines_per_s: u32,
    start: Instant,
    kinds: Arc<Mutex<HashMap<Identifier, RatedKind>>>,
}

struct RatedKind {
    rate: LineRate,
    metadata: &'static Metadata<'static>,
}

impl RateLimit {
    /// `lines_per_s` of 0: no bound.
    pub(super) fn new(lines_per_s: u32) -> RateLimit {
        RateLimit { lines_per_s, start: Instant::now(), kinds: Arc::default() }
    }

    /// The kinds that lost lines since the last call, as file and line, with their number.
    pub(super) fn take_suppressed(&self) -> Vec<(String, u64)> {
        let lost = |kind: &mut RatedKind| Some((kind_name(kind.metadata), kind.rate.take_suppressed())).filter(|(_, lines)| *lines > 0);
        self.lock().values_mut().filter_map(lost).collect()
    }

    fn admit(&self, metadata: &'static Metadata<'static>) -> bool {
        let now_ms = self.start.elapsed().as_millis() as u64;
        let new = || RatedKind { rate: LineRate::new(self.lines_per_s, *metadata.level(), purpose_of(metadata), now_ms), metadata };
        self.lock().entry(metadata.callsite()).or_insert_with(new).rate.admit(now_ms)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, RatedKind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admit(event.metadata())
    }
}

pub(super) fn purpose_of(metadata: &Metadata<'_>) -> LinePurpose {
    if metadata.target() == AUDIT { LinePurpose::Audit } else { LinePurpose::Operation }
}

fn kind_name(metadata: &Metadata<'_>) -> String {
    match (metadata.file(), metadata.line()) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        _ => metadata.target().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::info;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct CountedLines {
        audit: Arc<AtomicU64>,
        other: Arc<AtomicU64>,
    }

    impl<S: Subscriber> Layer<S> for CountedLines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let counter = if purpose_of(event.metadata()) == LinePurpose::Audit { &self.audit } else { &self.other };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_flood_of_one_kind_takes_no_line_from_an_audit() {
        let (lines, rates) = (CountedLines::default(), RateLimit::new(5));
        let subscriber = tracing_subscriber::registry().with(rates.clone()).with(lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..1_000 {
                info!(number, "of a client");
                info!(target: AUDIT, number, "of an account");
            }
        });
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(counted(&lines.audit), 1_000);
        assert!((50..100).contains(&counted(&lines.other)), "{}", counted(&lines.other));
        let suppressed: u64 = rates.take_suppressed().into_iter().map(|(_, lines)| lines).sum();
        assert_eq!(suppressed, 1_000 - counted(&lines.other));
    }
}
