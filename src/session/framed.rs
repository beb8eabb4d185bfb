//! The stream between the socket and the WebSocket library. It tracks the frames that pass through.
//!
//! This serves three purposes. Between messages the library's buffers can be given back: a sleeping session holds none, and waits with
//! [`FramedStream::poll_readable`] for the first bytes of the next message. A message over its bound is rejected at its header. And a large one
//! is read only when there is memory for it, and nothing behind it before its buffer was given back.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::frame_tracker::FrameTracker;
use super::timers::SocketBytes;
use crate::limits::HeldMemory;

/// Bytes that are read ahead while the socket sleeps: enough to wake it, few enough to lie in every sleeping session.
const READ_AHEAD_BYTES: usize = 16;

/// Counts what a socket carries, to tell a slow peer from one that is silent or stalled. Clones share the counts.
#[derive(Clone, Default)]
pub(super) struct SocketCounter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    received: AtomicU64,
    /// With headers and control frames.
    arrived: AtomicU64,
    written: AtomicU64,
}

impl SocketCounter {
    /// All bytes that have arrived. The count wraps.
    pub(super) fn arrived(&self) -> u64 {
        self.0.arrived.load(Ordering::Relaxed)
    }

    fn count_written(&self, written: &io::Result<usize>) {
        if let Ok(bytes) = written {
            self.0.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }

    /// What was carried so far. The counts wrap.
    pub(super) fn bytes(&self) -> SocketBytes {
        SocketBytes { received: self.0.received.load(Ordering::Relaxed), written: self.0.written.load(Ordering::Relaxed) }
    }
}

pub(super) struct FramedStream<S> {
    io: S,
    counter: SocketCounter,
    frames: FrameTracker,
    read_ahead: [u8; READ_AHEAD_BYTES],
    read_ahead_len: u8,
    /// How much of `read_ahead` the library has taken.
    read_ahead_taken: u8,
    /// The library asked for more and there was none: it has no complete message left.
    is_starved: bool,
    /// The memory for the message that is being read, or that the library's buffer still has.
    memory: Option<Box<HeldMemory>>,
}

impl<S> FramedStream<S> {
    /// `first_limit` bounds the first message, `limit` every later one; in bytes.
    pub(super) fn new(io: S, first_limit: usize, limit: usize) -> FramedStream<S> {
        FramedStream {
            io,
            counter: SocketCounter::default(),
            frames: FrameTracker::new(first_limit, limit),
            read_ahead: [0; READ_AHEAD_BYTES],
            read_ahead_len: 0,
            read_ahead_taken: 0,
            is_starved: false,
            memory: None,
        }
    }

    /// How much memory the next message needs before more of it is read, in bytes. The stream wakes nobody while it waits for that.
    pub(super) fn wanted_bytes(&self) -> Option<usize> {
        let is_wanted = self.memory.is_none() && self.frames.readable_bytes().is_some_and(|readable| readable > 0);
        is_wanted.then(|| self.frames.needed_bytes())
    }

    pub(super) fn admit_message(&mut self, memory: HeldMemory) {
        self.memory = Some(Box::new(memory));
    }

    /// Whether a message for which memory was taken is complete: nothing more is read until its buffer was given back.
    pub(super) fn has_large_message(&self) -> bool {
        self.frames.readable_bytes() == Some(0)
    }

    /// The half of the message's memory that counts for what was decoded of it.
    pub(super) fn take_decoded_memory(&mut self) -> Option<HeldMemory> {
        let memory = self.memory.as_mut()?;
        memory.split_off(memory.bytes() / 2)
    }

    /// The library's buffer is gone.
    pub(super) fn message_freed(&mut self) {
        self.memory = None;
        self.frames.message_freed();
    }

    pub(super) fn counter(&self) -> &SocketCounter {
        &self.counter
    }

    /// Whether only complete messages were read so far, and the library has returned all of them.
    pub(super) fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages() && self.read_ahead_taken == self.read_ahead_len && self.is_starved
    }
}

impl<S: AsyncRead + Unpin> FramedStream<S> {
    /// Ready when there are bytes to read, or the end of the stream.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read_ahead_taken < self.read_ahead_len {
            return Poll::Ready(Ok(()));
        }
        let FramedStream { io, read_ahead, .. } = self;
        let mut buffer = ReadBuf::new(read_ahead);
        ready!(Pin::new(io).poll_read(context, &mut buffer))?;
        self.read_ahead_len = buffer.filled().len() as u8;
        self.read_ahead_taken = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FramedStream<S> {
    /// Shuts the sending side down, and reads the peer's bytes to their end. The operating system resets a socket that is dropped with
    /// unread bytes in it, and the peer may then lose the last message.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        let mut nothing = [0; 1024];
        while self.io.read(&mut nothing).await? > 0 {}
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FramedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.read_ahead_taken < self.read_ahead_len {
            let waiting = &self.read_ahead[usize::from(self.read_ahead_taken)..usize::from(self.read_ahead_len)];
            let taken = waiting.len().min(buffer.remaining());
            buffer.put_slice(&waiting[..taken]);
            self.read_ahead_taken += taken as u8;
        } else {
            self.is_starved = true;
            match self.frames.readable_bytes() {
                None => ready!(Pin::new(&mut self.io).poll_read(context, buffer))?,
                Some(readable) if readable > 0 && self.memory.is_some() => {
                    let most = readable.min(buffer.remaining());
                    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut self.io).poll_read(context, &mut part))?;
                    let read = part.filled().len();
                    buffer.advance(read);
                }
                Some(_) => return Poll::Pending,
            }
        }
        self.is_starved = false;
        let tracked = self.frames.track(&buffer.filled()[before..]);
        self.counter.0.received.store(self.frames.data_bytes(), Ordering::Relaxed);
        self.counter.0.arrived.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(tracked.map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FramedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        self.counter.count_written(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(context, slices));
        self.counter.count_written(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_what_the_peer_accepts_is_counted() {
        let (mut peer, io) = tokio::io::duplex(4);
        let mut stream = FramedStream::new(io, 10, 10);
        let counter = stream.counter().clone();
        stream.write_all(b"1234").await.expect("fits");
        assert_eq!(counter.bytes().written, 4);
        assert!(stream.write_all(b"5678").now_or_never().is_none(), "the pipe is full");
        assert_eq!(counter.bytes().written, 4);
        peer.read_exact(&mut [0; 2]).await.expect("reads");
        assert!(stream.write_all(b"5678").now_or_never().is_none(), "space for a part");
        assert_eq!(counter.bytes().written, 6);
    }

    #[tokio::test]
    async fn the_payload_of_an_incomplete_message_is_counted() {
        let (mut peer, io) = tokio::io::duplex(64);
        let mut stream = FramedStream::new(io, 1000, 1000);
        peer.write_all(b"\x82\xfe\x01\x00mask12345").await.expect("fits");
        stream.read_exact(&mut [0; 13]).await.expect("reads");
        assert_eq!(stream.counter().bytes().received, 5);
    }
}
