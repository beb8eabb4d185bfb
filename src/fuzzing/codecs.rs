//! Messages of both codecs: any bytes are decoded or refused; what is decoded keeps its meaning through either codec.

use driftless_protocol::{ClientMessage, Codec, DatasetName, Registration, ServerMessage, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte selects the codec and what is decoded, and the rest is decoded.
pub fn check_codecs(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let codec = Codec::ALL[usize::from(first) % 2];
    match first / 2 % 5 {
        0 => check_client(codec.decode_client(bytes).ok()),
        1 => check_server(codec.decode_server(bytes).ok()),
        2 => check_client(codec.decode_client_as(bytes, "write", &dataset()).ok()),
        3 => check_registration(codec.decode_registration(bytes).ok()),
        _ => check_value(codec.decode(bytes).ok()),
    }
}

fn dataset() -> DatasetName {
    DatasetName::new("d").unwrap_or_else(|_| unreachable!("the name is valid"))
}

fn check_client(message: Option<ClientMessage>) {
    let Some(message) = message else { return };
    for codec in Codec::ALL {
        let again = check_encoding(codec, &message, |bytes| codec.decode_client(bytes).map_err(|why| why.to_string()));
        assert!(again == message, "a message changes by {codec:?}");
    }
}

fn check_server(message: Option<ServerMessage>) {
    let Some(message) = message else { return };
    for codec in Codec::ALL {
        let again = check_encoding(codec, &message, |bytes| codec.decode_server(bytes).map_err(|why| why.to_string()));
        assert!(again == message, "a message changes by {codec:?}");
    }
}

fn check_registration(registration: Option<Registration>) {
    check_client(registration.map(ClientMessage::Register));
}

fn check_value(value: Option<Value>) {
    let Some(value) = value else { return };
    let packed = Codec::MsgPack.encode(&value);
    assert_eq!(packed, value.packed(), "a value is kept as it is packed");
    for codec in Codec::ALL {
        let again: Value = check_encoding(codec, &value, |bytes| decode(codec, bytes));
        assert!(again == value && again.packed() == packed, "a value changes by {codec:?}");
    }
}

fn decode<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<T, String> {
    codec.decode(bytes)
}

/// Encodes a message, decodes it and encodes it again, which makes the same bytes. Returns what was decoded.
fn check_encoding<T: Serialize>(codec: Codec, message: &T, decode: impl FnOnce(&[u8]) -> Result<T, String>) -> T {
    let encoded = codec.encode(message);
    let again = decode(&encoded).unwrap_or_else(|why| panic!("{codec:?} does not decode {}: {why}", encoded.escape_ascii()));
    assert_eq!(codec.encode(&again), encoded, "the bytes of {codec:?} are stable");
    again
}
