//! A large message of the server on its way into the stream: written from where it lies, not copied into the library's buffer, which would keep
//! that size for as long as the session is awake.
//!
//! It is written between two frames of the library: whatever the library has buffered must have been flushed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use driftless_protocol::Codec;
use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes of the message that go out together with the frame's header, in one packet.
const FIRST_BYTES: usize = 1024;

/// What is left of a message.
pub(super) struct UnsentMessage {
    /// The header, and the first bytes of the message.
    first: Bytes,
    rest: Bytes,
}

impl UnsentMessage {
    /// The whole message, in one frame of the kind that the codec uses.
    pub(super) fn new(mut message: Bytes, codec: Codec) -> io::Result<UnsentMessage> {
        let data = match codec {
            Codec::MsgPack => Data::Binary,
            Codec::Json => Data::Text,
        };
        let header = FrameHeader { opcode: OpCode::Data(data), ..FrameHeader::default() };
        let mut first = Vec::new();
        header.format(message.len() as u64, &mut first).map_err(io::Error::other)?;
        let begin = message.split_to(message.len().min(FIRST_BYTES));
        first.extend_from_slice(&begin);
        Ok(UnsentMessage { first: first.into(), rest: message })
    }

    /// Ready when the stream has taken all of it.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for part in [&mut self.first, &mut self.rest] {
            while part.has_remaining() {
                let written = ready!(Pin::new(&mut *stream).poll_write(context, part))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                part.advance(written);
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{FutureExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    #[tokio::test]
    async fn a_message_of_every_length_arrives_through_a_small_pipe() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut peer = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        for length in [0, 1, 125, 126, FIRST_BYTES, FIRST_BYTES + 1, 65_535, 65_536, 100_000] {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let mut unsent = UnsentMessage::new(text.clone().into(), Codec::Json).expect("a header");
            let sending = poll_fn(|context| unsent.poll_write(&mut far, context));
            let (sent, received) = tokio::join!(sending, peer.next());
            sent.expect("the peer reads");
            assert_eq!(received.expect("is open").expect("a frame"), Message::Text(text.into()));
        }
        let mut unsent = UnsentMessage::new(Bytes::from_static(&[7; 100]), Codec::MsgPack).expect("a header");
        assert!(poll_fn(|context| unsent.poll_write(&mut far, context)).now_or_never().is_none(), "the peer has not read");
        let (sent, received) = tokio::join!(poll_fn(|context| unsent.poll_write(&mut far, context)), peer.next());
        sent.expect("the rest");
        assert_eq!(received.expect("is open").expect("a frame"), Message::Binary(Bytes::from_static(&[7; 100])));
    }
}
