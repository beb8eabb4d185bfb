//! Messages to WebSocket frames and back.

use driftless_protocol::{ClientMessage, Codec, ServerMessage, Value, limits};
use tokio_tungstenite::tungstenite::Message;

use crate::End;

/// The types that [`ServerMessage`] knows: a frame of another type is newer than this library and is ignored.
const KNOWN: [&str; 11] =
    ["welcome", "changes", "datasets", "written", "conflict", "refused", "renew", "registered", "unregistered", "pong", "bye"];

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It is larger than [`limits::MESSAGE_BYTES`]; nothing was sent and the socket is as it was.
    TooLarge {
        /// Its size in this codec.
        bytes: usize,
    },
    /// The socket has ended.
    Ended(End),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::TooLarge { bytes } => write!(f, "a message of {bytes} bytes is over the bound of {}", limits::MESSAGE_BYTES),
            SendError::Ended(end) => end.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// A message as a frame of the codec's kind.
pub(super) fn encode(codec: Codec, message: &ClientMessage) -> Result<Message, SendError> {
    let bytes = codec.encode(message);
    if bytes.len() > limits::MESSAGE_BYTES {
        return Err(SendError::TooLarge { bytes: bytes.len() });
    }
    match codec {
        Codec::MsgPack => Ok(Message::Binary(bytes.into())),
        // JSON is UTF-8 whatever is in it.
        Codec::Json => Ok(Message::text(String::from_utf8_lossy(&bytes).as_ref())),
    }
}

/// What a frame says; nothing if it belongs to the WebSocket alone, or is of a type that is newer than this library.
pub(super) fn decode(codec: Codec, frame: Message) -> Result<Option<ServerMessage>, End> {
    let bytes = match (frame, codec) {
        (Message::Binary(bytes), Codec::MsgPack) => bytes,
        (Message::Text(text), Codec::Json) => text.into(),
        (Message::Binary(_), Codec::Json) | (Message::Text(_), Codec::MsgPack) => {
            return Err(End::NotUnderstood("a frame of the other subprotocol".to_owned()));
        }
        (Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_), _) => return Ok(None),
    };
    match codec.decode_server(&bytes) {
        Ok(message) => Ok(Some(message)),
        Err(_) if is_newer(codec, &bytes) => Ok(None),
        Err(why) => Err(End::NotUnderstood(why.to_string())),
    }
}

fn is_newer(codec: Codec, bytes: &[u8]) -> bool {
    match codec.decode::<Value>(bytes) {
        Ok(Value::Map(fields)) => matches!(fields.get("type"), Some(Value::Text(kind)) if !KNOWN.contains(&kind.as_str())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_types_are_those_that_decode() {
        for kind in KNOWN {
            let text = format!(r#"{{"type":"{kind}"}}"#);
            let why = Codec::Json.decode_server(text.as_bytes()).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(!why.contains("unknown variant"), "{why}");
        }
        let why = Codec::Json.decode_server(br#"{"type":"later"}"#).expect_err("unknown").to_string();
        assert_eq!(why.matches('`').count() / 2, KNOWN.len() + 1, "every known type is in the list: {why}");
    }
}
