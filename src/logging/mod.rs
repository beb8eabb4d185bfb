//! The server's log: lines on stderr, written by a thread of their own and bounded by rate.
//!
//! - No task waits for the reader of stderr. A line that finds the queue full, or the reader gone, is dropped and counted.
//! - A kind of line is what one place in the code logs. Each kind has a rate; what exceeds it is counted and summed up in one line.
//! - Lines for audits ([`AUDIT`]) have a rate and a part of the queue of their own, so that no flood of others hides one.
//! - The log belongs to the process, as tracing's subscriber does: there is one, and it is set once.

mod line_rate;
mod queue;
mod rate_limit;

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::{error, warn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

pub use line_rate::AUDIT;
use queue::LineQueue;
use rate_limit::RateLimit;

/// Lines of one kind that are written in a second, on average. Ten times as many may come at once. A client that reconnects all day writes
/// less than 100 MB of one kind.
pub const LINES_PER_S: u32 = 5;

/// How long the end of a command waits for the reader of stderr.
pub const LAST_FLUSH: Duration = Duration::from_secs(1);

/// How the log is written.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// In the syntax of [`EnvFilter`].
    pub filter: String,
    /// One JSON object a line instead of text.
    pub is_json: bool,
    /// Lines of one kind in a second, on average; 0: any number.
    pub lines_per_s: u32,
}

/// The words that may stand alone in a filter.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Whether a filter says what its writer means. [`EnvFilter`] takes any other word for the name of a module, and then logs nothing else.
pub fn check_filter(filter: &str) -> Result<(), String> {
    let parts = || filter.split(',').map(str::trim);
    if let Some(word) = parts().find(|part| !part.contains(['=', '[', '/', ']']) && !LEVELS.contains(&&*part.to_ascii_lowercase())) {
        return Err(format!("{word:?} is no level; the levels are {}, and a filter is like driftless=debug", LEVELS.join(", ")));
    }
    EnvFilter::try_new(filter).map(|_| ()).map_err(|why| format!("{filter:?} is no filter such as driftless=debug: {why}"))
}

/// What was not written since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostLines {
    /// Nobody read them, or the system refused them.
    pub dropped: u64,
    /// They exceeded the rate of their kind.
    pub suppressed: u64,
}

struct ProcessLog {
    queue: LineQueue,
    rates: RateLimit,
}

static LOG: OnceLock<ProcessLog> = OnceLock::new();

/// Sets the process's log, with stderr as its file. Panics are logged too. Fails if the system refuses the thread; later calls do nothing.
pub fn start(config: &LogConfig) -> std::io::Result<()> {
    if LOG.get().is_some() {
        return Ok(());
    }
    // A descriptor of its own: a thread that waits for a reader must not hold the lock of the standard library's stderr.
    let stderr = std::io::stderr();
    let has_colours = stderr.is_terminal();
    let queue = LineQueue::start(std::fs::File::from(stderr.as_fd().try_clone_to_owned()?))?;
    let rates = RateLimit::new(config.lines_per_s);
    let lines = fmt::layer().with_writer(queue.clone()).with_ansi(has_colours).log_internal_errors(false);
    let lines = if config.is_json { lines.json().boxed() } else { lines.boxed() };
    let _ = LOG.set(ProcessLog { queue, rates: rates.clone() });
    // Whatever the filter says: the library of S3 logs requests as they are, with keys of objects and signatures.
    let filter = EnvFilter::new(format!("{},s3s=off", config.filter));
    let _ = tracing_subscriber::registry().with(filter).with(rates).with(lines).try_init();
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs how many lines were suppressed and dropped since the last call, and returns the numbers. Call it every few seconds.
pub fn report() -> LostLines {
    let Some(log) = LOG.get() else { return LostLines::default() };
    let mut suppressed = 0;
    for (kind, lines) in log.rates.take_suppressed() {
        suppressed += lines;
        warn!(lines, kind, "suppressed lines of one kind: they exceeded log_lines_per_s");
    }
    if let Some(lines) = log.queue.take_gap() {
        warn!(lines, "log lines dropped: nobody read the log fast enough");
    }
    LostLines { dropped: log.queue.take_dropped(), suppressed }
}

/// Writes one line for people, such as the error that ends the process, without the form of the log.
pub fn last_line(text: &str) {
    match LOG.get() {
        Some(log) => log.queue.push(format!("{text}\n").as_bytes()),
        // A closed stderr is not an error, because nobody would see it.
        None => drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes())),
    }
}

/// Waits until all lines are written, up to a limit.
pub fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.queue.flush(limit);
    }
}

/// The standard hook would write to stderr itself, and wait for its reader.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no reason was given");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(panic = text, place, thread = std::thread::current().name().unwrap_or_default(), "panic");
}
