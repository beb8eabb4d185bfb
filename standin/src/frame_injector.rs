//! An HTTP/2 connection's byte stream, into which the gateway inserts frames that the HTTP/2 library does not send.
//!
//! - A frame is inserted only where another frame may begin: never within a frame, never between HEADERS and its CONTINUATION.
//! - The library never sees the acknowledgement of SETTINGS that it did not send. Clients acknowledge SETTINGS in order
//!   (RFC 9113 section 6.5.3), so a queue tells which sender an acknowledgement is for.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_control::{ConnectionControl, InjectedFrame};
use super::frames::{self, FrameParser, FramePart, PREFACE_BYTES};

/// The largest TLS record.
const READ_BYTES: usize = 16 * 1024;

pub(crate) struct FrameInjector<S> {
    stream: S,
    control: Arc<ConnectionControl>,
    write_parser: FrameParser,
    /// The unwritten rest of a frame that is being injected.
    injecting: BytesMut,
    /// The senders of SETTINGS that the client has not acknowledged, the oldest first.
    unacknowledged: VecDeque<SettingsSender>,
    read_parser: FrameParser,
    preface_bytes_left: usize,
    /// The highest stream that the client opened.
    highest_stream: u32,
    read_buffer: Box<[u8]>,
    /// Bytes that were read for the library.
    for_library: BytesMut,
}

/// The sender of a SETTINGS frame.
enum SettingsSender {
    Library,
    /// The gateway, with this stream limit.
    Gateway(u32),
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameInjector<S> {
    pub(crate) fn new(stream: S, control: Arc<ConnectionControl>) -> FrameInjector<S> {
        FrameInjector {
            stream,
            control,
            write_parser: FrameParser::default(),
            injecting: BytesMut::new(),
            unacknowledged: VecDeque::new(),
            read_parser: FrameParser::default(),
            preface_bytes_left: PREFACE_BYTES,
            highest_stream: 0,
            read_buffer: vec![0; READ_BYTES].into(),
            for_library: BytesMut::new(),
        }
    }

    /// Ready when no frame is left that could be injected at this point of the stream.
    fn poll_inject(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.write_parser.is_at_boundary() {
            if self.injecting.is_empty() {
                let Some(frame) = self.control.next_frame_to_inject() else { return Poll::Ready(Ok(())) };
                self.start_injection(frame);
            }
            while !self.injecting.is_empty() {
                let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.injecting))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.injecting.advance(count);
            }
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_injection(&mut self, frame: InjectedFrame) {
        let bytes = match frame {
            InjectedFrame::StreamLimit(streams) => {
                self.unacknowledged.push_back(SettingsSender::Gateway(streams));
                frames::stream_limit_frame(streams)
            }
            InjectedFrame::GoAway(last_stream) => frames::go_away_frame(last_stream),
        };
        self.injecting.extend_from_slice(&bytes);
    }

    /// Parses what the library wrote.
    fn track_written(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (consumed, part) = self.write_parser.advance(bytes);
            if matches!(part, FramePart::Header(header) if header.is_settings()) {
                self.unacknowledged.push_back(SettingsSender::Library);
            }
            bytes = &bytes[consumed..];
        }
    }

    /// Moves the first `count` bytes of the read buffer to `for_library`, without acknowledgements that are for the gateway.
    fn filter_read(&mut self, count: usize) {
        let preface = self.preface_bytes_left.min(count);
        self.preface_bytes_left -= preface;
        self.for_library.extend_from_slice(&self.read_buffer[..preface]);
        let mut at = preface;
        while at < count {
            let (consumed, part) = self.read_parser.advance(&self.read_buffer[at..count]);
            match part {
                FramePart::PartialHeader => {}
                FramePart::Payload => self.for_library.extend_from_slice(&self.read_buffer[at..at + consumed]),
                FramePart::Header(header) => {
                    self.highest_stream = self.highest_stream.max(header.stream_of_headers().unwrap_or(0));
                    let sender = if header.is_settings_ack() { self.unacknowledged.pop_front() } else { None };
                    match sender {
                        Some(SettingsSender::Gateway(streams)) => self.control.limit_acknowledged(streams, self.highest_stream),
                        Some(SettingsSender::Library) | None => self.for_library.extend_from_slice(&header.bytes),
                    }
                }
            }
            at += consumed;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FrameInjector<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(Err(error)) = this.poll_inject(cx) {
            return Poll::Ready(Err(error));
        }
        while this.for_library.is_empty() {
            let mut read = ReadBuf::new(&mut this.read_buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            this.filter_read(count);
        }
        let count = this.for_library.len().min(buf.remaining());
        buf.put_slice(&this.for_library[..count]);
        this.for_library.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FrameInjector<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_inject(cx))?;
        // A waiting frame is injected at the next boundary, so no byte behind that boundary may be written before it.
        let writable = if this.control.has_frames_to_inject() { this.write_parser.clone().advance(buf).0 } else { buf.len() };
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..writable]))?;
        this.track_written(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_inject(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
