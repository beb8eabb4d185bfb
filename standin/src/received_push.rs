//! An accepted push as its device would receive it.

use bytes::Bytes;
use driftless_protocol::Provider;
use serde_json::Value;

use super::fcm_platforms;

/// An accepted push as its device would receive it.
#[derive(Clone, Debug)]
pub struct ReceivedPush {
    /// The service that delivers it.
    pub provider: Provider,
    /// Apple's or Google's token; for a subscription the part of its endpoint after `/push/`.
    pub token: String,
    /// The delivery headers by lower-case name: `apns-*` for Apple; `ttl`, `urgency` and `topic` for Web Push.
    pub headers: Vec<(&'static str, String)>,
    /// What the device reads: Apple's payload, Google's message, or the plain text of Web Push (a string unless it is JSON).
    /// Null if the gateway cannot decrypt it.
    pub payload: Value,
    /// The cipher text, for a subscription whose keys the gateway does not have.
    pub ciphertext: Option<Vec<u8>>,
    /// When it was accepted, in Unix milliseconds of the gateway's clock.
    pub at_ms: u64,
    /// The connection that it came on, counted from 1.
    pub connection: u64,
    /// The stream that it came on; 0 over HTTP/1.1.
    pub stream: u32,
    /// The number of requests for the token so far, this one included.
    pub attempt: u64,
}

impl ReceivedPush {
    /// The wake's data, at the place where its provider carries it.
    pub fn data(&self) -> Value {
        match self.provider {
            Provider::Apns | Provider::ApnsSandbox | Provider::Fcm => self.payload["data"].clone(),
            Provider::Webpush => self.payload.clone(),
        }
    }

    /// What an Apple device reads of Google's message.
    pub fn fcm_apns_payload(&self) -> Value {
        self.payload.as_object().map_or(Value::Null, fcm_platforms::apns_payload)
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }
}

/// The undecoded content of a push.
#[derive(Clone)]
pub(crate) enum PushContent {
    /// What the device reads.
    Plain(Bytes),
    /// Google's request, which holds the message.
    FcmMessage(Bytes),
    /// What the device decrypts with keys that the gateway does not have.
    Encrypted(Bytes),
}

impl PushContent {
    /// The payload, and the cipher text.
    pub(crate) fn decode(&self) -> (Value, Option<Vec<u8>>) {
        match self {
            PushContent::Plain(bytes) if bytes.is_empty() => (Value::Null, None),
            PushContent::Plain(bytes) => match serde_json::from_slice(bytes) {
                Ok(json) => (json, None),
                Err(_) => (Value::String(String::from_utf8_lossy(bytes).into_owned()), None),
            },
            PushContent::FcmMessage(bytes) => {
                let request = serde_json::from_slice(bytes).unwrap_or(Value::Null);
                (request["message"].clone(), None)
            }
            PushContent::Encrypted(bytes) => (Value::Null, Some(bytes.to_vec())),
        }
    }

    /// A copy that does not keep the connection's read buffer alive.
    pub(crate) fn compact(&self) -> PushContent {
        match self {
            PushContent::Plain(bytes) => PushContent::Plain(Bytes::copy_from_slice(bytes)),
            PushContent::FcmMessage(bytes) => PushContent::FcmMessage(Bytes::copy_from_slice(bytes)),
            PushContent::Encrypted(bytes) => PushContent::Encrypted(Bytes::copy_from_slice(bytes)),
        }
    }
}
