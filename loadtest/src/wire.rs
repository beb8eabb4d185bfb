//! The client's end of a WebSocket (RFC 6455), as little of it as a simulated device needs: no buffer of its own, no task.

use driftless_protocol::Codec;

/// A message.
pub const BINARY: u8 = 0x82;

/// A message of text.
pub const TEXT: u8 = 0x81;

/// The server closes.
const CLOSE: u8 = 0x88;

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// It closes, with this code if it named one.
    Close(Option<u16>),
    /// Something that a device need not look at.
    Other,
}

/// Bytes that are no frame, or one that this server never sends.
#[derive(Debug, PartialEq, Eq)]
pub struct NoFrame;

/// The request for a socket. Its key is always the same: nobody here checks the answer's, a cache in between is not possible.
pub fn request(host: &str, codec: Codec) -> Vec<u8> {
    let protocol = codec.subprotocol();
    format!(
        "GET /v1/sync HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: bG9hZGxvYWRsb2FkbG9hZA==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the answer to it, once it is whole; `Err` if it is not a socket.
pub fn accepted(bytes: &[u8]) -> Result<Option<usize>, NoFrame> {
    match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(at) if bytes.starts_with(b"HTTP/1.1 101") => Ok(Some(at + 4)),
        None if bytes.len() < 4096 => Ok(None),
        _ => Err(NoFrame),
    }
}

/// Appends a frame. Its mask is 0: a mask protects old proxies from scripts, and there are neither.
pub fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The first frame of these bytes and its length, once it is whole.
pub fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, NoFrame> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (head, length) = match second {
        length @ 0..126 => (2, usize::from(length)),
        126 => match bytes.get(2..4) {
            Some(length) => (4, length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(length) => (10, length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            None => return Ok(None),
        },
        // A server masks nothing.
        _ => return Err(NoFrame),
    };
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    let frame = match first {
        BINARY | TEXT => Frame::Message(payload),
        CLOSE => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        0x89 | 0x8a => Frame::Other,
        _ => return Err(NoFrame),
    };
    Ok(Some((frame, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would send it.
    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        frame(opcode, payload, &mut masked);
        masked[1] &= 0x7f;
        let mask = masked.len() - payload.len() - 4;
        masked.drain(mask..mask + 4);
        masked
    }

    #[test]
    fn frames_of_every_length_are_read_once_they_are_whole() {
        for length in [0, 1, 125, 126, 200, 0xffff, 0x1_0000] {
            let payload = vec![7; length];
            let bytes = unmasked(BINARY, &payload);
            assert_eq!(parse(&bytes), Ok(Some((Frame::Message(&payload), bytes.len()))));
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{length}");
        }
        assert_eq!(parse(&unmasked(CLOSE, &4012_u16.to_be_bytes())), Ok(Some((Frame::Close(Some(4012)), 4))));
        assert_eq!(parse(&unmasked(CLOSE, &[])), Ok(Some((Frame::Close(None), 2))));
        assert_eq!(parse(&[0x82, 0x80, 0, 0, 0, 0]), Err(NoFrame), "masked");
        assert_eq!(parse(&[0x02, 0x00]), Err(NoFrame), "a part of a message");
    }

    #[test]
    fn only_a_socket_is_a_socket() {
        assert_eq!(accepted(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x82"), Ok(Some(42)));
        assert_eq!(accepted(b"HTTP/1.1 101 Switching"), Ok(None));
        assert_eq!(accepted(b"HTTP/1.1 503 Busy\r\n\r\n"), Err(NoFrame));
    }
}
