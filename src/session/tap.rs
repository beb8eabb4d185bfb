//! Sits between the socket and the WebSocket library, and knows where in the stream of frames it is.
//!
//! Two things come of it. Between messages the library's buffers can be given back: a sleeping session holds none, and waits with
//! [`Tap::poll_stirred`] for the first bytes of the next message. And the first message has a bound of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes of the longest frame header (RFC 6455 §5.2).
const HEADER_BYTES: usize = 14;

/// Bytes of a control frame's payload at most (RFC 6455 §5.5). The library would read a longer one to its end first.
const CONTROL_BYTES: u64 = 125;

/// Bytes read ahead while asleep.
const STASH_BYTES: usize = 16;

/// A message over the bound; the payload of an [`io::Error`].
#[derive(Debug)]
pub(super) struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a message over the bound")
    }
}

impl std::error::Error for TooLong {}

/// Counts the times that the peer took something.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<AtomicU32>);

impl Progress {
    /// How often it did so far; it wraps.
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that is watched.
pub(super) struct Tap<S> {
    io: S,
    progress: Progress,
    frames: Frames,
    stash: [u8; STASH_BYTES],
    stashed: u8,
    given: u8,
    /// The library asked for more and there was none: it has no whole message left.
    starved: bool,
}

impl<S> Tap<S> {
    /// Over a stream whose first message has one bound, and every later one another.
    pub(super) fn new(io: S, first_limit: usize, limit: usize) -> Tap<S> {
        Tap {
            io,
            progress: Progress::default(),
            frames: Frames::new(first_limit, limit),
            stash: [0; STASH_BYTES],
            stashed: 0,
            given: 0,
            starved: false,
        }
    }

    /// Counts the times that the peer took something.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether all that was read so far was whole messages, and the library has handed out every one of them.
    pub(super) fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages() && self.given == self.stashed && self.starved
    }
}

