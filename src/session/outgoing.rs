//! Frames on their way into the stream: written from where they lie, several at once. They are not copied into the WebSocket library's buffer, so
//! sessions that send one change share its bytes, a large message is in memory once, and a socket that only sends needs no buffer at all.
//!
//! The library writes control frames to the same stream: neither begins while the other has part of a frame in it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Frames that are written at once: beyond that one call of the system saves little more.
const FRAMES_AT_ONCE: usize = 32;

#[derive(Default)]
pub(super) struct OutgoingFrames {
    /// What is left of them. Without frames it owns nothing.
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl OutgoingFrames {
    /// Bytes that are not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Ready when the stream has taken all of them. If it is not called again the peer has a part of a frame.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(first) = self.frames.front() {
            let written = if self.frames.len() == 1 {
                ready!(Pin::new(&mut *stream).poll_write(context, first))?
            } else {
                let mut slices = [IoSlice::new(&[]); FRAMES_AT_ONCE];
                slices.iter_mut().zip(&self.frames).for_each(|(slice, frame)| *slice = IoSlice::new(frame));
                let count = self.frames.len().min(FRAMES_AT_ONCE);
                ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.frames = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                return first.advance(written);
            }
            written -= first.len();
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Frames of these lengths, whose bytes are all different from those of their neighbours.
    fn frames(lengths: &[usize]) -> Vec<Bytes> {
        lengths.iter().enumerate().map(|(n, length)| (0..*length).map(|at| (at * 7 + n * 31) as u8).collect()).collect()
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_whole_through_a_pipe_of_any_size() {
        let sent = frames(&[2, 300, 1, 70_000, 3, 5, 20_000, 2]);
        let many = frames(&[9; 3 * FRAMES_AT_ONCE]);
        for (sent, pipe_bytes) in [(&sent, 1), (&sent, 16), (&sent, 100_000), (&many, 16), (&many, 100_000)] {
            let (mut near, mut far) = tokio::io::duplex(pipe_bytes);
            let mut outgoing = OutgoingFrames::default();
            sent.iter().cloned().for_each(|frame| outgoing.push(frame));
            let expected = sent.concat();
            assert_eq!(outgoing.bytes(), expected.len());
            let mut received = vec![0; expected.len()];
            let (wrote, read) = tokio::join!(poll_fn(|context| outgoing.poll_write(&mut near, context)), far.read_exact(&mut received));
            assert!(wrote.is_ok() && read.is_ok() && received == expected, "{pipe_bytes}");
            assert_eq!((outgoing.bytes(), outgoing.frames.capacity()), (0, 0), "nothing is kept");
        }
    }

    #[tokio::test]
    async fn a_write_goes_on_where_it_was_left() {
        let (mut near, mut far) = tokio::io::duplex(10);
        let (sent, mut outgoing) = (frames(&[4, 9, 4]), OutgoingFrames::default());
        outgoing.push(sent[0].clone());
        outgoing.push(sent[1].clone());
        assert!(poll_fn(|context| outgoing.poll_write(&mut near, context)).now_or_never().is_none(), "the pipe is full");
        assert_eq!(outgoing.bytes(), 3);
        outgoing.push(sent[2].clone());
        let mut received = vec![0; 17];
        let (wrote, _) = tokio::join!(poll_fn(|context| outgoing.poll_write(&mut near, context)), far.read_exact(&mut received));
        assert!(wrote.is_ok() && received == sent.concat());
    }
}
