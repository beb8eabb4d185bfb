//! The lines that wait to be written, and the thread that writes them.
//!
//! The queue is one buffer, bounded in bytes. The thread takes the whole buffer and writes it in pieces of whole lines; only the thread ever
//! waits for a reader, so a pipe that nobody reads stops nothing else.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::line_rate::LinePurpose;
use super::rate_limit::purpose_of;

/// Bytes of lines that wait; as many again are being written. Some thousand lines, so that a reader may pause for a moment.
const QUEUE_BYTES: usize = 1 << 20;

/// Bytes that wait for lines of audits alone, beyond [`QUEUE_BYTES`].
const AUDIT_BYTES: usize = 256 * 1024;

/// The largest piece that several processes can write to one pipe without mixing their lines (`PIPE_BUF` of Linux).
const PIECE_BYTES: usize = 4096;

/// How long to wait before the next write if stderr is a terminal or pipe that another process has made non-blocking, and it is full.
const RETRY: Duration = Duration::from_millis(20);

/// Clones share the queue.
#[derive(Clone)]
pub(super) struct LineQueue(Arc<QueueState>);

#[derive(Default)]
struct QueueState {
    waiting: Mutex<WaitingLines>,
    /// There are lines to write.
    filled: Condvar,
    /// All lines were written.
    idle: Condvar,
}

#[derive(Default)]
struct WaitingLines {
    bytes: Vec<u8>,
    is_writing: bool,
    /// The newest piece was not written.
    is_failing: bool,
    /// Lines that were dropped since they were last counted.
    dropped: u64,
    /// Lines that were dropped since the log last said so.
    gap: u64,
}

impl LineQueue {
    /// Starts the thread, which ends with the process.
    pub(super) fn start(mut sink: impl Write + Send + 'static) -> std::io::Result<LineQueue> {
        let queue = LineQueue(Arc::default());
        let shared = Arc::clone(&queue.0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                let lines = shared.take();
                let lost = write_pieces(&mut sink, &lines);
                shared.written(lost);
            }
        })?;
        Ok(queue)
    }

    /// Adds a line, or several, or drops them. Never waits for a reader.
    pub(super) fn push(&self, lines: &[u8]) {
        self.push_within(QUEUE_BYTES, lines);
    }

    fn push_within(&self, bound_bytes: usize, lines: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + lines.len() > bound_bytes {
            waiting.drop_lines(count_lines(lines));
            return;
        }
        waiting.bytes.extend_from_slice(lines);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits until all lines are written, up to a limit.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut waiting = self.0.lock();
        while waiting.is_writing || !waiting.bytes.is_empty() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            waiting = self.0.idle.wait_timeout(waiting, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines that were dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.0.lock().dropped)
    }

    /// The lines that are missing in the log before this point, once somebody reads it again.
    pub(super) fn take_gap(&self) -> Option<u64> {
        let mut waiting = self.0.lock();
        let is_readable = !waiting.is_failing && waiting.bytes.len() < QUEUE_BYTES / 2;
        Some(std::mem::take(if is_readable { &mut waiting.gap } else { return None })).filter(|lines| *lines > 0)
    }
}

