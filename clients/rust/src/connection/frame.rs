//! Converts messages to WebSocket frames and back.

use driftless_protocol::{ClientMessage, Codec, ServerMessage, Value, ValueRef, limits};
use tokio_tungstenite::tungstenite::Message;

use crate::DisconnectReason;

/// The message types that [`ServerMessage`] has. A message of another type comes from a newer server and is ignored.
const KNOWN_TYPES: [&str; 13] = [
    "welcome",
    "changes",
    "datasets",
    "written",
    "conflict",
    "refused",
    "renew",
    "renewed",
    "registered",
    "linked",
    "unregistered",
    "pong",
    "bye",
];

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The message is larger than [`limits::MESSAGE_BYTES`]. Nothing was sent; the connection is still usable.
    TooLarge {
        /// The size of the message in this codec.
        bytes: usize,
    },
    /// The connection has ended.
    Disconnected(DisconnectReason),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::TooLarge { bytes } => write!(f, "a message of {bytes} bytes exceeds the limit of {}", limits::MESSAGE_BYTES),
            SendError::Disconnected(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// Encodes a message as a frame of the codec's kind.
pub(super) fn encode(codec: Codec, message: &ClientMessage) -> Result<Message, SendError> {
    let bytes = codec.encode(message);
    if bytes.len() > limits::MESSAGE_BYTES {
        return Err(SendError::TooLarge { bytes: bytes.len() });
    }
    match codec {
        Codec::MsgPack => Ok(Message::Binary(bytes.into())),
        // The encoder's output is always UTF-8; nothing is lost here.
        Codec::Json => Ok(Message::text(String::from_utf8_lossy(&bytes).as_ref())),
    }
}

/// Decodes a frame; `None` if it is a control frame, or a message of a type that this library does not know.
pub(super) fn decode(codec: Codec, frame: Message) -> Result<Option<ServerMessage>, DisconnectReason> {
    let bytes = match (frame, codec) {
        (Message::Binary(bytes), Codec::MsgPack) => bytes,
        (Message::Text(text), Codec::Json) => text.into(),
        (Message::Binary(_), Codec::Json) | (Message::Text(_), Codec::MsgPack) => {
            return Err(DisconnectReason::ProtocolError("frame of the other subprotocol".to_owned()));
        }
        (Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_), _) => return Ok(None),
    };
    match codec.decode_server(&bytes) {
        Ok(message) => Ok(Some(message)),
        Err(_) if is_newer(codec, &bytes) => Ok(None),
        Err(why) => Err(DisconnectReason::ProtocolError(why.to_string())),
    }
}

fn is_newer(codec: Codec, bytes: &[u8]) -> bool {
    let Ok(message) = codec.decode::<Value>(bytes) else { return false };
    let mut fields = message.members().into_iter().flatten();
    fields.any(|(name, value)| name == "type" && matches!(value.view(), ValueRef::Text(kind) if !KNOWN_TYPES.contains(&kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_types_are_exactly_the_types_that_decode() {
        for kind in KNOWN_TYPES {
            let text = format!(r#"{{"type":"{kind}"}}"#);
            let why = Codec::Json.decode_server(text.as_bytes()).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(!why.contains("unknown variant"), "{why}");
        }
        let why = Codec::Json.decode_server(br#"{"type":"later"}"#).expect_err("unknown").to_string();
        assert_eq!(why.matches('`').count() / 2, KNOWN_TYPES.len() + 1, "every known type is in the list: {why}");
    }
}
