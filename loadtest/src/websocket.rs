//! The part of a WebSocket client (RFC 6455) that a simulated device needs. It has no buffers and no tasks.

use driftless_protocol::Codec;

/// First byte of a whole binary message.
pub const BINARY: u8 = 0x82;

/// First byte of a whole text message.
pub const TEXT: u8 = 0x81;

/// First byte of a close frame.
const CLOSE: u8 = 0x88;

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum WebSocketFrame<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
    /// A ping or pong frame.
    Ignored,
}

/// Bytes that are not a frame, or a frame that the server never sends.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidFrame;

/// The upgrade request. The key is constant: the client does not check the response's key, and there is no cache in between.
pub fn upgrade_request(host: &str, codec: Codec) -> Vec<u8> {
    let protocol = codec.subprotocol();
    format!(
        "GET /v1/sync HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: bG9hZGxvYWRsb2FkbG9hZA==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the response to the upgrade request, once it is complete; `Err` if the server rejected it.
pub fn upgrade_response_bytes(bytes: &[u8]) -> Result<Option<usize>, InvalidFrame> {
    match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(at) if bytes.starts_with(b"HTTP/1.1 101") => Ok(Some(at + 4)),
        None if bytes.len() < 4096 => Ok(None),
        _ => Err(InvalidFrame),
    }
}

/// Appends a frame to `out`. The mask is 0: masks protect old proxies from scripts, and here are neither.
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

/// The first frame and its length, once it is complete.
pub fn parse(bytes: &[u8]) -> Result<Option<(WebSocketFrame<'_>, usize)>, InvalidFrame> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (header, length) = match second {
        length @ 0..126 => (2, usize::from(length)),
        126 => match bytes.get(2..4) {
            Some(length) => (4, length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(length) => (10, length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            None => return Ok(None),
        },
        // A server must not mask its frames.
        _ => return Err(InvalidFrame),
    };
    let Some(payload) = bytes.get(header..header + length) else { return Ok(None) };
    let frame = match first {
        BINARY | TEXT => WebSocketFrame::Message(payload),
        CLOSE => WebSocketFrame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        0x89 | 0x8a => WebSocketFrame::Ignored,
        _ => return Err(InvalidFrame),
    };
    Ok(Some((frame, header + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        frame(opcode, payload, &mut masked);
        masked[1] &= 0x7f;
        let mask = masked.len() - payload.len() - 4;
        masked.drain(mask..mask + 4);
        masked
    }

    #[test]
    fn frames_of_every_length_are_parsed_once_they_are_complete() {
        for length in [0, 1, 125, 126, 200, 0xffff, 0x1_0000] {
            let payload = vec![7; length];
            let bytes = unmasked(BINARY, &payload);
            assert_eq!(parse(&bytes), Ok(Some((WebSocketFrame::Message(&payload), bytes.len()))));
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{length}");
        }
        assert_eq!(parse(&unmasked(CLOSE, &4012_u16.to_be_bytes())), Ok(Some((WebSocketFrame::Close(Some(4012)), 4))));
        assert_eq!(parse(&unmasked(CLOSE, &[])), Ok(Some((WebSocketFrame::Close(None), 2))));
        assert_eq!(parse(&[0x82, 0x80, 0, 0, 0, 0]), Err(InvalidFrame), "masked");
        assert_eq!(parse(&[0x02, 0x00]), Err(InvalidFrame), "a part of a message");
    }

    #[test]
    fn only_a_101_response_is_an_accepted_upgrade() {
        assert_eq!(upgrade_response_bytes(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x82"), Ok(Some(42)));
        assert_eq!(upgrade_response_bytes(b"HTTP/1.1 101 Switching"), Ok(None));
        assert_eq!(upgrade_response_bytes(b"HTTP/1.1 503 Busy\r\n\r\n"), Err(InvalidFrame));
    }
}
