//! What a run measures: sizes, and the environment variables that change them.

use std::time::Duration;

/// Group sizes of the disk's own limit, and numbers of writers.
pub const SIZES: [usize; 4] = [1, 8, 64, 256];

/// Writers of the sockets and of the curve.
pub const WRITERS: usize = 64;

/// How long one slice takes.
pub fn slice() -> Duration {
    Duration::from_millis(number("BENCH_SLICE_MS").unwrap_or(1_000))
}

/// The engine to measure; `None`: the default.
pub fn engine() -> Option<String> {
    std::env::var("BENCH_ENGINE").ok()
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
