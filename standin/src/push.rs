//! A push that was accepted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use driftless_protocol::Provider;
use serde_json::Value;

/// A push that was accepted, as its device gets it.
#[derive(Clone, Debug)]
pub struct Push {
    /// Who carries it.
    pub provider: Provider,
    /// Apple's or Google's token; of a subscription what follows `/push/` in its endpoint.
    pub token: String,
    /// What it was told about carrying it, by lower-case names: `apns-*` of Apple's; `ttl`, `urgency` and `topic` of Web Push.
    pub headers: Vec<(&'static str, String)>,
    /// What the device reads: Apple's payload, Google's message, the plain text of Web Push (a text if it is no JSON).
    /// Null if it is sealed.
    pub payload: Value,
    /// The cipher text, for a subscription whose keys are elsewhere.
    pub sealed: Option<Vec<u8>>,
    /// When it was accepted, in Unix milliseconds of the gateway's clock.
    pub at_ms: u64,
    /// On which connection it came, counted from 1.
    pub connection: u64,
    /// On which stream; 0 over HTTP/1.1.
    pub stream: u32,
    /// How many requests there had been for the token, with this one.
    pub attempt: u64,
}

impl Push {
    /// What the wake says, wherever its provider has it.
    pub fn data(&self) -> Value {
        match self.provider {
            Provider::Apns | Provider::ApnsSandbox | Provider::Fcm => self.payload["data"].clone(),
            Provider::Webpush => self.payload.clone(),
        }
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }
}

/// What a push carries, before somebody wants to read it.
#[derive(Clone)]
pub(super) enum Content {
    /// What the device reads.
    Open(Bytes),
    /// Google's request, which holds a message.
    Message(Bytes),
    /// What the device opens with keys that are not here.
    Sealed(Bytes),
}

impl Content {
    /// The payload, and the cipher text.
    pub(super) fn read(&self) -> (Value, Option<Vec<u8>>) {
        match self {
            Content::Open(bytes) if bytes.is_empty() => (Value::Null, None),
            Content::Open(bytes) => match serde_json::from_slice(bytes) {
                Ok(json) => (json, None),
                Err(_) => (Value::String(String::from_utf8_lossy(bytes).into_owned()), None),
            },
            Content::Message(bytes) => {
                let request = serde_json::from_slice(bytes).unwrap_or(Value::Null);
                (request["message"].clone(), None)
            }
            Content::Sealed(bytes) => (Value::Null, Some(bytes.to_vec())),
        }
    }

    /// As few bytes as it needs: not a part of the buffer that it was read into.
    pub(super) fn compact(&self) -> Content {
        match self {
            Content::Open(bytes) => Content::Open(Bytes::copy_from_slice(bytes)),
            Content::Message(bytes) => Content::Message(Bytes::copy_from_slice(bytes)),
            Content::Sealed(bytes) => Content::Sealed(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// So many bytes by chance.
pub(super) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// The same, in base64url without padding.
pub(super) fn chance_text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(chance::<N>())
}
