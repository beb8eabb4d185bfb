//! A message of the server in its WebSocket frame. A server masks nothing (RFC 6455 section 5.1), so all sessions of a codec can send the same bytes.

use driftless_protocol::{Codec, ServerMessage};

/// The longest header of a frame without a mask, in bytes (RFC 6455 section 5.2).
const HEADER_BYTES: usize = 10;

/// What most messages fit into with their header, in bytes, so that encoding one takes one allocation.
const USUAL_BYTES: usize = 512;

/// Encodes a message as one whole frame, of the kind that the codec uses.
pub fn encode_frame(codec: Codec, message: &ServerMessage) -> Vec<u8> {
    let mut frame = Vec::with_capacity(USUAL_BYTES);
    frame.resize(HEADER_BYTES, 0);
    codec.encode_server_into(message, &mut frame);
    let payload_bytes = frame.len() - HEADER_BYTES;
    let mut header = [0; HEADER_BYTES];
    // The last frame of its message, and its only one.
    header[0] = 0x80
        | match codec {
            Codec::Json => 1,
            Codec::MsgPack => 2,
        };
    let header_bytes = match payload_bytes {
        0..126 => {
            header[1] = payload_bytes as u8;
            2
        }
        126..0x1_0000 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            HEADER_BYTES
        }
    };
    frame.drain(..HEADER_BYTES - header_bytes);
    frame[..header_bytes].copy_from_slice(&header[..header_bytes]);
    frame
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use driftless_protocol::RefusalCode;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    #[test]
    fn a_message_of_every_length_stands_behind_the_header_that_says_it() {
        for codec in Codec::ALL {
            for text in [0, 20, 40, 60, 80, 100, 65_400, 65_480, 65_500, 65_536, 200_000] {
                let code = RefusalCode::NotOpen;
                let message = ServerMessage::Refused { id: None, dataset: None, code, message: "x".repeat(text) };
                let frame = encode_frame(codec, &message);
                let mut read = Cursor::new(frame.as_slice());
                let (header, length) = FrameHeader::parse(&mut read).expect("a header").expect("all of it");
                let kind = if codec == Codec::Json { Data::Text } else { Data::Binary };
                assert_eq!((header.opcode, header.is_final, header.mask), (OpCode::Data(kind), true, None));
                let payload = &frame[read.position() as usize..];
                assert_eq!((payload.len() as u64, payload), (length, codec.encode(&message).as_slice()));
                let shortest = if length < 126 {
                    2
                } else if length < 65_536 {
                    4
                } else {
                    10
                };
                assert_eq!(read.position(), shortest, "the shortest header for {length} bytes");
            }
        }
    }
}
