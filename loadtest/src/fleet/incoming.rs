//! Splits the bytes that a device received into items.

use driftless_protocol::{Codec, ServerMessage};

use crate::websocket::{self, WebSocketFrame};

/// One item that a device received.
pub(super) enum ReceivedItem {
    /// The server accepted the upgrade to a WebSocket.
    Upgraded,
    Message(ServerMessage),
    Close(Option<u16>),
    /// Bytes that violate the protocol, and how.
    Invalid(&'static str),
}

/// Parses the first complete item. Returns the item, if the device must act on it, and its length; `None` if it is incomplete.
pub(super) fn next_item(bytes: &[u8], is_upgraded: bool, codec: Codec) -> Option<(Option<ReceivedItem>, usize)> {
    let invalid = |why| Some((Some(ReceivedItem::Invalid(why)), bytes.len()));
    if bytes.is_empty() {
        return None;
    }
    if !is_upgraded {
        return match websocket::upgrade_response_bytes(bytes) {
            Ok(length) => length.map(|length| (Some(ReceivedItem::Upgraded), length)),
            Err(_) => invalid("the server rejected the upgrade to a WebSocket"),
        };
    }
    let (frame, length) = match websocket::parse(bytes) {
        Ok(parsed) => parsed?,
        Err(_) => return invalid("received bytes that are not a WebSocket frame"),
    };
    let item = match frame {
        WebSocketFrame::Message(payload) => Some(
            codec.decode_server(payload).map_or(ReceivedItem::Invalid("received a message that cannot be decoded"), ReceivedItem::Message),
        ),
        WebSocketFrame::Close(code) => Some(ReceivedItem::Close(code)),
        WebSocketFrame::Ignored => None,
    };
    Some((item, length))
}
