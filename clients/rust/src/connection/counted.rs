//! A TCP stream whose progress is counted: a large message on a slow line shows that the server is there long before it is complete.
//!
//! What arrives counts, and of what is sent only that which had to wait for the line: the system takes the first bytes also if nobody is there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes have shown that the server is there. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct CountedStream {
    stream: TcpStream,
    count: ByteCount,
    /// The last write had to wait.
    is_blocked: bool,
}

impl CountedStream {
    pub(super) fn new(stream: TcpStream, count: ByteCount) -> CountedStream {
        CountedStream { stream, count, is_blocked: false }
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count.add(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let was_blocked = std::mem::replace(&mut self.is_blocked, written.is_pending());
        if was_blocked && let Poll::Ready(Ok(bytes)) = &written {
            self.count.add(*bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_arrives_and_what_had_to_wait_for_the_line_shows_that_the_server_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connects");
        let (mut peer, _) = listener.accept().await.expect("accepts");
        let count = ByteCount::default();
        let mut counted = CountedStream::new(stream, count.clone());
        counted.write_all(b"small").await.expect("is taken");
        assert_eq!(count.get(), 0, "the system took it, also if nobody is there");
        peer.write_all(b"hi").await.expect("is taken");
        counted.read_exact(&mut [0; 2]).await.expect("arrives");
        assert_eq!(count.get(), 2);
        // More than two systems take for a peer that does not read.
        let large = vec![0; 32 * 1024 * 1024];
        let mut received = vec![0; 5 + large.len()];
        let (sent, read) = tokio::join!(counted.write_all(&large), peer.read_exact(&mut received));
        assert!(sent.is_ok() && read.is_ok());
        assert!(count.get() > 2);
    }
}
