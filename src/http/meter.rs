//! What a connection has carried: its bytes, its requests, and whether its client reads. The deadlines are decided from these figures.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The figures of one connection at a moment. Bytes are those of the requests and responses, without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionActivity {
    pub(super) received: u64,
    pub(super) written: u64,
    /// Bytes wait for the client to read.
    pub(super) is_blocked: bool,
    /// Requests whose head was complete.
    pub(super) begun: u64,
    /// Requests whose response was produced to its end.
    pub(super) finished: u64,
}

impl ConnectionActivity {
    /// Whether no request is in progress, and no response waits to be read. A part of a head may have arrived.
    pub(super) fn is_between_requests(self) -> bool {
        self.begun == self.finished && !self.is_blocked
    }
}

/// Counts the figures of one connection. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionMeter(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    received: AtomicU64,
    written: AtomicU64,
    is_blocked: AtomicBool,
    begun: AtomicU64,
    finished: AtomicU64,
}

/// A request is in progress until this is dropped.
pub(super) struct RequestInProgress(ConnectionMeter);

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

impl ConnectionMeter {
    pub(super) fn request_begun(&self) -> RequestInProgress {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        RequestInProgress(self.clone())
    }

    pub(super) fn activity(&self) -> ConnectionActivity {
        ConnectionActivity {
            received: self.0.received.load(Ordering::Relaxed),
            written: self.0.written.load(Ordering::Relaxed),
            is_blocked: self.0.is_blocked.load(Ordering::Relaxed),
            begun: self.0.begun.load(Ordering::Relaxed),
            finished: self.0.finished.load(Ordering::Relaxed),
        }
    }

    fn written<T>(&self, result: &Poll<io::Result<T>>, bytes: impl Fn(&T) -> usize) {
        self.0.is_blocked.store(result.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(done)) = result {
            self.0.written.fetch_add(bytes(done) as u64, Ordering::Relaxed);
        }
    }
}

/// A stream whose bytes are counted.
pub(super) struct MeteredStream<S> {
    stream: S,
    meter: ConnectionMeter,
}

impl<S> MeteredStream<S> {
    pub(super) fn new(stream: S, meter: ConnectionMeter) -> MeteredStream<S> {
        MeteredStream { stream, meter }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.meter.0.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.meter.written(&written, |bytes| *bytes);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.meter.written(&written, |bytes| *bytes);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.meter.written(&flushed, |()| 0);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