impl<S: AsyncRead + Unpin> Tap<S> {
    /// Ready when there is something to read, or the end.
    pub(super) fn poll_stirred(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.given < self.stashed {
            return Poll::Ready(Ok(()));
        }
        let Tap { io, stash, .. } = self;
        let mut buffer = ReadBuf::new(stash);
        ready!(Pin::new(io).poll_read(context, &mut buffer))?;
        self.stashed = buffer.filled().len() as u8;
        self.given = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tap<S> {
    /// Sends no more, and reads to the end what still comes: a socket that is dropped with something unread in it is reset by the
    /// system, and the peer may lose what it was told last.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        let mut nothing = [0; 1024];
        while self.io.read(&mut nothing).await? > 0 {}
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.given < self.stashed {
            let waiting = &self.stash[usize::from(self.given)..usize::from(self.stashed)];
            let taken = waiting.len().min(buffer.remaining());
            buffer.put_slice(&waiting[..taken]);
            self.given += taken as u8;
        } else {
            self.starved = true;
            ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        }
        self.starved = false;
        Poll::Ready(self.frames.follow(&buffer.filled()[before..]).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        self.progress.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// Follows a stream of frames, header by header.
struct Frames {
    header: [u8; HEADER_BYTES],
    have: u8,
    in_message: bool,
    /// Bytes of the current frame's payload that are still to come.
    left: u64,
    message: u64,
    /// The bound of the message that is under way, or the next.
    limit: u64,
    /// The bound of those behind it.
    later_limit: u64,
}

impl Frames {
    fn new(first_limit: usize, limit: usize) -> Frames {
        let (limit, later_limit) = (first_limit as u64, limit as u64);
        Frames { header: [0; HEADER_BYTES], have: 0, in_message: false, left: 0, message: 0, limit, later_limit }
    }

    fn is_between_messages(&self) -> bool {
        self.left == 0 && self.have == 0 && !self.in_message
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        loop {
            let skipped = self.left.min(bytes.len() as u64);
            self.left -= skipped;
            bytes = &bytes[skipped as usize..];
            if bytes.is_empty() {
                return Ok(());
            }
            bytes = self.header(bytes)?;
        }
    }

    /// Takes what belongs to a header.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], TooLong> {
        let had = usize::from(self.have);
        let taken = bytes.len().min(HEADER_BYTES - had);
        self.header[had..had + taken].copy_from_slice(&bytes[..taken]);
        let mut known = io::Cursor::new(&self.header[..had + taken]);
        match FrameHeader::parse(&mut known) {
            Ok(Some((header, length))) => {
                let used = known.position() as usize;
                self.have = 0;
                self.begin(&header, length)?;
                Ok(&bytes[used - had..])
            }
            Ok(None) => {
                self.have += taken as u8;
                Ok(&bytes[taken..])
            }
            // The library will refuse it; whatever follows is no frame.
            Err(_) => {
                self.left = u64::MAX;
                Ok(bytes)
            }
        }
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), TooLong> {
        self.left = length;
        let OpCode::Data(data) = header.opcode else {
            return if length > CONTROL_BYTES { Err(TooLong) } else { Ok(()) };
        };
        self.message = if data == Data::Continue { self.message.saturating_add(length) } else { length };
        self.in_message = !header.is_final;
        if self.message > self.limit {
            return Err(TooLong);
        }
        if header.is_final {
            self.limit = self.later_limit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.resize(frame.len() + length, 0x81);
        frame
    }

    #[test]
    fn the_end_of_a_message_is_known_however_it_arrives() {
        let stream = [frame(0x82, 5), frame(0x02, 300), frame(0x89, 3), frame(0x80, 0), frame(0x81, 0)].concat();
        let ends = [11, 11 + 308 + 9 + 6, stream.len()];
        for step in [1, 2, 3, 7, 100, stream.len()] {
            let mut frames = Frames::new(1000, 1000);
            let mut read = 0;
            for part in stream.chunks(step) {
                frames.follow(part).expect("short");
                read += part.len();
                // A ping inside a fragmented message is not its end.
                assert_eq!(frames.is_between_messages(), ends.contains(&read), "after {read} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_message_over_the_bound_is_noticed_at_its_header() {
        assert!(Frames::new(300, 400).follow(&frame(0x82, 301)[..8]).is_err());
        assert!(Frames::new(300, 400).follow(&frame(0x82, 300)).is_ok());
        let parts = [frame(0x02, 200), frame(0x80, 101)].concat();
        assert!(Frames::new(300, 400).follow(&parts).is_err(), "in two parts");
        let endless = [&[0x82, 0xff][..], &[0xff; 8], &MASK].concat();
        assert!(Frames::new(300, 400).follow(&endless[..10]).is_ok(), "its mask is still to come");
        assert!(Frames::new(300, 400).follow(&endless).is_err());
    }

    #[test]
    fn the_bound_changes_with_the_first_message_and_not_with_a_ping() {
        let within = [frame(0x89, 125), frame(0x02, 200), frame(0x89, 3), frame(0x80, 100), frame(0x82, 400)].concat();
        assert!(Frames::new(300, 400).follow(&within).is_ok());
        assert!(Frames::new(300, 400).follow(&[frame(0x89, 3), frame(0x82, 301)].concat()).is_err());
        assert!(Frames::new(300, 400).follow(&[frame(0x82, 1), frame(0x82, 401)].concat()).is_err());
        assert!(Frames::new(300, 400).follow(&frame(0x89, 126)).is_err(), "a ping");
    }

    #[tokio::test]
    async fn what_the_peer_takes_is_counted_and_what_it_leaves_is_not() {
        use futures_util::FutureExt;
        let (mut peer, io) = tokio::io::duplex(4);
        let mut tap = Tap::new(io, 10, 10);
        let progress = tap.progress().clone();
        tap.write_all(b"1234").await.expect("fits");
        assert_eq!(progress.count(), 1);
        assert!(tap.write_all(b"5678").now_or_never().is_none(), "the pipe is full");
        assert_eq!(progress.count(), 1);
        peer.read_exact(&mut [0; 2]).await.expect("reads");
        assert!(tap.write_all(b"5678").now_or_never().is_none(), "room for a part");
        assert_eq!(progress.count(), 2);
    }
}