impl QueueState {
    fn lock(&self) -> MutexGuard<'_, WaitingLines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, and takes them.
    fn take(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() {
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.is_writing = true;
        std::mem::take(&mut waiting.bytes)
    }

    fn written(&self, lost: u64) {
        let mut waiting = self.lock();
        waiting.is_writing = false;
        waiting.is_failing = lost > 0;
        waiting.drop_lines(lost);
        if waiting.bytes.is_empty() {
            self.idle.notify_all();
        }
    }
}

impl WaitingLines {
    fn drop_lines(&mut self, lines: u64) {
        self.dropped += lines;
        self.gap += lines;
    }
}

/// Writes lines; returns how many of them the system refused.
fn write_pieces(sink: &mut impl Write, mut lines: &[u8]) -> u64 {
    let mut lost = 0;
    while !lines.is_empty() {
        let (piece, rest) = lines.split_at(piece_length(lines));
        if write_whole(sink, piece).is_err() {
            lost += count_lines(piece);
        }
        lines = rest;
    }
    lost
}

fn write_whole(sink: &mut impl Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As many whole lines as fit into a piece, or one longer line.
fn piece_length(lines: &[u8]) -> usize {
    let newline = |byte: &u8| *byte == b'\n';
    let fitting = &lines[..lines.len().min(PIECE_BYTES)];
    let last = fitting.iter().rposition(newline).or_else(|| lines.iter().position(newline));
    last.map_or(lines.len(), |at| at + 1)
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Writes the lines of one purpose.
pub(super) struct LineWriter<'a> {
    queue: &'a LineQueue,
    bound_bytes: usize,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.queue.push_within(self.bound_bytes, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: self, bound_bytes: QUEUE_BYTES }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> LineWriter<'a> {
        let bound_bytes = match purpose_of(about) {
            LinePurpose::Operation => QUEUE_BYTES,
            LinePurpose::Audit => QUEUE_BYTES + AUDIT_BYTES,
        };
        LineWriter { queue: self, bound_bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, pipe};

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn a_reader_that_pauses_loses_what_the_queue_cannot_hold_and_hears_how_much() {
        let (reader, writer) = pipe().expect("a pipe");
        let queue = LineQueue::start(writer).expect("starts");
        let line = format!("{}\n", "x".repeat(999));
        // More than the pipe, the buffer that is being written and the queue hold together.
        (0..4000).for_each(|_| queue.push(line.as_bytes()));
        assert_eq!(queue.take_gap(), None, "nobody would see it now");
        let dropped = queue.take_dropped();
        assert!((1000..4000).contains(&dropped), "{dropped}");
        let mut lines = BufReader::new(reader).lines();
        for _ in 0..4000 - dropped {
            assert_eq!(lines.next().expect("a line").expect("is read").len(), 999, "a line is whole");
        }
        queue.flush(SOON);
        assert_eq!((queue.take_gap(), queue.take_gap()), (Some(dropped), None));
    }

    #[test]
    fn lines_that_nobody_can_read_are_counted() {
        let (reader, writer) = pipe().expect("a pipe");
        let queue = LineQueue::start(writer).expect("starts");
        queue.push(b"first\n");
        queue.flush(SOON);
        drop(reader);
        (0..7).for_each(|_| queue.push(b"later\n"));
        queue.flush(SOON);
        assert_eq!((queue.take_dropped(), queue.take_dropped(), queue.take_gap()), (7, 0, None));
    }

    #[test]
    fn a_full_queue_takes_audit_lines_within_a_bound() {
        let (reader, writer) = pipe().expect("a pipe");
        let queue = LineQueue::start(writer).expect("starts");
        let line = format!("{}\n", "x".repeat(999));
        let push_until_full = |bound_bytes| {
            (0..10_000).for_each(|_| queue.push_within(bound_bytes, line.as_bytes()));
            queue.0.lock().bytes.len()
        };
        assert!((QUEUE_BYTES - 1000..=QUEUE_BYTES).contains(&push_until_full(QUEUE_BYTES)));
        let all_bytes = QUEUE_BYTES + AUDIT_BYTES;
        assert!((all_bytes - 1000..=all_bytes).contains(&push_until_full(all_bytes)));
        drop(reader);
    }

    #[test]
    fn a_flush_does_not_wait_for_ever() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let queue = LineQueue::start(writer).expect("starts");
        queue.push(&vec![b'\n'; QUEUE_BYTES]);
        queue.flush(Duration::from_millis(1));
        let mut all = vec![0; QUEUE_BYTES];
        reader.read_exact(&mut all).expect("nothing was lost");
    }

    #[test]
    fn pieces_are_whole_lines() {
        assert_eq!(piece_length(b"a\nb\nc"), 4);
        assert_eq!(piece_length(b"no end"), 6);
        let long = [vec![b'x'; 2 * PIECE_BYTES], b"\nnext\n".to_vec()].concat();
        assert_eq!(piece_length(&long), 2 * PIECE_BYTES + 1);
        assert_eq!(piece_length(&b"12345678\n".repeat(1000)), PIECE_BYTES / 9 * 9);
    }
}
