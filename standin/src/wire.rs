//! An HTTP/2 connection's bytes, between which the gateway puts frames that the library never sends.
//!
//! - A frame goes in only where another one may begin: never within one, never between a HEADERS and its CONTINUATION.
//! - The library never sees the acknowledgement of SETTINGS that it did not send. Clients acknowledge in order
//!   (RFC 9113 section 6.5.3), so whose turn it is stands in a queue.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::control::{Control, Injection};
use super::frames::{self, Frames, PREFACE_BYTES, Part};

/// As much as TLS gives at once.
const READ_BYTES: usize = 16 * 1024;

pub(super) struct Wire<S> {
    stream: S,
    control: Arc<Control>,
    written: Frames,
    /// What is left of a frame that is being put in.
    putting: BytesMut,
    /// Whose SETTINGS the client has not acknowledged, the oldest first.
    unacknowledged: VecDeque<Sender>,
    read: Frames,
    preface_left: usize,
    /// The highest stream that the client opened.
    opened: u32,
    buffer: Box<[u8]>,
    /// What was read and is for the library.
    sifted: BytesMut,
}

/// Who sent SETTINGS.
enum Sender {
    Library,
    /// The gateway, with this limit.
    Gateway(u32),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, control: Arc<Control>) -> Wire<S> {
        Wire {
            stream,
            control,
            written: Frames::default(),
            putting: BytesMut::new(),
            unacknowledged: VecDeque::new(),
            read: Frames::default(),
            preface_left: PREFACE_BYTES,
            opened: 0,
            buffer: vec![0; READ_BYTES].into(),
            sifted: BytesMut::new(),
        }
    }

    /// Ready when no frame waits that could go in here.
    fn poll_put(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written.between() {
            if self.putting.is_empty() {
                let Some(injection) = self.control.next_injection() else { return Poll::Ready(Ok(())) };
                self.take(injection);
            }
            while !self.putting.is_empty() {
                let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.putting))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.putting.advance(count);
            }
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, injection: Injection) {
        let bytes = match injection {
            Injection::StreamLimit(streams) => {
                self.unacknowledged.push_back(Sender::Gateway(streams));
                frames::stream_limit(streams)
            }
            Injection::GoAway(last_stream) => frames::go_away(last_stream),
        };
        self.putting.extend_from_slice(&bytes);
    }

    /// Follows what the library wrote.
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, part) = self.written.step(bytes);
            if matches!(part, Part::Head(head) if head.is_settings()) {
                self.unacknowledged.push_back(Sender::Library);
            }
            bytes = &bytes[taken..];
        }
    }

    /// Takes from what was read what is for the library.
    fn sift(&mut self, count: usize) {
        let preface = self.preface_left.min(count);
        self.preface_left -= preface;
        self.sifted.extend_from_slice(&self.buffer[..preface]);
        let mut at = preface;
        while at < count {
            let (taken, part) = self.read.step(&self.buffer[at..count]);
            match part {
                Part::Begun => {}
                Part::Payload => self.sifted.extend_from_slice(&self.buffer[at..at + taken]),
                Part::Head(head) => {
                    self.opened = self.opened.max(head.stream_of_headers().unwrap_or(0));
                    let sender = if head.is_acknowledgement() { self.unacknowledged.pop_front() } else { None };
                    match sender {
                        Some(Sender::Gateway(streams)) => self.control.acknowledged(streams, self.opened),
                        Some(Sender::Library) | None => self.sifted.extend_from_slice(&head.bytes),
                    }
                }
            }
            at += taken;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(Err(error)) = this.poll_put(cx) {
            return Poll::Ready(Err(error));
        }
        while this.sifted.is_empty() {
            let mut read = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            this.sift(count);
        }
        let count = this.sifted.len().min(buf.remaining());
        buf.put_slice(&this.sifted[..count]);
        this.sifted.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_put(cx))?;
        // A frame that waits goes in at the next boundary, so no byte past it is taken.
        let upto = if this.control.has_injections() { this.written.clone().step(buf).0 } else { buf.len() };
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..upto]))?;
        this.follow(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_put(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
